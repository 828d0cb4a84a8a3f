"""A session's runs: the folder of one, and what it holds."""

from __future__ import annotations

from collections.abc import Iterable
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


def require_candidates(folder: Path, run: Run, wanted: Iterable[str]) -> None:
    """Raise InputError, naming a run that has them, when `run` lacks some of the candidates that are asked for."""
    missing = sorted(set(wanted) - {bench.candidate for bench in run.benches})
    if missing:
        other = _newest_with(folder, set(missing))
        way_out = f"--run {other} has" if other else "no run has"
        raise InputError(f"{folder.name}: nothing was measured of {', '.join(missing)}; {way_out}")


def tell_partial(session: Session, folder: Path, run: Run) -> None:
    """One line when a run is of a part of the session, as after `grade -c`, and another one is of more."""
    from labs.cli.output import err

    graded = {bench.candidate for bench in run.benches}
    everybody = {one.id for one in session.candidates}
    if graded < everybody and (other := _newest_with(folder, everybody)):
        err.print(
            f"{folder.name} is of {', '.join(sorted(graded))} alone; --run {other} is of everybody",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def _newest_with(folder: Path, wanted: set[str]) -> str | None:
    for path in sorted(folder.parent.glob(f"*/{RECORDS}"), reverse=True):
        try:
            if path.parent != folder and wanted <= {bench.candidate for bench in load_run(path.parent).benches}:
                return path.parent.name
        except PlateauError:
            continue
    return None


def load_run(folder: Path) -> Run:
    """The run's records. Raises PlateauError, naming the line, when they cannot be read."""
    from graders.records import load

    try:
        return load(folder / RECORDS)
    except (OSError, ValueError) as problem:
        raise PlateauError(str(problem)) from None
