"""prove: the whole proof of a lab on real machines."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import JsonOption
from labs.errors import EnvironmentLackError, InputError, InterruptedRunError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from labs.models.lab import Lab
    from labs.models.mutants import Mutant
    from labs.models.session import Session
    from labs.prove.bench import ProofBench
    from labs.prove.ledger import Ledger
    from labs.prove.proof import Wish
    from labs.prove.result import Proof


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(prove)


def prove(
    lab: Annotated[str, typer.Argument(metavar="LAB", help="A lab of the catalogue (plateau labs).")],
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=99, help="Benches with values of their own.")] = 1,
    first: Annotated[int, typer.Option("--first", min=1, max=99, help="Number of the first seed.")] = 1,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=16, help="Benches at a time; more than seeds share a seed's work.")
    ] = 1,
    repeat: Annotated[int, typer.Option("--repeat", min=0, help="Extra gradings of the solved bench.")] = 1,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="Only this: pristine, solution, alternatives, mutants, faults; may be repeated."),
    ] = None,
    mutant: Annotated[
        list[str] | None,
        typer.Option("--mutant", metavar="ID", help="Only this mutant, or all of a row (CP06-S1); may be repeated."),
    ] = None,
    share: Annotated[
        int, typer.Option("--whole-suite-every", min=0, help="Every how many mutants all checks run (0: never).")
    ] = 4,
    reboot: Annotated[bool, typer.Option("--reboot/--no-reboot", help="Prove what must survive a restart too.")] = True,
    training: Annotated[
        str | None,
        typer.Option("--training", metavar="ID", help="One of its training versions, instead of the whole lab."),
    ] = None,
    hypervisor: Annotated[str, typer.Option("--hypervisor", help="Hypervisor profile.")] = "qemu",
    write: Annotated[bool, typer.Option("--write", help="Write docs/validity/LAB.json and LAB.md.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take up the unfinished proof, with the same options; --jobs may differ.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Prove a lab or a version: untouched no point, solved all, sabotages seen. Exit status 0 only then."""
    from labs.cli.output import out, plain, print_json
    from labs.models import faults as all_faults
    from labs.models import mutants as all_mutants
    from labs.models.lab import load_lab
    from labs.models.training import cut_down, training_of
    from labs.prove.proof import PARTS, Wish

    whole = load_lab(lab)
    loaded = cut_down(whole, training_of(whole, training)) if training else whole
    # Another way to do the whole work begins from nothing, not from what this way has prepared.
    known = [one for one in PARTS if not training or one != "alternatives"]
    parts = frozenset(part or (["mutants"] if mutant else known))
    unknown = sorted(parts - set(known))
    if unknown:
        version = f" of a training version: alternatives begin from nothing; it must be one of {', '.join(known)}"
        raise InputError(f"--part {unknown[0]}" + (version if training else f": must be one of {', '.join(known)}"))
    mutants = all_mutants.narrowed(all_mutants.load_mutants(whole), loaded) if "mutants" in parts else []
    mutants = _chosen(mutants, mutant) if "mutants" in parts else []
    alternatives = tuple(loaded.alternatives) if "alternatives" in parts else ()
    faults = tuple(all_faults.narrowed(all_faults.load_faults(whole), loaded)) if "faults" in parts else ()
    wish = Wish(parts, tuple(mutants), faults, alternatives, repeat, share, reboot)
    ids = [f"seed-{number:02d}" for number in range(first, first + seeds)]
    proof = prove_lab(loaded, ids, wish, jobs=jobs, hypervisor=hypervisor, quiet=json, resume=resume, training=training)
    data = proof.to_json()
    written: list[Path] = []
    if write:
        written = write_page(data)
    if json:
        print_json(data)
    else:
        out.print(_figures(data))
        for line in data["wrong"]:
            out.print(f"[red]not as it should be[/] {plain(line)}")
        if data["wrong"] and reboot:
            out.print("the same command with --resume tries what could not be, and mutants that were mended since")
        for path in written:
            out.print(str(path))
    if data["wrong"]:
        raise typer.Exit(1)


def prove_lab(
    lab: Lab,
    ids: list[str],
    wish: Wish,
    *,
    jobs: int,
    hypervisor: str,
    quiet: bool,
    resume: bool = False,
    training: str | None = None,
) -> Proof:
    """The work of `prove`: benches of sessions of its own, all deleted at the end.

    `lab` is cut down to the version `training`, when it is one that is proved.

    More jobs than seeds: several benches, with the same values, share the work of a seed.
    """
    import threading

    from labs.cli.output import Progress
    from labs.paths import state_dir
    from labs.prove.ledger import asked
    from labs.prove.phases import phases_of_checks
    from labs.prove.proof import deal
    from labs.prove.proof import prove as run

    phases = phases_of_checks()
    lost = [check for task in lab.tasks for check in task.checks if check not in phases]
    if lost:
        raise InputError(f"lab {lab.name}: no check in graders/ for {', '.join(lost)}; run plateau lab check")
    progress = Progress(quiet)
    stop = threading.Event()
    home = state_dir() / "prove" / "-".join(filter(None, (lab.name, training)))
    folders = [home / f"bench-{number}" for number in range(1, max(1, jobs // len(ids)) + 1)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(progress.showing())
        benches: list[list[ProofBench]] = [[] for _ in ids]
        for folder in folders:
            found = stack.enter_context(_benches(folder, lab.name, training, ids, hypervisor, jobs, progress, stop))
            for seed, bench in enumerate(found):
                benches[seed].append(bench)
        ledger = _ledger(home / "proof.jsonl", asked(lab, ids, wish, training, hypervisor), resume=resume)
        try:
            hands = deal(benches, wish, ledger)
            proof = run(lab, hands, phases, wish, jobs, ledger=ledger, stop=stop, training=training)
            proof.hypervisor = benches[0][0].room.hypervisor.software()
            return proof
        except KeyboardInterrupt:
            kept = f"{len(ledger.trials)} mutants and {len(ledger.gradings)} gradings"
            raise InterruptedRunError(f"interrupted; {kept} are kept: the same command with --resume goes on") from None


def _ledger(path: Path, asked: Mapping[str, Any], *, resume: bool) -> Ledger:
    """The ledger to go on with, or a new one; that of an unfinished proof is put aside, not lost."""
    from labs.cli.output import err
    from labs.prove.ledger import Ledger

    if resume:
        return Ledger.resume(path, asked)
    if path.exists():
        aside = path.replace(path.with_suffix(".before.jsonl"))
        err.print(f"the findings of an unfinished proof, without --resume, were put aside: {aside}", markup=False)
    return Ledger.begin(path, asked)


@contextlib.contextmanager
def _benches(
    folder: Path,
    lab: str,
    training: str | None,
    ids: Sequence[str],
    hypervisor: str,
    jobs: int,
    progress: Callable[[str, str], None],
    stop: threading.Event,
) -> Iterator[list[ProofBench]]:
    """The benches of one session, ready to be brought up; deleted at the end, whatever happened."""
    from labs.bench import compute_benches
    from labs.cli.opening import open_journal
    from labs.cli.provisioning import take_down
    from labs.execute import Executor
    from labs.grade import new_run_folder
    from labs.hypervisors import open_hypervisor
    from labs.lock import exclusive
    from labs.models.session import load_session
    from labs.prove.bench import ProofBench, Room, proof_session
    from labs.sessionfiles import SessionFiles

    files = SessionFiles(folder)
    session: Session | None = None
    try:
        # The session is written under its lock: another proof of this lab, still running, reads its own.
        with exclusive(files.lock, "prove") as lock, open_journal(files, "prove") as journal:
            session = load_session(str(proof_session(folder, lab, ids, hypervisor, training)))
            driver = open_hypervisor(session.profile)
            _make_room(session, jobs, progress)
            executor = Executor(session, driver, journal)
            room = Room(driver, executor, files, new_run_folder(session), lock, progress, stop)
            yield [ProofBench(room, bench) for bench in compute_benches(session)]
    finally:
        if session is not None:
            take_down(session, open_hypervisor(session.profile), None, quiet=True)


def write_page(data: dict[str, Any]) -> list[Path]:
    """Write the proof's JSON and its page under docs/validity/."""
    import json
    import os
    import platform
    import time

    from labs import __version__, validity
    from labs.prove.page import page, page_name

    folder = validity.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "Date (UTC)": time.strftime("%Y-%m-%d", time.gmtime()),
        "Plateau": __version__,
        "Lab version": str(data["lab_version"]),
        "Hypervisor": data["hypervisor"],
        "Machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
    }
    raw, shown = folder / f"{page_name(data)}.json", folder / f"{page_name(data)}.md"
    raw.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shown.write_text(page(data, machine), encoding="utf-8")
    return [raw, shown]


def _chosen(mutants: Sequence[Mutant], wanted: Sequence[str] | None) -> list[Mutant]:
    if not wanted:
        return list(mutants)
    for one in wanted:
        if not any(mutant.id == one or mutant.id.startswith(f"{one}.") for mutant in mutants):
            raise InputError(f"--mutant {one}: no such mutant; known: {', '.join(mutant.id for mutant in mutants)}")
    return [mutant for mutant in mutants if mutant.id in wanted or mutant.id.partition(".")[0] in wanted]


def _make_room(session: Session, jobs: int, progress: Callable[[str, str], None]) -> None:
    """Refuse what does not fit, and make the images and templates once for all benches."""
    from labs.bench import compute_benches
    from labs.hypervisors import open_hypervisor
    from labs.plan import make_plan

    driver = open_hypervisor(session.profile)
    benches = compute_benches(session)
    specs = [node.spec for node in benches[0].nodes]
    missing = driver.missing(specs)
    made = make_plan((benches * jobs)[:jobs], [], driver.capacity()[0], missing,
                     memory_reserve_mb=session.profile.memory_reserve_mb, instant=session.profile.instant)  # fmt: skip
    if made.problems:
        raise EnvironmentLackError(f"--jobs {jobs} does not fit: {'; '.join(made.problems)}; take fewer")
    if missing:
        driver.prepare(specs, progress)


def _figures(data: dict[str, Any]) -> Any:
    from labs.cli.output import duration, table

    def shown(value: float | None, unit: str = "") -> str:
        return "not measured" if value is None else f"{value:g}{unit}"

    mutants, alternatives = data["mutants"], data["alternatives"]
    made = table(" ".join(filter(None, ("Proof of", data["lab"], data["training"]))), "")
    made.add_row("seeds, checks", f"{data['seeds']}, {data['checks']}")
    made.add_row("points untouched", shown(data["pristine_points"]))
    made.add_row("points solved", shown(data["solution_percent"], " %"))
    made.add_row("alternatives", f"{alternatives['passed']} passed, {alternatives['failed']} failed")
    made.add_row("mutants", ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in mutants.items()))
    made.add_row("faults", ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in data["faults"].items()))
    made.add_row("specificity", shown(data["specificity_percent"], " %"))
    made.add_row("flakes", str(data["flakes"]))
    made.add_row("time", duration(data["seconds"]))
    return made
