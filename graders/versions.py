"""What a run was graded with, by digest: the checks, the referential, the locked dependencies."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

from graders import referentials
from labs.paths import GRADERS, ROOT

PROGRAMS = {".py", ".sh", ".ps1"}
"""Of the checks, what runs: here, and on the machines."""


def collect(referential: str) -> dict[str, str]:
    """Name -> version or SHA-256 (16 hexadecimal digits). What is not there, in an installed copy, is left out."""
    programs = sorted(path for path in GRADERS.rglob("*") if path.suffix in PROGRAMS)
    found = {"python": platform.python_version(), "checks": digest(programs, GRADERS)}
    if referential in referentials.names():
        found["referential"] = digest(referentials.files(referential), referentials.FOLDER)
    if (ROOT / "requirements.lock").is_file():
        found["dependencies"] = digest([ROOT / "requirements.lock"], ROOT)
    return found


def digest(paths: Iterable[Path], folder: Path) -> str:
    """SHA-256 of the names (below `folder`) and contents of files, in this order (16 hexadecimal digits)."""
    whole = hashlib.sha256()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        whole.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]
