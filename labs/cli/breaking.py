"""break: put a fault into solved benches, tell the caller's words, and date the repair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import CandidateOption, JsonOption, LangOption, SessionArg
from labs.errors import InputError, PlateauError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labs.bench import Bench
    from labs.models.faults import Fault
    from labs.models.session import Session

REPAIRED = "repaired"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(name="break")(break_)
    app.command()(faults)


def faults(
    lab: Annotated[str, typer.Argument(metavar="LAB", help="A lab of the catalogue (plateau labs).")],
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """The faults that `plateau break` can put into a lab."""
    from labs.cli.output import out, print_json, table
    from labs.models.faults import load_faults
    from labs.models.lab import load_lab

    found = load_faults(load_lab(lab))
    if json:
        print_json([fault.model_dump() for fault in found])
        return
    shown = table("Fault", "Machine", "", "Green when")
    for fault in found:
        shown.add_row(fault.id, fault.node, _text(fault.title, lang), ", ".join(fault.green))
    out.print(shown)


def break_(
    session: SessionArg,
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="Id of the fault, e.g. F08 (plateau faults LAB).")],
    candidate: CandidateOption = None,
    wait: Annotated[
        int, typer.Option("--wait", metavar="MINUTES", min=0, help="Measure until it is repaired, and tell how long.")
    ] = 0,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Break solved benches (trainers), and print what the caller says. Exit status 1: --wait ended unrepaired."""
    from labs.bench import compute_benches
    from labs.cli.output import Progress, out, plain, print_json
    from labs.models.faults import find_fault
    from labs.models.session import load_session
    from labs.variants import render

    loaded = load_session(session)
    chosen = find_fault(loaded.lab, fault)
    benches = compute_benches(loaded, candidate)
    inject_fault(loaded, benches, chosen)
    began = time.monotonic()
    calls = {bench.candidate.id: render(_text(chosen.call, lang), bench.variables) for bench in benches}
    if not json:
        for who, words in calls.items():
            out.print(f"[bold]{who}[/]: {plain(words)}")
    restored: dict[str, float | None] = {}
    if wait:
        restored = wait_repaired(loaded, benches, chosen, began, wait * 60, Progress(quiet=json))
    if json:
        print_json({"session": loaded.name, "fault": chosen.id, "calls": calls, "seconds_to_restore": restored})
    else:
        for who, seconds in restored.items():
            out.print(f"{who}: {'not repaired' if seconds is None else f'repaired after {seconds / 60:.1f} min'}")
    if any(seconds is None for seconds in restored.values()):
        raise typer.Exit(1)


def inject_fault(loaded: Session, benches: Sequence[Bench], fault: Fault) -> None:
    """Put the fault into every bench. Raises PlateauError naming the first where it is not seen in force."""
    from labs.hypervisors import open_hypervisor
    from labs.lock import exclusive
    from labs.sabotage import Sabotage
    from labs.sessionfiles import SessionFiles

    hypervisor = open_hypervisor(loaded.profile)
    with exclusive(SessionFiles(loaded.folder).lock, "break"):
        for bench in benches:
            refusal = Sabotage(fault.node, fault.run, fault.applied).apply(hypervisor, bench)
            if refusal:
                way_out = f"faults are for solved benches: run plateau solve {loaded.name} first"
                raise PlateauError(f"{bench.candidate.id}/{fault.node}: {fault.id}: {refusal}; {way_out}")


def wait_repaired(
    loaded: Session,
    benches: Sequence[Bench],
    fault: Fault,
    began: float,
    limit: float,
    progress: Callable[[str, str], None],
) -> dict[str, float | None]:
    """Measure the fault's checks again and again; seconds until all were green, None where `limit` came first."""
    from labs.cli.grading import grade_session
    from labs.grade import Selection

    restored: dict[str, float | None] = {bench.candidate.id: None for bench in benches}
    selection = Selection(checks=tuple(fault.green), reboot=False)
    while (waiting := [who for who, seconds in restored.items() if seconds is None]) and (
        time.monotonic() - began < limit
    ):
        moment = time.monotonic() - began
        summary, _ = grade_session(str(loaded.path), waiting, selection, quiet=True, lang="fr")
        for one in summary["candidates"]:
            red = _red(one, fault.green)
            if not red:
                restored[one["candidate"]] = moment
            progress(one["candidate"], f"red: {', '.join(red)}" if red else REPAIRED)
        time.sleep(2)
    return restored


def _red(candidate: dict[str, Any], green: Sequence[str]) -> list[str]:
    not_passed = {one["check"] for one in candidate["not_passed"]} | set(candidate["missing"])
    return [check for check in green if check in not_passed]


def _text(texts: Any, lang: str) -> str:
    if lang not in {"fr", "en"}:
        raise InputError(f"--lang {lang}: must be fr or en")
    return str(texts.get(lang) or next(iter(texts.values())))
