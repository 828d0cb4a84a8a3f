"""What a run was graded with, by digest: the checks, the referential, the locked dependencies."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

from graders.referentials import FOLDER
from labs.paths import GRADERS, ROOT


def collect(referential: str) -> dict[str, str]:
    """Name -> version or SHA-256 (16 hexadecimal digits). What is not there, in an installed copy, is left out."""
    found = {"python": platform.python_version(), "checks": digest(sorted(GRADERS.rglob("*.py")))}
    for name, path in (("referential", FOLDER / f"{referential}.yaml"), ("dependencies", ROOT / "requirements.lock")):
        if path.is_file():
            found[name] = digest([path])
    return found


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of files, in this order (16 hexadecimal digits)."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]
