"""A point in time that waits are measured against, passed down instead of loose timeouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from labs.errors import DeadlineError

T = TypeVar("T")


class Deadline:
    """The moment by which an operation must have ended, on the monotonic clock.

    >>> Deadline.after(0).expired
    True
    """

    def __init__(self, at: float) -> None:
        self._at = at

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that lies `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining == 0.0

    def sooner(self, seconds: float) -> Deadline:
        """This deadline or `seconds` from now, whichever comes first."""
        return Deadline(min(self._at, time.monotonic() + seconds))

    def check(self, what: str) -> None:
        """Raise DeadlineError, naming `what` was waited for, when no time is left."""
        if self.expired:
            raise DeadlineError(f"{what}: no answer before the deadline")

    def ticks(self, interval: float) -> Iterator[None]:
        """Yield at once, then every `interval` seconds, until no time is left."""
        while True:
            yield
            if self.expired:
                return
            time.sleep(min(interval, self.remaining))

    def poll(self, probe: Callable[[], T | None], what: str, interval: float = 0.1) -> T:
        """Call `probe` until it returns something else than None.

        Raises DeadlineError, naming `what`, when it never did.
        """
        for _ in self.ticks(interval):
            answer = probe()
            if answer is not None:
                return answer
        raise DeadlineError(f"{what}: not there before the deadline")
