"""Waiting for the cluster's tasks: one poller a node, whatever their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from labs.deadline import Deadline
from labs.errors import DeadlineError, PlateauError
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind, classify, cleaned

FAST_SECONDS, SLOW_SECONDS = 0.2, 8.0
"""Between two looks at a node's tasks of one kind: a fifth of the time that they take, but no less and no more."""
LIST_FROM = 3
"""From so many tasks of one node on, one listing costs less than asking for each."""
LISTED_AT_MOST = 1000
CLOCK_SKEW_SECONDS = 600
LOG_LINES = 200


class TaskFailedError(ApiError):
    """A task that ended with something else than success; its text is the exit status."""


@dataclass
class _Task:
    upid: str
    since: float
    due: float
    """When it is worth a look, on the monotonic clock."""
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: str | None = None
    problem: PlateauError | None = None

    @property
    def kind(self) -> str:
        return self.upid.split(":")[5]

    @property
    def node(self) -> str:
        return self.upid.split(":")[1]


def succeeded(outcome: str) -> bool:
    """Whether an exit status is a success: `OK`, or `WARNINGS: n`.

    >>> succeeded("WARNINGS: 1"), succeeded("clone failed: interrupted by signal")
    (True, False)
    """
    return outcome == "OK" or outcome.startswith("WARNINGS:")


class Tasks:
    """All tasks that this process waits for. A node's polling thread lives only while there are some on it.

    Each node has its own: what is asked of one that is down is asked for long, and the others must not wait for that.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._waiting: dict[str, _Task] = {}
        self._pollers: dict[str, threading.Event] = {}
        """Node -> what wakes its poller, for as long as that lives."""
        self._pace: dict[str, float] = {}
        """Seconds that tasks of a kind took lately."""
        self._asked: dict[tuple[str, str], float] = {}

    def wait(self, upid: str, what: str, deadline: Deadline) -> None:
        """Return when the task succeeded. Raises TaskFailedError with its words, DeadlineError naming `what`."""
        now = time.monotonic()
        task = _Task(upid, now, now)
        task.due = now + max(FAST_SECONDS, self._pace.get(task.kind, 0.0))
        with self._lock:
            self._waiting[upid] = task
            wake = self._pollers.get(task.node)
            if wake is None:
                wake = self._pollers[task.node] = threading.Event()
                name = f"proxmox-tasks-{task.node}"
                threading.Thread(target=self._poll, args=(task.node, wake), name=name, daemon=True).start()
            wake.set()
        try:
            ended = task.ended.wait(deadline.remaining)
        finally:
            with self._lock:
                self._waiting.pop(upid, None)
        if task.problem is not None:
            raise task.problem
        if not ended or task.outcome is None:
            raise DeadlineError(f"{what}: task {upid} had not ended before the deadline")
        if not succeeded(task.outcome):
            raise self._failure(task, what)

    def waiting(self) -> set[str]:
        """UPIDs that threads of this process wait for."""
        with self._lock:
            return set(self._waiting)

    def running(self, node: str, kind: str, deadline: Deadline) -> list[str]:
        """UPIDs of our token's user's tasks of that type (`qmclone`) that run on a node."""
        listed = self._client.get(
            f"nodes/{node}/tasks", deadline, source="active", typefilter=kind, userfilter=self._client.user
        )
        return [str(one["upid"]) for one in listed if not one.get("endtime")]

    def _failure(self, task: _Task, what: str) -> TaskFailedError:
        """The exit status, and what only the log tells: a full storage, QEMU's own words."""
        assert task.outcome is not None
        text, deadline = task.outcome, Deadline.after(10)
        try:
            log = self._client.get(f"nodes/{task.node}/tasks/{task.upid}/log", deadline, limit=LOG_LINES)
            lines = [str(one["t"]) for one in log]
        except PlateauError:
            lines = []
        kind = classify(None, text)
        told = next((line for line in lines if classify(None, line) is Kind.FULL), None)
        if told is not None:
            kind = Kind.FULL
        elif kind is Kind.OTHER and "exit code" in text:
            told = next((line for line in reversed(lines) if _is_reason(line, text)), None)
        message = cleaned(text) + (f" ({cleaned(told)})" if told and cleaned(told) not in text else "")
        return TaskFailedError(f"{what}: {message}", kind, text)

    def _poll(self, node: str, wake: threading.Event) -> None:
        while True:
            wake.clear()
            with self._lock:
                tasks = [task for task in self._waiting.values() if task.node == node and not task.ended.is_set()]
                if not tasks:
                    del self._pollers[node]
                    return
            now = time.monotonic()
            due = [task for task in tasks if self._due(task) <= now]
            if due:
                mine = due if len(tasks) < LIST_FROM else tasks
                _guarded(mine, lambda mine=mine: self._ask(node, mine))  # type: ignore[misc]
                for task in mine:
                    self._learn(task)
            left = [self._due(task) for task in tasks if not task.ended.is_set()]
            wake.wait(max(0.0, min(left, default=0.0) - time.monotonic()))

    def _learn(self, task: _Task) -> None:
        """How long tasks of this kind take, and when this one is looked at again."""
        now = time.monotonic()
        self._asked[task.node, task.kind] = now
        if task.ended.is_set():
            taken, known = now - task.since, self._pace.get(task.kind)
            self._pace[task.kind] = taken if known is None else 0.7 * known + 0.3 * taken
        else:
            task.due = now + self._interval(task)

    def _due(self, task: _Task) -> float:
        """When a task is worth a look; one look tells of all of its kind on its node."""
        return max(task.due, self._asked.get((task.node, task.kind), 0.0) + self._interval(task))

    def _interval(self, task: _Task) -> float:
        known = self._pace.get(task.kind, 0.0)
        return min(SLOW_SECONDS, max(FAST_SECONDS, 0.2 * max(known, time.monotonic() - task.since)))

    def _ask(self, node: str, tasks: list[_Task]) -> None:
        if len(tasks) >= LIST_FROM:
            oldest = min(int(task.upid.split(":")[4], 16) for task in tasks)
            listed = self._client.get(
                f"nodes/{node}/tasks",
                Deadline.after(60),
                source="all",
                since=oldest - CLOCK_SKEW_SECONDS,
                limit=LISTED_AT_MOST,
                userfilter=self._client.user,
            )
            known = {str(one["upid"]): one for one in listed}
            for task in tasks:
                one = known.get(task.upid)
                if one is not None and one.get("endtime") and one.get("status"):
                    _end(task, str(one["status"]))
            # One that is not listed (yet, or any more) is asked for by name.
            tasks = [task for task in tasks if task.upid not in known]
        for task in tasks:
            status = self._client.get(f"nodes/{node}/tasks/{task.upid}/status", Deadline.after(60))
            if status.get("status") == "stopped":
                _end(task, str(status.get("exitstatus") or "no exit status"))


def _end(task: _Task, outcome: str) -> None:
    task.outcome = outcome
    task.ended.set()


def _guarded(tasks: list[_Task], ask: Callable[[], None]) -> None:
    """What the poller cannot read (a refused token, a node that is gone for good) is told to who waits."""
    try:
        ask()
    except PlateauError as problem:
        for task in tasks:
            task.problem = problem
            task.ended.set()


def _is_reason(line: str, text: str) -> bool:
    return bool(line.strip()) and not line.startswith("TASK ") and text not in line and "uninitialized" not in line
