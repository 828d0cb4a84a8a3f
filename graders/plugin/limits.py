"""The limits of a check: its time, and that what it wrote is put back when it ends, however it ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from graders.notebook import Measurement
from graders.plugin.recording import TimeLimitError
from labs.deadline import Deadline
from labs.errors import PlateauError

ENDS = (signal.SIGINT, signal.SIGTERM)
UNDO_SECONDS = 90.0
"""For each, beyond the check's own time: a controller of an emulated domain takes its time for a file or a password."""


class TraceError(PlateauError):
    """Something that the grader wrote is still there: the machine is not as the candidate left it."""


def end_politely() -> None:
    """From now on SIGTERM ends pytest as Ctrl-C does: what a check wrote is put back, a pulled cable is plugged."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitError in the `with` block when it takes longer."""

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitError(f"le contrôle a dépassé {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM do nothing in the `with` block, which is given a list of those that came."""
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, _frame: came.append(number)) for one in ENDS}
    try:
        yield came
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextlib.contextmanager
def put_back(measured: Measurement) -> Iterator[None]:
    """Run the undos that the `with` block registers, the last first. Raises TraceError when one does not succeed.

    Nothing interrupts them; what interrupted the block, or came meanwhile, goes on after them.
    """
    interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        left, came = _undo_all(measured)
        if came or (interrupted and left):
            raise KeyboardInterrupt(left)
        if left:
            raise TraceError(left)


def _undo_all(measured: Measurement) -> tuple[str, bool]:
    """What is left when every undo was run, and whether Ctrl-C or SIGTERM came meanwhile."""
    with held() as came:
        left = _undo(measured)
    return left, bool(came)


def _undo(measured: Measurement) -> str:
    """Run every undo; what is still there, in French, empty when nothing is."""
    left = []
    if measured.undos:
        measured.deadline = Deadline.after(UNDO_SECONDS * len(measured.undos))
    while measured.undos:
        what, act = measured.undos.pop()
        try:
            with time_limit(UNDO_SECONDS):
                _require(act())
        except (Exception, TimeLimitError) as problem:  # noqa: BLE001 - whatever it is, the others must be put back too
            left.append(f"{what} ({problem or type(problem).__name__})")
    return f"ce que le correcteur avait écrit n'a pas été retiré : {', '.join(left)}" if left else ""


def _require(result: object) -> None:
    """A command of testinfra tells its failure by its status only."""
    status = getattr(result, "rc", 0)
    if status:
        raise PlateauError(f"statut {status}")
