"""What is known of the machines' power, for how long it may be believed, and how long a boot takes here."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from labs.hypervisors.base import NodeKey, NodeStatus

BELIEVED_SECONDS = 3.0
JITTER_SECONDS = 2.5
"""Uptimes are whole seconds: starts that differ by less are one."""


class Power:
    """The latest statuses, and the pace of boots; shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[NodeKey, tuple[float, NodeStatus]] = {}
        self._since: dict[NodeKey, float] = {}
        self._started: dict[NodeKey, float] = {}
        self._pace: float | None = None
        self._scouts: dict[str, NodeKey] = {}

    def recall(self, key: NodeKey) -> NodeStatus | None:
        """A status that is fresh enough to be told again."""
        with self._lock:
            moment, status = self._seen.get(key, (float("-inf"), None))
        return status if time.monotonic() - moment < BELIEVED_SECONDS else None

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
            self._seen[status.key] = (time.monotonic(), status)
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
            self._started[key] = time.monotonic()

    def answered(self, key: NodeKey) -> None:
        """Its agent answered for the first time: others will take about as long."""
        with self._lock:
            started = self._started.pop(key, None)
            if started is not None:
                taken = time.monotonic() - started
                self._pace = taken if self._pace is None else 0.7 * self._pace + 0.3 * taken
            self._scouts = {node: scout for node, scout in self._scouts.items() if scout != key}

    def patience(self, key: NodeKey, node: str) -> float:
        """Seconds to wait before the agent is worth a question.

        While nobody knows how long a boot takes here, one machine of each node is asked again and again; the others
        wait until it answered, because a question without an answer blocks the node's API for 3 s.
        """
        with self._lock:
            started = self._started.get(key)
            if started is None:
                return 0.0
            age = time.monotonic() - started
            if self._pace is not None:
                return max(0.0, 0.9 * self._pace - age)
            scout = self._scouts.setdefault(node, key)
            return 0.0 if scout == key or age > 60 else 0.5

    def gave_up(self, key: NodeKey) -> None:
        """Nobody waits for this machine's agent any more."""
        with self._lock:
            self._scouts = {node: scout for node, scout in self._scouts.items() if scout != key}
