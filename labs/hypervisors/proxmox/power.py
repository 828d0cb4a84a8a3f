"""What is known of the machines' power, for how long it may be believed, and how long a boot takes here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from labs.hypervisors.base import NodeKey, NodeStatus

BELIEVED_SECONDS = 3.0
SILENCE_SECONDS = 3.0
"""How long a question blocks that gets no answer."""
UNKNOWN_SECONDS = 90.0
"""A machine of this age is asked whatever is known of others."""
JITTER_SECONDS = 2.5
"""Uptimes are whole seconds: starts that differ by less are one."""


class Power:
    """The latest statuses, and the pace of boots; shared by all threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[NodeKey, tuple[float, NodeStatus]] = {}
        self._since: dict[NodeKey, float] = {}
        self._started: dict[NodeKey, float] = {}
        self._hit: float | None = None
        """Age at which agents answer."""
        self._miss = 0.0
        """Age at which they do not yet."""
        self._scouts: dict[str, list[NodeKey]] = {}

    def recall(self, key: NodeKey) -> NodeStatus | None:
        """A status that is fresh enough to be told again."""
        with self._lock:
            moment, status = self._seen.get(key, (float("-inf"), None))
        return status if self._clock() - moment < BELIEVED_SECONDS else None

    def remember(self, status: NodeStatus) -> NodeStatus:
        """Note what the cluster said; the moment of the start is told the same as long as it is the same start."""
        with self._lock:
            if status.since is None:
                self._since.pop(status.key, None)
            else:
                known = self._since.get(status.key)
                if known is None or abs(known - status.since) > JITTER_SECONDS:
                    self._since[status.key] = status.since
                status = replace(status, since=self._since[status.key])
            self._seen[status.key] = (self._clock(), status)
        return status

    def forget(self, key: NodeKey) -> None:
        """Something was done to the machine."""
        with self._lock:
            self._seen.pop(key, None)

    def started(self, key: NodeKey) -> None:
        """The machine begins to boot now."""
        with self._lock:
            self._seen.pop(key, None)
            self._since.pop(key, None)
            self._started[key] = self._clock()

    def answered(self, key: NodeKey) -> None:
        """Its agent answered for the first time: others will take about as long."""
        with self._lock:
            started = self._started.pop(key, None)
            if started is not None:
                taken = self._clock() - started
                # Slowly: one that was quick does not make the others so, and a question too early costs 3 s.
                self._hit = taken if self._hit is None else 0.7 * self._hit + 0.3 * taken
                self._miss = min(self._miss, self._hit)
            self._leave(key)

    def missed(self, key: NodeKey, asked: float) -> None:
        """Its agent did not answer a question asked at the time `asked` of the same clock."""
        with self._lock:
            started = self._started.get(key)
            if started is not None:
                age = asked - started
                if self._hit is None or age < self._hit:
                    self._miss = max(self._miss, age)
                else:
                    self._hit = age + 0.5

    def patience(self, key: NodeKey, node: str) -> float:
        """Seconds to wait before the agent is worth a question.

        A question without an answer blocks one of the node's API workers for 3 s, so machines wait until others of
        this run had booted. Only two of each node, the scouts, ask earlier and in turn, to find out how long a boot
        takes here; once that is known, one of them, to find out whether it takes less.
        """
        with self._lock:
            started = self._started.get(key)
            if started is None:
                return 0.0
            age = self._clock() - started
            if self._hit is not None and age >= self._hit:
                return 0.0
            scouts = self._scouts.setdefault(node, [])
            if key not in scouts and len(scouts) < (2 if self._hit is None else 1):
                scouts.append(key)
            if key not in scouts and age < UNKNOWN_SECONDS:
                return 0.25 if self._hit is None else min(1.0, self._hit - age)
            if self._hit is None:
                return max(0.0, scouts.index(key) * SILENCE_SECONDS / 2 - age) if key in scouts else 0.0
            if self._hit - self._miss < SILENCE_SECONDS / 2:
                return self._hit - age  # nothing to gain
            return max(0.0, (self._miss + self._hit) / 2 - age)

    def gave_up(self, key: NodeKey) -> None:
        """Nobody waits for this machine's agent any more."""
        with self._lock:
            self._leave(key)

    def _leave(self, key: NodeKey) -> None:
        for scouts in self._scouts.values():
            if key in scouts:
                scouts.remove(key)
