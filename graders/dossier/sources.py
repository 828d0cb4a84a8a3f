"""What a run was graded by, kept in its folder, as it may change: the lab's sheet, its subject, the referential."""

from __future__ import annotations

import shutil
from pathlib import Path

from graders import referentials
from graders.report.messages import LANGUAGES
from labs.paths import CATALOGUE

FOLDER = "sources"


def of(lab: str, referential: str) -> dict[str, Path]:
    """Name in a dossier -> the file of today. Raises ValueError when there is no such referential."""
    found = {"lab/lab.yaml": CATALOGUE / lab / "lab.yaml"}
    found |= {f"lab/subject.{one}.md.j2": CATALOGUE / lab / f"subject.{one}.md.j2" for one in LANGUAGES}
    found |= {f"referential/{path.name}": path for path in referentials.files(referential)}
    return {name: path for name, path in found.items() if path.is_file()}


def keep(run_dir: Path, lab: str, referential: str) -> None:
    """Copy them into a run's folder, unless they are there: a run that is taken up again was begun with these."""
    if (run_dir / FOLDER).exists():
        return
    half = run_dir / f".{FOLDER}"
    shutil.rmtree(half, ignore_errors=True)
    for name, path in of(lab, referential).items():
        target = half / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    half.rename(run_dir / FOLDER)


def kept(run_dir: Path) -> dict[str, Path]:
    """Name in a dossier -> the file that the run kept; none for a run that `plateau grade` did not make."""
    folder = run_dir / FOLDER
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
