"""grade, report, demo: verdicts and documents."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import CandidateOption, JsonOption, LangOption, SessionArg
from labs.errors import InputError, InterruptedRunError, PlateauError

if TYPE_CHECKING:
    from graders.records import Run
    from labs.bench import BenchNode
    from labs.grade import Selection
    from labs.hypervisors.base import Hypervisor
    from labs.models.session import Session
    from labs.resume import Interrupted


ASK_SECONDS = 30.0


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
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Put each bench back to the bell (plateau freeze) before measuring it.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take up the last run, which was interrupted: only what it did not measure."),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="ID", help="With --resume: this candidate is not measured; may be repeated."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Grade everybody again although the last run, interrupted, measured some.")
    ] = False,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Grade the benches, then write the report. Exit status 1: something is not passed; 4: marks are not final."""
    from labs.cli.output import out, print_json
    from labs.grade import Selection

    selection = Selection(keyword, tuple(check or ()), reboot, frozen=frozen)
    if resume and anew:
        raise InputError("--resume takes the last run up, --anew begins another: give one of them")
    if without and not resume:
        raise InputError("--without goes with --resume: it leaves somebody out of an interrupted run")
    if resume and (candidate or selection != Selection()):
        others = "--candidate, -k, --check, --frozen and --no-reboot"
        raise InputError(f"--resume takes up what was asked then: leave {others} out")
    try:
        summary, paths = grade_session(
            session, candidate, selection, quiet=json, lang=lang, resume=resume, without=without or (), anew=anew
        )
    except KeyboardInterrupt:
        again = f"plateau grade {session} --resume goes on with those who are not measured"
        raise InterruptedRunError(f"interrupted; {again}") from None
    if json:
        print_json({**summary, "documents": {name: str(path) for name, path in paths.items()}})
    else:
        out.print(_marks_table(summary))
        out.print(f"report: {paths['report.html']}")
        _tell_copies(session, paths["report.html"].parent)
    raise typer.Exit(_exit_status(summary))


def _tell_copies(name: str, folder: Path) -> None:
    """One line for the trainer when something of a candidate's variant was seen at another's."""
    from labs.cli.copies import likenesses
    from labs.cli.output import out
    from labs.models.session import load_session

    if found := likenesses(load_session(name), folder):
        out.print(f"{len(found)} values of one candidate seen at another's: plateau copies {name}", markup=False)


def grade_session(
    name: str,
    ids: list[str] | None,
    selection: Selection,
    *,
    quiet: bool,
    lang: str,
    resume: bool = False,
    without: Sequence[str] = (),
    anew: bool = False,
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The work of `grade`: summary and documents.

    Raises InputError when the last run was interrupted and measured somebody, unless it is taken up or begun `anew`.
    """
    from graders.records import load
    from graders.report import summary
    from labs import resume as interrupted
    from labs.cli.output import Progress
    from labs.cli.runs import documents, require_language
    from labs.grade import grade as run_graders
    from labs.grade import new_run_folder
    from labs.lock import exclusive
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    require_language(lang)
    loaded = load_session(name)
    progress = OnChange(Progress(quiet))
    with exclusive(SessionFiles(loaded.folder).lock, "grade") as lock:
        if resume:
            run = interrupted.leave_out(interrupted.require(loaded), without)
            chosen, selection, folder, left = list(run.candidates), run.selection, run.folder, list(run.left)
            hosts = require_benches(loaded, left, as_they_are=not selection.frozen)
            _tell_resumed(run)
        else:
            chosen = left = [one.id for one in loaded.select(ids)]
            hosts = require_benches(loaded, chosen, as_they_are=not selection.frozen)
            if loaded.file.mode == "exam" and not selection.frozen:
                _tell_as_they_are(loaded)
            if not anew and (earlier := interrupted.find(loaded)) and earlier.measured:
                raise InputError(
                    f"{earlier.folder.name} was interrupted with {len(earlier.measured)} of {len(earlier.candidates)} "
                    f"candidates measured; plateau grade {name} --resume takes it up, --anew grades from the beginning"
                )
            folder = new_run_folder(loaded)
            interrupted.keep(loaded, folder, chosen, selection)
        with progress.inner.showing(), contextlib.ExitStack() as opened:
            before = opened.enter_context(_back_to_the_bell(loaded, progress)) if selection.frozen else None
            run_graders(loaded, chosen, folder, progress, lock=lock, selection=selection, hosts=hosts, before=before)
        (folder / interrupted.NAME).unlink(missing_ok=True)
    paths, rubrics = documents(folder, lang, None, None, pdf=True)
    return summary.build(load(folder / "records.jsonl"), rubrics), paths


@contextlib.contextmanager
def _back_to_the_bell(loaded: Session, progress: Callable[[str, str], None]) -> Iterator[Callable[[str], None]]:
    """What takes a candidate's bench back to its frozen state. That raises PlateauError when a machine has none."""
    from labs.bench import compute_bench
    from labs.cli.opening import open_journal
    from labs.cli.provisioning import list_machines, tell_notes
    from labs.execute import Executor
    from labs.hypervisors import open_hypervisor
    from labs.prepare import require_same_version
    from labs.sessionfiles import SessionFiles

    files, hypervisor = SessionFiles(loaded.folder), open_hypervisor(loaded.profile)
    require_same_version(loaded, hypervisor, files)
    with open_journal(files, "grade") as journal:
        executor = Executor(loaded, hypervisor, journal, progress)

        def back(candidate: str) -> None:
            bench = compute_bench(loaded, loaded.candidate(candidate))
            outcome = executor.rollback([bench], "frozen", closed=True, as_it_was=True)
            tell_notes(outcome)
            list_machines(loaded, hypervisor, files)
            for problem in outcome.errors.get(candidate, {}).values():
                raise PlateauError(f"not back at the bell: {problem}")

        yield back


def _tell_as_they_are(loaded: Session) -> None:
    from labs.cli.output import err

    err.print(
        f"{loaded.name}: mode: exam: the machines are measured as they are now, and their candidates still reach them; "
        "with --frozen they are measured as they were at the bell (plateau freeze), closed to everybody else",
        markup=False, soft_wrap=True,
    )  # fmt: skip


def report(
    session: SessionArg,
    candidate: CandidateOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Name of the run's folder; the newest by default.")] = None,
    ccp: Annotated[str | None, typer.Option("--ccp", help="PDF of this certificate alone, e.g. CCP2.")] = None,
    first_ccp: Annotated[
        datetime | None,
        typer.Option("--first-ccp", formats=["%Y-%m-%d"], help="Day of the first CCP, from which its years count."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also one PDF a candidate, and their feedback.")] = True,
    rejudge: Annotated[
        bool,
        typer.Option("--rejudge", help="First judge again from the snapshots, without machines."),
    ] = False,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Render the documents again from the records of a run and from what people marked."""
    from graders.report import summary
    from labs.cli.output import out, print_json
    from labs.cli.runs import documents, load_run, open_run, require_language
    from labs.models.session import load_session

    require_language(lang)
    loaded = load_session(session)
    chosen = [one.id for one in loaded.select(candidate)] if candidate else None
    folder, recorded = open_run(loaded, run, chosen)
    if rejudge:
        _rejudge(loaded, folder, recorded)
    if first_ccp and not ccp:
        raise InputError("--first-ccp goes with --ccp: it says until when that certificate counts")
    first = first_ccp.date() if first_ccp else None
    paths, rubrics = documents(folder, lang, chosen, ccp, pdf=pdf, first=first)
    built = summary.build(load_run(folder), rubrics)
    if json:
        print_json({**built, "documents": {name: str(path) for name, path in paths.items()}})
        return
    out.print(_marks_table(built))
    for path in paths.values():
        out.print(str(path), soft_wrap=True)


def _rejudge(loaded: Session, folder: Path, recorded: Run) -> None:
    from labs.rejudge import rejudge

    found = rejudge(loaded, folder, recorded)
    if found:
        raise PlateauError(f"{folder}: judged again, {len(found)} verdicts differ: {'; '.join(found)}")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the bench up at the end.")] = False,
) -> None:
    """Build what is missing, bring one bench up, grade it, solve it, grade it again, and take it down."""
    from labs.demo import run_demo

    run_demo(keep=keep)


class OnChange:
    """Passes a step on only when it differs from the subject's last one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._last: dict[str, str] = {}

    def __call__(self, subject: str, step: str) -> None:
        if self._last.get(subject) != step:
            self._last[subject] = step
            self.inner(subject, step)


def _tell_resumed(run: Interrupted) -> None:
    from labs.cli.output import err

    kept = f"{len(run.measured)} of {len(run.candidates)} candidates are measured"
    err.print(f"{run.folder.name}: {kept}; now: {', '.join(run.left) or 'only the report'}", markup=False)
    for one in run.rebooted:
        err.print(
            f"{one}: the interrupted grading had begun to reboot these machines; they are measured as they are now. "
            "plateau reset goes back to a frozen state, if there is one",
            markup=False, soft_wrap=True,
        )  # fmt: skip


def require_benches(
    loaded: Session,
    candidates: list[str],
    *,
    as_they_are: bool = True,
    absent: str = "run plateau up first",
    unfrozen: str | None = None,
) -> dict[str, set[str]]:
    """The hosts that carry each candidate's machines. Raises InputError when one cannot be measured.

    Benches that go back to the bell need a state of it on every machine. Those graded as they are need every machine of
    the centre to run, which may have stopped with its host: nothing could be measured. Stopped machines of candidates
    are told: what is asked of them will be missing. `absent` is the way out when a candidate has no machine at all,
    `unfrozen` when a machine has no state of the bell.
    """
    from labs.bench import compute_bench
    from labs.cli.output import err
    from labs.hypervisors import open_hypervisor
    from labs.hypervisors.base import Power

    hypervisor = open_hypervisor(loaded.profile)
    found = {status.key: status for status in hypervisor.list_nodes(loaded.uid) if status.power is not Power.ABSENT}
    up = {one: {status.host for key, status in found.items() if key.candidate == one} for one in candidates}
    if none := [one for one, hosts in up.items() if not hosts]:
        raise InputError(f"{loaded.name}: no bench of {', '.join(none)} is up; {absent}")
    nodes = [node for one in candidates for node in compute_bench(loaded, loaded.candidate(one)).nodes]
    unfinished = [node for node in nodes if node.spec.key not in found or not found[node.spec.key].ready]
    if unfinished:
        raise InputError(f"{loaded.name}: {_names(unfinished)} never came up whole; run plateau up first")
    halted = [node for node in nodes if found[node.spec.key].power is Power.PAUSED]
    if halted:
        raise InputError(
            f"{loaded.name}: {_names(halted)}: halted by the host, whose disk is full, or by hand there; free space, "
            "then plateau up"
        )
    stopped = [node for node in nodes if found[node.spec.key].power is Power.STOPPED]
    if not as_they_are:
        _require_bell(loaded, hypervisor, nodes, unfrozen)
    elif ours := [node for node in stopped if not node.graded]:
        raise InputError(f"{loaded.name}: {_names(ours)} is stopped, and measures the others; run plateau up first")
    elif stopped:
        err.print(
            f"{_names(stopped)}: stopped, so that what is asked of it is not there; Ctrl-C and plateau up starts it",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    return up


def _require_bell(loaded: Session, hypervisor: Hypervisor, nodes: list[BenchNode], way_out: str | None) -> None:
    """Raise InputError when a machine has no state of the bell: its candidate could not be measured."""
    from labs.deadline import Deadline

    missing = [
        node for node in nodes if "frozen" not in hypervisor.snapshots(node.spec.key, Deadline.after(ASK_SECONDS))
    ]
    if missing:
        some = " ".join(f"-c {one}" for one in dict.fromkeys(node.spec.key.candidate for node in missing))
        way_out = way_out or f"plateau freeze {loaded.path} {some} takes it as it is now"
        raise InputError(f"{loaded.name}: {_names(missing)}: no state of the bell; {way_out}")


def _names(nodes: list[BenchNode]) -> str:
    return ", ".join(f"{node.spec.key.candidate}/{node.name}" for node in nodes)


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
