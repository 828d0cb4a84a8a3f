"""Why checks are blocked: each is traced to its root cause, so that a cause is shown once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graders.records import NODE_DOWN, Record, Verdict


@dataclass(frozen=True)
class BlockedGroup:
    """The checks behind one cause."""

    cause: str
    """Check id, `node:NAME`, or empty when the records do not say."""
    origin: Record | None
    """The record of the cause, when the cause is a check that was run."""
    records: tuple[Record, ...]
    points: float
    """What these checks are worth together."""
    settled: bool
    """True when the cause was measured and is not there; False when it must be measured again."""

    @property
    def node(self) -> str | None:
        """The machine that is down, when the cause is one."""
        return self.cause.removeprefix(NODE_DOWN) if self.cause.startswith(NODE_DOWN) else None


class Causes:
    """The root cause of every blocked record of one candidate."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = list(records)
        self._index = {(record.check, record.phase): record for record in self._records}

    def find(self, check: str, phase: str) -> Record | None:
        """The record of a check in a phase, else as the candidate left it."""
        return self._index.get((check, phase)) or self._index.get((check, "live"))

    def root(self, record: Record) -> tuple[str, Record | None]:
        """The cause at the end of the chain, with its record if it is a check that was run."""
        seen = {record.check}
        cause, origin = record.blocked_by or "", None
        while cause and not cause.startswith(NODE_DOWN):
            origin = self.find(cause, record.phase)
            if origin is None or origin.verdict is not Verdict.BLOCKED or origin.check in seen:
                break
            seen.add(origin.check)
            cause, origin = origin.blocked_by or "", None
        return cause, origin

    def is_open(self, record: Record) -> bool:
        """True when the verdict is not known yet: nothing may be concluded against the candidate."""
        if record.verdict is Verdict.BLOCKED:
            return not self._settled(*self.root(record))
        return record.verdict in (Verdict.ERROR, Verdict.MANUAL)

    def groups(self) -> tuple[BlockedGroup, ...]:
        """Blocked records under their causes, machines first, then in the order of the records."""
        found: dict[str, tuple[Record | None, list[Record]]] = {}
        for record in self._records:
            if record.verdict is Verdict.BLOCKED:
                cause, origin = self.root(record)
                found.setdefault(cause, (origin, []))[1].append(record)
        groups = [
            BlockedGroup(
                cause,
                origin,
                tuple(records),
                round(sum(record.max_points for record in records), 4),
                self._settled(cause, origin),
            )
            for cause, (origin, records) in found.items()
        ]
        return tuple(sorted(groups, key=lambda group: group.node is None))

    @staticmethod
    def _settled(cause: str, origin: Record | None) -> bool:
        return cause.startswith(NODE_DOWN) or (origin is not None and origin.verdict is Verdict.FAILED)
