"""The part of the conversion trial that runs on the workstation: an ordinary account converts documents nobody knows.

Everything is in a folder that disappears, the account's personal folder too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from graders.remote_launch import attempt, pace

NEARLY_LATE = 100.0
"""Seconds after which the candidate's own limit may be why there is no PDF."""
PLACE, FOLDER = "/var/tmp", "mes documents 1.0"  # noqa: S108  # mkdtemp makes a folder of its own there


def main(request: str) -> None:
    """`request`: {"program", "accounts", "documents": {name: base64}, "absent", "seconds", "largest"};
    JSON out."""
    asked = json.loads(request)
    account = next(one for one in map(known, asked["accounts"]) if one is not None)
    place = Path(tempfile.mkdtemp(prefix="conversion-", dir=PLACE))
    before = at_work(account.pw_uid)
    try:
        told = trial(place, account, asked)
    finally:
        for pid in at_work(account.pw_uid) - before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps({**told, "left": place.exists()}))


def known(name: str) -> pwd.struct_passwd | None:
    """The account of that name; None when the machine has none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def at_work(uid: int) -> set[int]:
    """The processes of an account."""
    found = set()
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if one.stat().st_uid == uid:
                found.add(int(one.name))
    return found


def trial(place: Path, account: pwd.struct_passwd, asked: dict[str, Any]) -> dict[str, Any]:
    """What became of each document, then of one that is not there; nothing more once one was late."""
    home, folder = place / "maison", place / FOLDER
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
        began = time.monotonic()
        status, out, err, late = attempt(
            [asked["program"], str(document)], asked["seconds"], "/", account.pw_name, str(home)
        )
        seconds = time.monotonic() - began
        size, result = read(document.with_suffix(".pdf"), account, asked["largest"])
        runs.append({
            "name": name, "status": status, "out": out[-600:], "err": err[-600:], "seconds": round(seconds, 1),
            "pace": pace() if late or (status and seconds > NEARLY_LATE) else 0.0,
            "same": read(document, account, asked["largest"])[1] == (data or None), "size": size,
            "pdf": base64.b64encode(result).decode() if result else "",
        })  # fmt: skip
        if status is None:
            break
    return {"runs": runs}


def read(path: Path, account: pwd.struct_passwd, largest: int) -> tuple[int | None, bytes | None]:
    """Size of an ordinary file, and what the account reads there; None for what is not there, or not for it."""
    try:
        kept = path.lstat()
        if not stat.S_ISREG(kept.st_mode):
            return None, None
        own = kept.st_uid == account.pw_uid and kept.st_mode & 0o400
        if kept.st_size > largest or not (own or kept.st_mode & 0o004):
            return kept.st_size, None
        return kept.st_size, path.read_bytes()
    except OSError:
        return None, None
