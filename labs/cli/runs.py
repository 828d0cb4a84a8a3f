"""A session's runs: the folder of one, and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labs.errors import InputError, PlateauError
from labs.sessionfiles import SessionFiles

if TYPE_CHECKING:
    from graders.records import Run
    from labs.models.session import Session

RECORDS = "records.jsonl"


def find_run(session: Session, name: str | None) -> Path:
    """The folder of a run by its name, or of the newest. Raises InputError that lists those there are."""
    results = SessionFiles(session.folder).results
    runs = sorted(path.parent.name for path in results.glob(f"*/{RECORDS}"))
    if not runs:
        raise InputError(f"{session.name} has no results yet; run plateau grade {session.path}")
    if name is not None and name not in runs:
        raise InputError(f"--run {name}: no such run; known: {', '.join(runs[-5:])}")
    return results / (name or runs[-1])


def load_run(folder: Path) -> Run:
    """The run's records. Raises PlateauError, naming the line, when they cannot be read."""
    from graders.records import load

    try:
        return load(folder / RECORDS)
    except (OSError, ValueError) as problem:
        raise PlateauError(str(problem)) from None
