"""An errand: a program that runs on a candidate's machine for longer than one question may last."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.probe_client import SETTLE_SECONDS, ProbeError
from labs.deadline import Deadline
from labs.errors import DeadlineError
from labs.ssh import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graders.login import Login

# One errand at a time on a machine; the lock is on a folder that is there, so that nothing is left behind. A shell that
# is stopped ends by itself, so that it does what it has to do then (trap … EXIT).
START = """
d=$(mktemp -d /run/controle-XXXXXX)
printf '%%s\\n' "trap 'exit 1' TERM" %s >"$d/program"
setsid sh -c 'echo $$ >"$1/pid"; cd / && flock /run sh "$1/program" >"$1/out" 2>"$1/err"
  cat "$1/err" >>"$1/out"; echo >>"$1/out"; mv "$1/out" "$1/told"' - "$d" </dev/null >/dev/null 2>&1 &
echo "$d"
"""
LOOK = "cat %s/told 2>/dev/null && rm -rf %s"
# It is over when it has told, or when nothing of its group is left.
OVER = """
d=%s
[ -d $d ] || exit 0
[ ! -s $d/pid ] || kill -0 -$(cat $d/pid) 2>/dev/null || exit 0
test -e $d/told
"""
# Asked to end once: what it puts back then must not be interrupted.
STOP = """
d=%s
[ -d $d ] || exit 0
p=$(cat $d/pid) && [ -n "$p" ] || exit 1
[ -e $d/stopped ] || { : >$d/stopped; kill -TERM -$p 2>/dev/null; }
kill -0 -$p 2>/dev/null && exit 1
rm -rf $d
"""
STOP_SECONDS, SILENCES = 300.0, 3
"""For what a program that is stopped puts back; questions without an answer, after which a machine is left alone."""
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
    """What the program wrote, its errors last, once it is over. One that is not waited for any longer is stopped.

    Raises ProbeError when it has not ended at the deadline, or ended otherwise; UnreachableError when the machine
    cannot be asked.
    """
    host = login(errand.node)
    place = host.check_output(START, errand.program).strip()
    login.started[place] = errand.node
    told = ""
    try:
        for _ in deadline.ticks(SOON, SLOWER, SELDOM):
            told = str(host.run(LOOK, place, place).stdout)
            if told:
                login.started.pop(place, None)
                break
    finally:
        if place in login.started:
            stop(login, place)
    if errand.ending not in told:
        raise ProbeError(f"the program run on {errand.node} did not end: {told[-300:]!r}")
    return told.partition(errand.ending)[0]


def stop(login: Login, place: str) -> None:
    """Have an errand end, and wait until it has put back what it changed; one that does not stays known as at work."""
    notebook = login.notebook
    if notebook.snapshot.replaying:
        login.started.pop(place, None)
        return
    before, left = notebook.current.deadline, signal.setitimer(signal.ITIMER_REAL, 0)[0]
    notebook.current.deadline = Deadline.after(STOP_SECONDS)
    try:
        if _until(login, login.started[place], STOP, place, notebook.current.deadline):
            login.started.pop(place, None)
    finally:
        notebook.current.deadline = before
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def _until(login: Login, node: str, question: str, place: str, deadline: Deadline) -> bool | None:
    """Ask a machine until the answer is yes; None when it does not answer."""
    silent = 0
    for _ in deadline.ticks(SOON, SLOWER, SELDOM):
        try:
            if login(node).run(question, place).rc == 0:
                return True
            silent = 0
        except (UnreachableError, DeadlineError):
            silent += 1
            if silent == SILENCES:
                return None
    return False


def settle(login: Login, seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until the errands at work are over, so that a check can be measured alone; whether they are.

    A machine that does not answer disturbs nobody.
    """
    deadline, alone = Deadline.after(seconds), True
    for node, place in _started(login):
        if place not in login.over:
            over = _until(login, node, OVER, place, deadline)
            alone = alone and over is not False
            if over:
                login.over.add(place)
    return alone


def busy(login: Login, nodes: Sequence[str]) -> bool:
    """Whether errands that nobody came for yet, or that do not stop, may be at work on one of these machines."""
    if login.notebook.snapshot.replaying:
        return bool(login.notebook.recall_own("grader", BUSY))
    found = any(node in nodes and place not in login.over for node, place in _started(login))
    if found:
        login.notebook.keep("grader", BUSY, True)
    return found


def leave_nothing(login: Login) -> None:
    """Remove what errands wrote that no check came to ask for (it was blocked); what is still at work is stopped."""
    settle(login)
    for node, place in _started(login):
        if place in login.over:
            with contextlib.suppress(UnreachableError, DeadlineError):
                login(node).run("rm -rf %s", place)
        else:
            login.started[place] = node
            stop(login, place)
    login.early.clear()


def _started(login: Login) -> list[tuple[str, str]]:
    """Machines and folders of the errands that nobody asked for yet, and of those that could not be stopped."""
    early = [(node, answer.stdout.decode("utf-8", "replace").strip()) for (node, _), answer in login.early.items()]
    return [(node, place) for node, place in [*early, *((two, one) for one, two in login.started.items())] if place]
