"""An errand: a program that runs on a candidate's machine for longer than one question may last."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.engine.snapshot import MissingError
from graders.probe_client import SETTLE_SECONDS, ProbeError
from labs.deadline import Deadline
from labs.errors import DeadlineError
from labs.ssh import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graders.login import Login

# One errand at a time on a machine; the lock is on a folder that is there, so that nothing is left behind.
START = """
d=$(mktemp -d /run/controle-XXXXXX)
printf %%s %s >"$d/program"
setsid sh -c 'cd / && flock /run sh "$1/program" >"$1/out" 2>"$1/err"
  cat "$1/err" >>"$1/out"; echo >>"$1/out"; mv "$1/out" "$1/told"' - "$d" </dev/null >/dev/null 2>&1 &
echo "$d"
"""
LOOK = "cat %s/told 2>/dev/null && rm -rf %s"
OVER = "test -e %s/told"
BUSY = "errands at work"
SOON, SLOWER, SELDOM = 0.5, 1.1, 4.0
"""Seconds between two looks, at first and at most, and how they grow: each is a shell on a machine that may be
emulated, and some errands last a quarter of an hour."""
LATE = "statut-124"
"""What a program writes of a trial that timeout(1) ended: neither granted nor refused."""


@dataclass(frozen=True)
class Errand:
    """A shell program for a machine, run as root, detached. It ends its output with `ending`: nothing was cut off."""

    node: str
    program: str
    ending: str


def start_errand(login: Login, errand: Errand) -> None:
    """Start it now; `run_errand` then waits for its end only. What failed so is measured again, alone."""
    login.prefetch(errand.node, START, errand.program)


def run_errand(login: Login, errand: Errand, deadline: Deadline) -> str:
    """What the program wrote, its errors last, once it is over.

    Raises ProbeError when it has not ended at the deadline, or ended otherwise; UnreachableError when the machine
    cannot be asked.
    """
    host = login(errand.node)
    place = host.check_output(START, errand.program).strip()
    told = ""
    for _ in deadline.ticks(SOON, SLOWER, SELDOM):
        told = str(host.run(LOOK, place, place).stdout)
        if told:
            break
    if errand.ending not in told:
        raise ProbeError(f"the program run on {errand.node} did not end: {told[-300:]!r}")
    return told.partition(errand.ending)[0]


def settle(login: Login) -> None:
    """Wait until the errands that were started early are over, so that a check can be measured alone."""
    deadline = Deadline.after(SETTLE_SECONDS)
    for node, place in _started(login):
        with contextlib.suppress(UnreachableError, DeadlineError):
            for _ in deadline.ticks(SOON, SLOWER, SELDOM):
                if login(node).run(OVER, place).rc == 0:
                    login.over.add(place)
                    break


def busy(login: Login, nodes: Sequence[str]) -> bool:
    """Whether errands that nobody came for yet may still be at work on one of these machines."""
    if login.notebook.snapshot.replaying:
        with contextlib.suppress(MissingError):
            return bool(login.notebook.recall("grader", BUSY))
        return False
    found = any(node in nodes and place not in login.over for node, place in _started(login))
    if found:
        login.notebook.keep("grader", BUSY, True)
    return found


def leave_nothing(login: Login) -> None:
    """Remove what errands wrote that no check came to ask for (it was blocked)."""
    settle(login)
    for node, place in _started(login):
        with contextlib.suppress(UnreachableError, DeadlineError):
            login(node).run("rm -rf %s", place)
    login.early.clear()


def _started(login: Login) -> list[tuple[str, str]]:
    """Machines and folders of the errands that nobody asked for yet."""
    return [(node, answer.stdout.decode("utf-8", "replace").strip()) for (node, _), answer in login.early.items()]
