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

    def ticks(self, interval: float, slower: float = 1.0, longest: float = 1.0) -> Iterator[None]:
        """Yield at once, then every `interval` seconds, until no time is left.

        With `slower` above 1, each wait is that many times longer than the one before, up to `longest` seconds.
        """
        while True:
            yield
            if self.expired:
                return
            time.sleep(min(interval, self.remaining))
            interval = min(interval * slower, max(longest, interval))

    def poll(self, probe: Callable[[], T | None], what: str, interval: float = 0.1, slower: float = 1.0) -> T:
        """Call `probe` until it returns something else than None, at the pace of `ticks`.

        Raises DeadlineError, naming `what`, when it never did.
        """
        for _ in self.ticks(interval, slower):
            answer = probe()
            if answer is not None:
                return answer
        raise DeadlineError(f"{what}: not there before the deadline")
