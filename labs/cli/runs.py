"""A session's runs: the folder of one, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labs.errors import InputError, PlateauError
from labs.sessionfiles import SessionFiles

if TYPE_CHECKING:
    from datetime import date

    from graders.records import Run
    from graders.rubric import Rubric
    from labs.models.session import Session

RECORDS = "records.jsonl"


def find_run(session: Session, name: str | None) -> Path:
    """The folder of a run by its name, or of the newest. Raises InputError that lists those there are.

    One line tells of a grading that began later and did not end.
    """
    from labs.grade import is_run_name

    results = SessionFiles(session.folder).results
    known = sorted(path.parent.name for path in results.glob(f"*/{RECORDS}"))
    if name is not None:
        if name not in known:
            raise InputError(f"--run {name}: no such run; known: {', '.join(known[-5:]) or 'none'}")
        return results / name
    runs = [one for one in known if is_run_name(one)]
    if not runs:
        way_out = f"--run NAME takes one of {', '.join(known[-5:])}" if known else f"run plateau grade {session.path}"
        raise InputError(f"{session.name} has no results yet; {way_out}")
    _tell_interrupted(session, runs[-1])
    return results / runs[-1]


def _tell_interrupted(session: Session, chosen: str) -> None:
    from labs.cli.output import err
    from labs.resume import find

    try:
        later = find(session)
    except InputError as problem:  # of a run that nobody asked for
        err.print(str(problem), markup=False, soft_wrap=True)
        return
    if later and later.folder.name > chosen:
        err.print(
            f"{later.folder.name} has no results, being interrupted or still at work: this is {chosen}; "
            f"plateau grade {session.path} --resume takes up what was interrupted",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def open_run(session: Session, name: str | None, wanted: Sequence[str] | None) -> tuple[Path, Run]:
    """A run by its name, or the newest, and what it holds.

    Raises InputError when one of the candidates `wanted` is not in it. When none are named, and no run: one line says
    that the newest is of a part of the session.
    """
    folder = find_run(session, name)
    run = load_run(folder)
    _require(folder, run, wanted or ())
    if not (wanted or name):
        _tell_partial(session, folder, run)
    return folder, run


def _require(folder: Path, run: Run, wanted: Sequence[str]) -> None:
    missing = sorted(set(wanted) - {bench.candidate for bench in run.benches})
    if missing:
        other = _newest_with(folder, set(missing))
        way_out = f"--run {other} has" if other else "no run has"
        raise InputError(f"{folder.name}: nothing was measured of {', '.join(missing)}; {way_out}")


def _tell_partial(session: Session, folder: Path, run: Run) -> None:
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
    from labs.grade import is_run_name

    for path in sorted(folder.parent.glob(f"*/{RECORDS}"), reverse=True):
        if not is_run_name(path.parent.name):
            continue
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


def documents(
    folder: Path, lang: str, candidates: list[str] | None, ccp: str | None, *, pdf: bool, first: date | None = None
) -> tuple[dict[str, Path], Mapping[str, Rubric]]:
    """Write every document of a run; their paths, and the marks that went into them.

    Raises InputError for a language that there is not, PlateauError when one cannot be made.
    """
    from graders.report import read, write_all, write_pdfs

    require_language(lang)
    try:
        paths = write_all(folder, lang)
        if pdf:
            paths |= write_pdfs(folder, lang, candidates, ccp, first)
        return paths, read(folder).rubrics
    except (OSError, ValueError) as problem:
        raise PlateauError(str(problem)) from None


def require_language(lang: str) -> None:
    if lang not in {"fr", "en"}:
        raise InputError(f"--lang {lang}: must be fr or en")
