"""The part of the conversion trial that runs on the workstation: an ordinary account converts documents nobody knows.

Everything is in a folder that disappears, the account's personal folder too.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import Any

from graders.remote_launch import attempt, pace

BIGGEST = 4_000_000
"""Bytes of a converted document that is carried away."""


def main(request: str) -> None:
    """`request`: {"program", "account", "documents": {name: base64}, "absent", "seconds"}; JSON out."""
    asked = json.loads(request)
    place = Path(tempfile.mkdtemp(prefix="conversion-", dir="/var/tmp"))
    try:
        print(json.dumps(trial(place, asked)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def trial(place: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What became of each document, then of one that is not there; nothing more once one was late."""
    home, folder = place / "maison", place / "mes documents"
    account = pwd.getpwnam(asked["account"])
    for one in (place, home, folder):
        one.mkdir(mode=0o755, exist_ok=True)
        os.chown(one, account.pw_uid, account.pw_gid)
        one.chmod(0o755)
    runs = []
    for name, content in {**asked["documents"], asked["absent"]: ""}.items():
        document, data = folder / name, base64.b64decode(content)
        if data:
            document.write_bytes(data)
            os.chown(document, account.pw_uid, account.pw_gid)
        status, out, err, late = attempt(
            [asked["program"], str(document)], asked["seconds"], "/", asked["account"], str(home)
        )
        result = read(document.with_suffix(".pdf"))
        runs.append({
            "name": name, "status": status, "out": out[-600:], "err": err[-600:], "pace": pace() if late else 0.0,
            "same": read(document) == (data or None), "size": None if result is None else len(result),
            "pdf": base64.b64encode(result).decode() if result and len(result) <= BIGGEST else "",
        })  # fmt: skip
        if status is None:
            break
    return {"runs": runs}


def read(path: Path) -> bytes | None:
    """What is there; None when nothing is, or no ordinary file."""
    try:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else None
    except OSError:
        return None
