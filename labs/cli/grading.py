"""grade, report, demo: verdicts and documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import CandidateOption, JsonOption, LangOption, SessionArg
from labs.errors import InputError, PlateauError

if TYPE_CHECKING:
    from labs.grade import Selection
    from labs.models.session import Session


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (grade, report, demo):
        app.command()(verb)


def grade(
    session: SessionArg,
    candidate: CandidateOption = None,
    keyword: Annotated[
        str | None, typer.Option("-k", metavar="EXPR", help="Only the checks that match (pytest).")
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option("--check", metavar="ID", help="Only this check; may be repeated.")
    ] = None,
    reboot: Annotated[
        bool, typer.Option("--reboot/--no-reboot", help="Measure again what must survive a restart of the machines.")
    ] = True,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Grade the benches, then write the report. Exit status 1: something is not passed; 4: marks are not final."""
    from labs.cli.output import out, print_json
    from labs.grade import Selection

    selection = Selection(keyword, tuple(check or ()), reboot)
    summary, paths = grade_session(session, candidate, selection, quiet=json, lang=lang)
    if json:
        print_json({**summary, "documents": {name: str(path) for name, path in paths.items()}})
    else:
        out.print(_marks_table(summary))
        out.print(f"report: {paths['report.html']}")
    raise typer.Exit(_exit_status(summary))


def grade_session(
    name: str, ids: list[str] | None, selection: Selection, *, quiet: bool, lang: str
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The work of `grade`: summary and documents."""
    from graders.records import load
    from graders.report import summary, write_all
    from labs.cli.output import Progress
    from labs.grade import grade as run_graders
    from labs.grade import new_run_folder
    from labs.lock import exclusive
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    loaded = load_session(name)
    chosen = [one.id for one in loaded.select(ids)]
    _require_running(loaded, chosen)
    progress = _OnChange(Progress(quiet))
    with exclusive(SessionFiles(loaded.folder).lock, "grade") as lock, progress.inner.showing():
        folder = new_run_folder(loaded)
        run_graders(loaded, chosen, folder, progress, lock=lock, selection=selection)
    paths = write_all(folder, lang)
    return summary.build(load(folder / "records.jsonl")), paths


def report(
    session: SessionArg,
    run: Annotated[str | None, typer.Option("--run", help="Name of the run's folder; the newest by default.")] = None,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Render the documents again from the records of a run."""
    from graders.records import load
    from graders.report import summary, write_all
    from labs.cli.output import out, print_json
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    if lang not in {"fr", "en"}:
        raise InputError(f"--lang {lang}: must be fr or en")
    loaded = load_session(session)
    results = SessionFiles(loaded.folder).results
    runs = sorted(path.parent.name for path in results.glob("*/records.jsonl"))
    if not runs:
        raise InputError(f"{loaded.name} has no results yet; run plateau grade {session}")
    if run is not None and run not in runs:
        raise InputError(f"--run {run}: no such run; known: {', '.join(runs[-5:])}")
    folder = results / (run or runs[-1])
    try:
        found = load(folder / "records.jsonl")
    except ValueError as problem:
        raise PlateauError(str(problem)) from None
    paths = write_all(folder, lang)
    built = summary.build(found)
    if json:
        print_json({**built, "documents": {name: str(path) for name, path in paths.items()}})
        return
    out.print(_marks_table(built))
    for path in paths.values():
        out.print(str(path))


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the bench up at the end.")] = False,
) -> None:
    """Build what is missing, bring one bench up, grade it, solve it, grade it again, and take it down."""
    from labs.demo import run_demo

    run_demo(keep=keep)


class _OnChange:
    """Passes a step on only when it differs from the subject's last one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._last: dict[str, str] = {}

    def __call__(self, subject: str, step: str) -> None:
        if self._last.get(subject) != step:
            self._last[subject] = step
            self.inner(subject, step)


def _require_running(loaded: Session, candidates: list[str]) -> None:
    from labs.hypervisors import open_hypervisor
    from labs.hypervisors.base import Power

    up = {
        status.key.candidate
        for status in open_hypervisor(loaded.profile).list_nodes(loaded.uid)
        if status.power is not Power.ABSENT
    }
    absent = [one for one in candidates if one not in up]
    if absent:
        raise InputError(f"{loaded.name}: no bench of {', '.join(absent)} is up; run plateau up first")


def _marks_table(summary: dict[str, Any]) -> Any:
    from labs.cli.output import table

    shown = table("Candidate", "Points", "Verdicts", "")
    for one in summary["candidates"]:
        counts = ", ".join(f"{number} {verdict}" for verdict, number in one["verdicts"].items() if number)
        final = "" if one["final"] else "[yellow]not final[/]"
        shown.add_row(one["candidate"], f"{one['points']:g} / {one['max_points']:g}", counts, final)
    return shown


def _exit_status(summary: dict[str, Any]) -> int:
    counts = [one["verdicts"] for one in summary["candidates"]]
    if not all(one["final"] for one in summary["candidates"]):
        return 4
    done = {"passed", "not_applicable", "manual"}
    return 1 if any(number for one in counts for verdict, number in one.items() if verdict not in done) else 0
