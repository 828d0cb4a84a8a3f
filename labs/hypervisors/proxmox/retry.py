"""Doing something to the cluster exactly once, though its answer may be lost and its locks may be held."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from labs.deadline import Deadline
from labs.errors import DeadlineError, PlateauError
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.tasks import Tasks

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
LATE_SECONDS = 2.0
"""How long after a lost answer the effect is looked for before the call is repeated: it may be carried out late."""


def settle(
    act: Callable[[], object],
    done: Callable[[], bool] | None,
    tasks: Tasks,
    what: str,
    deadline: Deadline,
) -> None:
    """Call `act`, wait for its task if it returns one, and repeat it while that is right.

    A held lock: again after a pause, because nothing was done. A lost answer: only once `done` says, several times,
    that it was not carried out. Any other error is raised, unless `done` shows that what was wanted is there; without
    `done`, where nothing tells whether it was carried out, a lost answer is raised too.
    Raises DeadlineError with the last error's words when the time is over.
    """
    pause, last = FIRST_PAUSE, ""
    while True:
        try:
            answer = act()
            if isinstance(answer, str) and answer.startswith("UPID:"):
                tasks.wait(answer, what, deadline)
        except ApiError as problem:
            last = str(problem)
            if done is None:
                if problem.kind is not Kind.BUSY:
                    raise
            elif problem.kind is Kind.UNKNOWN:
                if _appears(done, deadline):
                    return
            elif problem.kind is not Kind.BUSY:
                # A pool's token gets a 403 for what is gone, like for what never was.
                if problem.kind in {Kind.EXISTS, Kind.MISSING, Kind.STOPPED, Kind.DENIED} and done():
                    return
                raise
        else:
            return
        if deadline.remaining <= pause:
            raise DeadlineError(f"{what}: not done before the deadline; the last answer was: {last}")
        # Apart from each other: those that found the same lock held must not all come back at once.
        time.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - a pause is no secret
        pause = min(LONGEST_PAUSE, pause * 2)


def _appears(done: Callable[[], bool], deadline: Deadline) -> bool:
    for _ in deadline.sooner(LATE_SECONDS).ticks(0.5):
        try:
            if done():
                return True
        except PlateauError:
            continue
    return False
