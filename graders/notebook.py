"""The grader's notebook: every observation made for the current check becomes evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graders.engine.snapshot import Observation, Snapshot
from graders.expect import CURRENT, Expect
from graders.records import Evidence
from labs.deadline import Deadline

LIMIT = 64 * 1024


class Measurement:
    """What one check gathers: evidence, comparisons, and the moment by which it must end."""

    def __init__(self, seconds: float, check: str = "") -> None:
        self.check = check
        self.evidence: list[Evidence] = []
        self.expect = Expect()
        self.deadline = Deadline.after(seconds)
        self.undos: list[tuple[str, Callable[[], object]]] = []
        """What puts back what the check wrote: a name, and the act."""
        self.disturbed = False
        """Whether it was measured while others were, which may have slowed it down."""
        self.acted = False
        """Whether it restarted a machine, pressed its power key or pulled a cable: one that is down may be so by it."""

    def again(self, seconds: float) -> None:
        """Begin afresh, within `seconds`; what was seen stays as evidence."""
        self.expect.comparisons.clear()
        self.deadline = Deadline.after(seconds)
        self.disturbed = False


class Notebook:
    """Shared by the probe and the logins of one bench; `current` changes with the check.

    What was answered goes to the snapshot, or comes from it when the bench is judged again without its machines.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot or Snapshot()
        self.current = Measurement(0)

    def begin(self, seconds: float, check: str = "") -> Measurement:
        self.current = Measurement(seconds, check)
        CURRENT.set(self.current.expect)
        return self.current

    def recall(self, source: str, action: str) -> Any:
        """The answer of the snapshot to the current check. Raises MissingError when it does not hold one."""
        return self.snapshot.take(self.current.check, source, action).answer

    def recall_own(self, source: str, action: str) -> Any:
        """The same, of this very check: None when the snapshot holds no answer to it."""
        return self.snapshot.own(self.current.check, source, action)

    def keep(self, source: str, action: str, answer: Any, seconds: float = 0.0) -> None:
        """Put an answer to the current check into the snapshot."""
        self.snapshot.record(Observation(self.current.check, source, action, answer, round(seconds, 3)))

    def add(self, source: str, action: str, output: str, seconds: float) -> None:
        """Note one observation, its output cut at 64 KiB."""
        if len(output) > LIMIT:
            output = f"{output[:LIMIT]}\n[cut: {len(output)} characters]"
        self.current.evidence.append(Evidence(source, action, output, round(seconds, 3)))
