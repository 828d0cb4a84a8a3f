"""Command line of the grader, and which session it means."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graders.records import load
from labs.errors import InputError, PlateauError
from labs.models.session import Session, load_session
from labs.paths import INVENTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labs.hypervisors.base import Hypervisor
    from labs.models.lab import Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("plateau", "Plateau: grade a session")
    group.addoption("--session", metavar="SESSION", help="Folder under inventories/, or path of a session.yaml.")
    group.addoption("--candidate", metavar="ID", action="append", help="Only this candidate (may be repeated).")
    group.addoption("--run-dir", metavar="DIR", type=Path, help="Where the records go (default: SESSION/results/TIME).")
    group.addoption("--check", metavar="ID", action="append", help="Only this check (may be repeated).")
    group.addoption("--with-needs", action="store_true", help="With --check: also the checks that it comes after.")
    group.addoption(
        "--replay", metavar="RUN", type=Path, help="Judge again from the snapshots of this run's folder: no machine."
    )
    group.addoption("--record-plan", action="store_true", help="Keep what the checks ask as the plan of the lab.")
    group.addoption("--end-file", metavar="FILE", type=Path, help="Where the exit status goes once all is on disk.")
    group.addoption("--no-reboot", action="store_true", help="Leave the persistence phase out.")
    group.addoption(
        "--reboot-node", metavar="NODE", action="append", help="Reboot only this machine (may be repeated)."
    )
    group.addoption(
        "--restarted",
        action="store_true",
        help="The machines were restarted before: the persistence phase takes them as they are.",
    )
    group.addoption("--no-signs", action="store_true", help="Do not look for signs of tampering (plateau prove).")
    group.addoption("--frozen", action="store_true", help="Write down that the machines were put back to the bell.")


def choose_session(name: str | None, open_hypervisor: Callable[[Session], Hypervisor]) -> Session:
    """The session of that name, or the only one that has running benches.

    Raises InputError, naming the candidates for the choice, when there is not exactly one.
    """
    if name is not None:
        return load_session(name)
    running: list[Session] = []
    for path in sorted(INVENTORIES.glob("*/session.yaml")):
        try:
            session = load_session(str(path))
            if _has_running_nodes(open_hypervisor(session), session):
                running.append(session)
        except PlateauError:
            continue  # a broken session file elsewhere must not stop the grading of this one
    if len(running) == 1:
        return running[0]
    if not running:
        raise InputError("no session has a running bench; run `plateau up SESSION`, or name one with --session")
    names = ", ".join(session.name for session in running)
    raise InputError(f"more than one session has running benches ({names}); name one with --session")


def as_graded(session: Session, folder: Path) -> Session:
    """The session as it was when the run in `folder` was graded: moved since, it would have other hardware addresses.

    Raises InputError when the folder has no records.
    """
    try:
        uid = load(folder / "records.jsonl").header.uid
    except (OSError, ValueError) as problem:
        raise InputError(f"{folder}: no run that can be judged again ({problem})") from None
    return dataclasses.replace(session, graded_as=uid)


def choose_checks(wanted: Sequence[str] | None, lab: Lab) -> frozenset[str]:
    """The checks of the lab's sheet that were asked for, all by default. Raises InputError for an unknown id."""
    graded = frozenset(check for task in lab.tasks for check in task.checks)
    unknown = sorted(set(wanted or ()) - graded)
    if unknown:
        raise InputError(
            f"--check {unknown[0]}: not in the sheet of lab {lab.name}; known: {', '.join(sorted(graded))}"
        )
    return frozenset(wanted) if wanted else graded


def choose_reboot_nodes(wanted: Sequence[str] | None, lab: Lab) -> frozenset[str]:
    """The candidates' machines that the persistence phase reboots, all by default. Raises InputError for another."""
    machines = frozenset(node.name for node in lab.graded_nodes)
    unknown = sorted(set(wanted or ()) - machines)
    if unknown:
        raise InputError(f"--reboot-node {unknown[0]}: candidates of lab {lab.name} have {', '.join(sorted(machines))}")
    return frozenset(wanted) if wanted else machines


def _has_running_nodes(hypervisor: Hypervisor, session: Session) -> bool:
    from labs.hypervisors.base import Power

    return any(status.power is Power.RUNNING for status in hypervisor.list_nodes(session.uid))
