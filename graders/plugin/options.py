"""Command line of the grader, and which session it means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labs.errors import InputError, PlateauError
from labs.models.session import Session, load_session
from labs.paths import INVENTORIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from labs.hypervisors.base import Hypervisor


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("plateau", "Plateau: grade a session")
    group.addoption("--session", metavar="SESSION", help="Folder under inventories/, or path of a session.yaml.")
    group.addoption("--candidate", metavar="ID", action="append", help="Only this candidate (may be repeated).")
    group.addoption("--run-dir", metavar="DIR", type=Path, help="Where the records go (default: SESSION/results/TIME).")
    group.addoption("--no-reboot", action="store_true", help="Leave the persistence phase out.")


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


def _has_running_nodes(hypervisor: Hypervisor, session: Session) -> bool:
    from labs.hypervisors.base import Power

    return any(status.power is Power.RUNNING for status in hypervisor.list_nodes(session.uid))
