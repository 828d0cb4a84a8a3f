"""The snapshot: everything that was observed on one bench, in order; judging it again needs no machine.

One JSON object a line. Each says for which check it was observed (empty: for all), where (`probe:lan`, `login:ws`,
`node:ws`, `hypervisor`), what was done, and the answer.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labs.errors import PlateauError

FORMAT = 1


class MissingError(PlateauError):
    """The snapshot does not hold what a check asks for: it cannot be judged without the machines."""


@dataclass(frozen=True)
class Observation:
    """One question to the bench and its answer."""

    check: str
    source: str
    action: str
    answer: Any
    seconds: float = 0.0

    @property
    def question(self) -> tuple[str, str]:
        return self.source, self.action


@dataclass
class Snapshot:
    """Observations of one bench: written as they are made, or read to be judged again."""

    path: Path | None = None
    replaying: bool = False
    _left: dict[tuple[str, str, str], deque[Observation]] = field(default_factory=lambda: defaultdict(deque))
    _last: dict[tuple[str, str], Observation] = field(default_factory=dict)
    _descriptor: int | None = None

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a snapshot to replay it. Raises PlateauError, naming the line, when it is not one."""
        snapshot = cls(path, replaying=True)
        for observation in read(path):
            snapshot._left[(observation.check, *observation.question)].append(observation)
        return snapshot

    def record(self, observation: Observation) -> None:
        """Keep an observation; it is on disk when this returns to the kernel's care (a kill loses nothing)."""
        if self.replaying:
            self._last[observation.question] = observation
        elif self.path is not None:
            # Not asdict(): it copies every answer, which costs more than all the rest of keeping it.
            text = json.dumps(vars(observation), ensure_ascii=False)
            self._write(text.encode("utf-8", "backslashreplace") + b"\n")

    def take(self, check: str, source: str, action: str) -> Observation:
        """The next observation of a check with this question; then what it saw last, or what was seen for all.

        Raises MissingError when the question was never asked.
        """
        for owner in (check, ""):
            waiting = self._left.get((owner, source, action))
            if waiting:
                found = waiting.popleft() if len(waiting) > 1 else waiting[0]
                self._last[found.question] = found
                return found
        last = self._last.get((source, action))
        if last is None:
            last = next((seen[0] for (_, *question), seen in self._left.items()
                         if tuple(question) == (source, action) and seen), None)  # fmt: skip
        if last is None:
            raise MissingError(f"the snapshot does not hold {source}: {action[:200]}")
        return last

    def own(self, check: str, source: str, action: str) -> Any:
        """The next answer to this question of this very check; None when there is none left."""
        waiting = self._left.get((check, source, action))
        return waiting.popleft().answer if waiting else None

    def close(self) -> None:
        """Put it safely on disk."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            assert self.path is not None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if new:
                self._write(json.dumps({"snapshot": FORMAT}).encode() + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]


def read(path: Path) -> Iterator[Observation]:
    """The observations of a file. Raises PlateauError, naming the line, when it is not a snapshot."""
    try:
        # Not splitlines(): an output may hold U+2028 or U+0085, which JSON leaves as they are.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise PlateauError(f"{path}: not a snapshot: {problem}") from None
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            if number == 1:
                if data.get("snapshot") != FORMAT:
                    raise ValueError(f"format {data.get('snapshot')}, this version reads {FORMAT}")
                continue
            yield Observation(**data)
        except (ValueError, TypeError, AttributeError) as problem:
            raise PlateauError(f"{path}:{number}: not a snapshot ({problem})") from None
