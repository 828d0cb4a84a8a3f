"""plan, up, freeze, reset, down: benches come, return to a state, and go."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from labs.cli import cohort
from labs.cli.opening import open_journal, open_session
from labs.cli.options import CandidateArg, CandidateOption, JsonOption, SessionArg
from labs.errors import EnvironmentLackError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from labs.bench import Bench
    from labs.execute import Executor, Outcome
    from labs.hypervisors.base import BenchKey, Hypervisor
    from labs.models.session import Session
    from labs.plan import Plan
    from labs.sessionfiles import SessionFiles


ADMIT_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (plan, up, freeze, reset, down):
        app.command()(verb)


def plan(session: SessionArg, candidate: CandidateOption = None, json: JsonOption = False) -> None:
    """Preflight: what `up` would do, and whether it fits. Touches nothing."""
    from labs.cli.output import duration, out, print_json, table

    loaded, hypervisor, benches = open_session(session, candidate)
    made = _plan(loaded, hypervisor, benches)
    if json:
        print_json(
            {
                "session": loaded.name,
                "training": loaded.file.training,
                "preparation": loaded.preparation,
                "fits": not made.problems,
                "needs": [{**dataclasses.asdict(need), "fits": need.fits} for need in made.needs],
                "missing": list(made.missing),
                "nodes": [{"node": str(node.spec.key), "action": node.action.value} for node in made.nodes],
                "seconds": round(made.seconds, 1),
            }
        )
    else:
        needs = table("Resource", "Needed", "Available", "")
        for need in made.needs:
            verdict = "[green]fits[/]" if need.fits else "[red]does not fit[/]"
            needs.add_row(need.resource, f"{need.needed} {need.unit}", f"{need.available} {need.unit}", verdict)
        out.print(f"{loaded.name}: {len(benches)} benches of {loaded.lab.name}, {len(made.nodes)} machines")
        cohort.tell_training(loaded)
        out.print(needs)
        for action in sorted({node.action for node in made.nodes}):
            out.print(f"{action.value}: {made.count(action)} machines")
        for what in made.missing:
            out.print(f"first to be made: {what}")
        out.print(f"estimated time: {duration(made.seconds)}")
    if made.problems:
        raise EnvironmentLackError(f"{loaded.name} does not fit: {'; '.join(made.problems)}")


def up(session: SessionArg, candidate: CandidateOption = None, json: JsonOption = False) -> None:
    """Bring the benches up to ready machines and access sheets. Safe to run again at any time."""
    started = time.monotonic()
    loaded, hypervisor, benches = open_session(session, candidate)
    outcome = bring_up(loaded, hypervisor, benches, quiet=json)
    _report(loaded, hypervisor, benches, outcome, json=json, seconds=time.monotonic() - started)
    if outcome.errors:
        raise typer.Exit(1)


def bring_up(loaded: Session, hypervisor: Hypervisor, benches: list[Bench], *, quiet: bool) -> Outcome:
    """The work of `up`, under the session's lock. Raises EnvironmentLackError when it does not fit."""
    from labs.cli.output import Progress
    from labs.execute import Executor
    from labs.lock import exclusive
    from labs.prepare import keep_version
    from labs.sessionfiles import SessionFiles

    files = SessionFiles(loaded.folder)
    progress = Progress(quiet)
    with exclusive(files.lock, "up"), open_journal(files, "up") as journal, progress.showing():
        made = _plan(loaded, hypervisor, benches)
        if made.problems:
            raise EnvironmentLackError(f"{loaded.name} does not fit: {'; '.join(made.problems)}")
        if made.missing:
            hypervisor.prepare([node.spec for bench in benches for node in bench.nodes], progress)
        keep_version(loaded, files)
        outcome = Executor(loaded, hypervisor, journal, progress).up(benches, made)
        _hand_out(loaded, hypervisor, benches, files)
    return outcome


def _hand_out(loaded: Session, hypervisor: Hypervisor, benches: list[Bench], files: SessionFiles) -> None:
    """Write the access sheets and subjects of the benches that run, and the inventory."""
    from labs import accesssheet, subject
    from labs.deadline import Deadline

    present, closed = list_machines(loaded, hypervisor, files)
    for bench in benches:
        if bench.key in present:
            graded = [node.spec.key for node in bench.graded_nodes]
            user = hypervisor.admit(bench.key, graded, bench.password, Deadline.after(ADMIT_SECONDS))
            if bench.key not in closed:  # its sheet says where it is when it is open
                accesssheet.write(bench, hypervisor, files, user)
            subject.write(bench, files)


def list_machines(loaded: Session, hypervisor: Hypervisor, files: SessionFiles) -> tuple[set[BenchKey], set[BenchKey]]:
    """Write down where the machines are reached, as what is closed or opened is reached elsewhere.

    Returns the benches that run, and those that are closed.
    """
    from labs import inventory
    from labs.bench import compute_benches
    from labs.hypervisors.base import Power

    found = hypervisor.list_nodes(loaded.uid)
    present = {status.key.bench for status in found if status.power is Power.RUNNING}
    inventory.write(loaded, [bench for bench in compute_benches(loaded) if bench.key in present], hypervisor, files)
    return present, {status.key.bench for status in found if status.closed}


def freeze(
    session: SessionArg,
    candidate: CandidateOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also machines that are frozen: their earlier state is lost.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """At the bell: a snapshot `frozen` of every machine, disk and memory. Those that are frozen stay as they were."""
    from labs.cli.output import out, print_json

    loaded, hypervisor, benches = open_session(session, candidate)
    outcome = with_executor(
        loaded, hypervisor, "freeze", lambda executor: executor.snapshot(benches, "frozen", replace=again), quiet=json
    )
    machines = sum(len(bench.nodes) for bench in benches)
    failed = sum(len(nodes) for nodes in outcome.errors.values())
    kept = machines - outcome.changed - failed
    if json:
        print_json({"session": loaded.name, "frozen": outcome.changed, "kept": kept, "errors": outcome.errors})
        raise typer.Exit(1 if outcome.errors else 0)
    told = f"; {kept} were frozen before and stay so (--again takes them as they are now)" if kept else ""
    out.print(
        f"{outcome.changed} machines frozen{told}; go back with: plateau reset {session} CANDIDATE --to frozen",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    fail_on(outcome)


def reset(
    session: SessionArg,
    candidate: CandidateArg,
    to: Annotated[str, typer.Option("--to", help="baseline (as received) or frozen (as at the bell).")] = "baseline",
    yes: Annotated[bool, typer.Option("--yes", help="In an exam: the candidate's work may be lost.")] = False,
) -> None:
    """Return one candidate's bench to what it received (prepared, in a training version), or to the bell."""
    from labs.cli.output import out
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    loaded = load_session(session)
    if loaded.file.mode == "exam" and to == "baseline" and not yes:
        raise InputError(f"{loaded.path}: mode: exam: the work of {candidate} would be lost; --yes if that is meant")
    out.print(f"{candidate}: {go_back(session, candidate, to)} machines back at {to}")
    if to == "baseline":  # made anew: their screens have other passwords
        sheet = SessionFiles(loaded.folder).access / candidate
        out.print(f"their access sheet is a new one: {sheet}", markup=False, soft_wrap=True)


def go_back(session: str, candidate: str, to: str, *, closed: bool = False) -> int:
    """The work of `reset`: how many machines went back. Raises InputError for a state that there is not.

    With `closed`, the candidate does not reach them there.
    """
    from labs.prepare import require_same_version
    from labs.sessionfiles import SessionFiles

    if to not in {"baseline", "frozen"}:
        raise InputError(f"--to {to}: must be baseline or frozen")
    loaded, hypervisor, benches = open_session(session, [candidate])
    require_same_version(loaded, hypervisor, SessionFiles(loaded.folder))
    outcome = with_executor(
        loaded,
        hypervisor,
        "reset",
        lambda executor: (
            executor.renew(benches)
            if to == "baseline"
            else executor.rollback(benches, to, closed=closed, as_it_was=True)
        ),
    )
    files = SessionFiles(loaded.folder)
    if closed:
        list_machines(loaded, hypervisor, files)
    else:
        _hand_out(loaded, hypervisor, benches, files)
    tell_notes(outcome)
    fail_on(outcome)
    return outcome.changed


def down(
    session: SessionArg,
    candidate: CandidateOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="In an exam: the work of the candidates is lost.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete the benches, then prove that nothing is left. Results and reports stay."""
    from labs.cli.output import out, print_json

    loaded, hypervisor, _ = open_session(session, candidate)
    if loaded.file.mode == "exam" and not yes and hypervisor.list_nodes(loaded.uid):
        raise InputError(
            f"{loaded.path}: mode: exam: the candidates' work would be lost, and nothing could be measured again "
            "(a contest, for one); --yes if that is meant"
        )
    started = time.monotonic()
    outcome, left = take_down(loaded, hypervisor, candidate, quiet=json)
    if json:
        print_json({"session": loaded.name, "deleted": outcome.changed, "left": left, "errors": outcome.errors})
    else:
        out.print(f"{outcome.changed} machines deleted in {time.monotonic() - started:.1f} s; nothing is left of them")
    fail_on(outcome)


def take_down(
    loaded: Session, hypervisor: Hypervisor, candidates: list[str] | None, *, quiet: bool
) -> tuple[Outcome, list[str]]:
    """The work of `down`. Raises PlateauError naming what is left when absence cannot be proved."""
    from labs.cli.output import Progress
    from labs.errors import PlateauError
    from labs.execute import Executor
    from labs.hypervisors.base import BenchKey
    from labs.lock import exclusive
    from labs.sessionfiles import SessionFiles

    files = SessionFiles(loaded.folder)
    progress = Progress(quiet)
    chosen = {one.id for one in loaded.select(candidates)}
    with exclusive(files.lock, "down"), open_journal(files, "down") as journal, progress.showing():
        # A candidate taken out of the session file may still have machines: the hypervisor knows.
        known = {status.key.candidate for status in hypervisor.list_nodes(loaded.uid)}
        keys = [BenchKey(loaded.uid, one) for one in sorted(chosen if candidates else chosen | known)]
        outcome = Executor(loaded, hypervisor, journal, progress).down(loaded.uid, keys)
        left = [what for key in keys for what in hypervisor.leftovers(loaded.uid) if f"/{key.candidate}/" in what]
        if not candidates:
            left = hypervisor.leftovers(loaded.uid)
            for generated in (files.inventory, files.known_hosts, files.version):
                generated.unlink(missing_ok=True)
    if left:
        raise PlateauError(f"{loaded.name}: still there after down: {'; '.join(left[:5])}; run plateau down again")
    return outcome, left


def _plan(loaded: Session, hypervisor: Hypervisor, benches: list[Bench]) -> Plan:
    from labs.prepare import require_same_version
    from labs.sessionfiles import SessionFiles

    require_same_version(loaded, hypervisor, SessionFiles(loaded.folder))
    made = _planned(loaded, hypervisor, benches)
    if any(node.action.makes for node in made.nodes):  # what is up already goes on
        loaded.require_secret()
    return made


def _planned(loaded: Session, hypervisor: Hypervisor, benches: list[Bench]) -> Plan:
    from labs.plan import make_plan

    if loaded.profile.driver == "proxmox":
        from labs.hypervisors.proxmox.driver import ProxmoxHypervisor

        assert isinstance(hypervisor, ProxmoxHypervisor)
        return hypervisor.plan(loaded.uid, benches)
    specs = [node.spec for bench in benches for node in bench.nodes]
    missing = hypervisor.missing(specs)
    return make_plan(
        benches,
        hypervisor.list_nodes(loaded.uid),
        hypervisor.capacity()[0],
        missing,
        memory_reserve_mb=loaded.profile.memory_reserve_mb,
        instant=loaded.profile.instant,
    )


def with_executor(
    loaded: Session, hypervisor: Hypervisor, verb: str, work: Callable[[Executor], Outcome], *, quiet: bool = False
) -> Outcome:
    """Some work of the executor's under the session's lock, its steps in the journal and on the screen."""
    from labs.cli.output import Progress
    from labs.execute import Executor
    from labs.lock import exclusive
    from labs.sessionfiles import SessionFiles

    files = SessionFiles(loaded.folder)
    progress = Progress(quiet)
    with exclusive(files.lock, verb), open_journal(files, verb) as journal, progress.showing():
        return work(Executor(loaded, hypervisor, journal, progress))


def _report(
    loaded: Session, hypervisor: Hypervisor, benches: list[Bench], outcome: Outcome, *, json: bool, seconds: float
) -> None:
    from labs.cli.output import duration, out, print_json
    from labs.sessionfiles import SessionFiles

    rows = cohort.rows(loaded, hypervisor, benches)
    if json:
        print_json(
            {
                "session": loaded.name,
                "training": loaded.file.training,
                "changed": outcome.changed,
                "seconds": round(seconds, 2),
                "nodes": rows,
                "errors": outcome.errors,
            }
        )
        return
    cohort.tell_training(loaded)
    out.print(cohort.as_table(rows))
    files = SessionFiles(loaded.folder)
    if outcome.changed:
        out.print(f"{outcome.changed} machines brought up in {duration(seconds)}")
    else:
        out.print("everything was up already; nothing was changed")
    out.print(f"access sheets and subjects: {files.access}")
    _tell_errors(outcome, out)


def tell_notes(outcome: Outcome) -> None:
    """What is worth knowing although it went well, on standard error."""
    from labs.cli.output import err, plain

    for note in outcome.notes:
        err.print(f"[yellow]{plain(note)}[/]", soft_wrap=True)


def fail_on(outcome: Outcome) -> None:
    """Tell what went wrong, and end with status 1 when something did."""
    from labs.cli.output import err

    _tell_errors(outcome, err)
    if outcome.errors:
        raise typer.Exit(1)


def _tell_errors(outcome: Outcome, console: Console) -> None:
    from labs.cli.output import plain

    for candidate, nodes in outcome.errors.items():
        for node, problem in nodes.items():
            console.print(f"[red]{candidate}/{node}[/]: {plain(problem)}")
