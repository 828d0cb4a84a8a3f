"""How many operations of a kind a storage or a node carries out for us at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from labs.deadline import Deadline
from labs.errors import DeadlineError

FORGOTTEN_SECONDS = 180.0
"""A boot that nobody waited for keeps its place no longer than that."""


class Slots:
    """`limit` places for each name; who comes first goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._places: dict[str, threading.Semaphore] = {}

    @contextmanager
    def hold(self, name: str, deadline: Deadline) -> Iterator[None]:
        """Have a place while the `with` block runs. Raises DeadlineError when none came free in time."""
        with self._lock:
            places = self._places.setdefault(name, threading.Semaphore(self._limit))
        if not places.acquire(timeout=deadline.remaining):
            raise DeadlineError(f"{name}: still busy with {self._limit} other operations at the deadline")
        try:
            yield
        finally:
            places.release()


class Boots:
    """Places for the machines of a node that boot: taken at their start, left at the first answer of their agent."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._since: dict[str, dict[Hashable, float]] = {}

    def enter(self, node: str, who: Hashable, deadline: Deadline) -> None:
        """Wait for a place on `node`. Raises DeadlineError when none came free in time."""
        with self._changed:
            booting = self._since.setdefault(node, {})
            while who not in booting and len(booting) >= self._limit:
                oldest = min(booting, key=lambda one: booting[one])
                left = booting[oldest] + FORGOTTEN_SECONDS - time.monotonic()
                if left <= 0:
                    del booting[oldest]
                elif deadline.expired:
                    raise DeadlineError(f"{node}: still busy with {self._limit} other boots at the deadline")
                else:
                    self._changed.wait(min(left, max(0.01, deadline.remaining)))
            booting[who] = time.monotonic()

    def leave(self, node: str, who: Hashable) -> float | None:
        """Give the place back; the seconds it was held, None when it was not."""
        with self._changed:
            since = self._since.get(node, {}).pop(who, None)
            self._changed.notify_all()
        return None if since is None else time.monotonic() - since
