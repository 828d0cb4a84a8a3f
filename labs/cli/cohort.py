"""status: every bench of a session at a glance."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.opening import open_journal, open_session
from labs.cli.options import JsonOption, SessionArg
from labs.errors import InputError

if TYPE_CHECKING:
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.models.session import Session


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(status)


def status(
    session: SessionArg,
    json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every 2 s until Ctrl-C.")] = False,
) -> None:
    """Every bench and machine: state, address, since when, last error."""
    from labs.cli.output import out, print_json

    if json and watch:
        raise InputError("--json prints one document, --watch goes on for ever: give one of them")
    loaded, hypervisor, benches = open_session(session, None)
    while True:
        found = rows(loaded, hypervisor, benches)
        if json:
            print_json({"session": loaded.name, "training": loaded.file.training, "nodes": found})
        else:
            if watch:
                out.clear()
            tell_training(loaded)
            out.print(as_table(found))
        if not watch:
            break
        time.sleep(2)
    if any(row["state"] != "ready" for row in found):
        raise typer.Exit(1)


def tell_training(loaded: Session) -> None:
    """One line about the training version that a session works on, if it does; in an exam, about the lab's proof."""
    from labs.cli.output import out
    from labs.validity import unproven

    if loaded.file.mode == "exam" and (told := unproven(loaded.lab)):
        out.print(f"[yellow]mode: exam: {told}[/]", soft_wrap=True)
    if training := loaded.training:
        tasks = f"tasks {', '.join(task.id for task in loaded.lab.tasks)}"
        prepared = f"prepared by {loaded.preparation}" if loaded.preparation else "on machines as they come"
        out.print(f"training version {training.id}: {tasks}; {prepared}", markup=False, soft_wrap=True)


def rows(loaded: Session, hypervisor: Hypervisor, benches: list[Bench]) -> list[dict[str, Any]]:
    """State, address, start and last error of every machine, as the hypervisor and the journal have them."""
    from labs.hypervisors.base import Power
    from labs.sessionfiles import SessionFiles

    files = SessionFiles(loaded.folder)
    known = {status.key: status for status in hypervisor.list_nodes(loaded.uid)}
    errors: dict[str, str] = {}
    if files.journal.exists():
        with open_journal(files, "status") as journal:
            for bench in benches:
                for node in bench.nodes:
                    error = journal.last_error(str(node.spec.key))
                    if error:
                        errors[str(node.spec.key)] = error
    listed = []
    for bench in benches:
        for node in bench.nodes:
            found = known.get(node.spec.key)
            power = found.power if found else Power.ABSENT
            state = power.value
            if found and power is Power.RUNNING:
                state = "closed" if found.closed else "ready" if found.ready else "unfinished"
            listed.append(
                {
                    "candidate": bench.candidate.id,
                    "node": node.name,
                    "state": state,
                    "ssh": f"{found.ssh[0]}:{found.ssh[1]}" if found and found.ssh else None,
                    "since": datetime.fromtimestamp(found.since).astimezone().isoformat(timespec="seconds")
                    if found and found.since
                    else None,
                    "last_error": errors.get(str(node.spec.key)),
                }
            )
    return listed


def as_table(listed: list[dict[str, Any]]) -> Any:
    """The rows for people."""
    from labs.cli.output import plain, table

    shown = table("Candidate", "Machine", "State", "SSH", "Since", "Last error")
    for row in listed:
        colour = "green" if row["state"] == "ready" else "yellow"
        since = row["since"][11:19] if row["since"] else ""
        shown.add_row(
            row["candidate"],
            row["node"],
            f"[{colour}]{row['state']}[/]",
            row["ssh"] or "",
            since,
            plain(row["last_error"] or ""),
        )
    return shown
