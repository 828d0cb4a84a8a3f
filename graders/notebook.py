"""The grader's notebook: every observation made for the current check becomes evidence."""

from __future__ import annotations

from graders.expect import Expect
from graders.records import Evidence
from labs.deadline import Deadline

LIMIT = 64 * 1024


class Measurement:
    """What one check gathers: evidence, comparisons, and the moment by which it must end."""

    def __init__(self, seconds: float) -> None:
        self.evidence: list[Evidence] = []
        self.expect = Expect()
        self.deadline = Deadline.after(seconds)
        self.disturbed = False
        """Whether a probe was slowed down by the others that ran with it."""

    def again(self, seconds: float) -> None:
        """Begin afresh, within `seconds`; what was seen stays as evidence."""
        self.expect.comparisons.clear()
        self.deadline = Deadline.after(seconds)
        self.disturbed = False


class Notebook:
    """Shared by the probe and the logins of one bench; `current` changes with the check."""

    def __init__(self) -> None:
        self.current = Measurement(0)

    def begin(self, seconds: float) -> Measurement:
        self.current = Measurement(seconds)
        return self.current

    def add(self, source: str, action: str, output: str, seconds: float) -> None:
        """Note one observation, its output cut at 64 KiB."""
        if len(output) > LIMIT:
            output = f"{output[:LIMIT]}\n[cut: {len(output)} characters]"
        self.current.evidence.append(Evidence(source, action, output, round(seconds, 3)))
