"""The record: the result of one check on one bench, and the only source of every rendering.

A run's `records.jsonl` holds one JSON object a line: first a RunHeader, then a BenchHeader for each
candidate, then Records, each with its `kind`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

FORMAT = 1
NODE_DOWN = "node:"
"""What `blocked_by` begins with when a machine is down, before its name."""


class Verdict(StrEnum):
    """The six verdicts. Only `passed` gives points; `error` must be measured again."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    ERROR = "error"
    MANUAL = "manual"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Comparison:
    """One expectation of a check, with what was seen."""

    label: str
    expected: str
    observed: str
    ok: bool


@dataclass(frozen=True)
class Attempt:
    """One observation of behaviour that was waited for. Seconds since the wait began, and of the observation itself."""

    at: float
    seconds: float
    ok: bool


@dataclass(frozen=True)
class Evidence:
    """One thing the grader did to measure, with the raw answer (already cut to size)."""

    source: str
    """Where it was measured: `probe:lan`, `ssh:ws`, `agent:ws`, `hypervisor`."""
    action: str
    output: str
    seconds: float


@dataclass(frozen=True)
class RunHeader:
    """What was graded, with what. Times are ISO 8601 UTC."""

    run: str
    session: str
    title: str
    mode: str
    lab: str
    lab_title: dict[str, str]
    lab_version: str
    referential: str
    seed_digest: str
    started: str
    grader_version: str
    hypervisor: str
    tasks: list[dict[str, Any]]
    """Each: id, title {fr, en}, points (of the task), checks {id: points}."""
    bareme: dict[str, Any] = field(default_factory=dict)
    """The lab's barème beyond its points (labs.models.bareme); empty means its defaults."""
    versions: dict[str, str] = field(default_factory=dict)
    """Python, and digests of the checks, the referential and the dependencies (graders.versions)."""
    training: dict[str, Any] = field(default_factory=dict)
    """The training version that was worked on: id, title {fr, en}; empty for the whole lab. No result of a title."""
    uid: str = ""
    """The session's name on the hypervisor, which the machines' hardware addresses derive from."""
    frozen: bool | None = None
    """Whether the machines were put back to the bell before they were measured; None: nobody noted it."""
    format: int = FORMAT
    kind: str = "run"


@dataclass(frozen=True)
class BenchHeader:
    """The candidate and the bench as graded."""

    candidate: str
    name: str
    values: dict[str, Any]
    """The variant: the values that this candidate's subject shows."""
    nodes: list[dict[str, Any]]
    """Each: name, role, state (running, stopped, absent), reachable (bool), image (digest)."""
    kind: str = "bench"


@dataclass(frozen=True)
class Record:
    """The result of one check on one bench."""

    candidate: str
    check: str
    """Id in the referential, e.g. `CP06-S1.a`."""
    competence: str
    """e.g. `CP06`."""
    task: str
    title: str
    """First line of the check's docstring, in French: what the candidate reads."""
    verdict: Verdict
    points: float
    max_points: float
    phase: str = "live"
    """`live` (as the candidate left it) or `reboot` (again after a real reboot)."""
    message: str = ""
    """Why it is not passed, in French, one or two sentences."""
    blocked_by: str | None = None
    """Check id, or `node:NAME` when a machine is down."""
    comparisons: list[Comparison] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """Of behaviour that was waited for: every observation, in order."""
    intermittent: bool = False
    """Whether it was seen and then was gone again: failed, under this name."""
    started: str = ""
    seconds: float = 0.0
    kind: str = "record"


@dataclass(frozen=True)
class Run:
    """A whole records file."""

    header: RunHeader
    benches: list[BenchHeader]
    records: list[Record]


def dump(item: RunHeader | BenchHeader | Record) -> str:
    """One line of the records file: always valid UTF-8, even when evidence holds a lone surrogate.

    Keys stay in the order of the fields and of the author's data: the lab's order of checks and values is read here.
    """
    text = json.dumps(dataclasses.asdict(item), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def load(path: Path) -> Run:
    """Read a records file. Raises ValueError, naming the line, when it is not one."""
    # Not splitlines(): evidence may hold U+2028 or U+0085, which JSON leaves as they are.
    return parse(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), str(path))


def parse(lines: Iterable[str], name: str = "records") -> Run:
    """Read records from lines. Raises ValueError, naming the line, when they are not records."""
    header: RunHeader | None = None
    benches: list[BenchHeader] = []
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            match data.get("kind"):
                case "run":
                    header = RunHeader(**data)
                case "bench":
                    benches.append(BenchHeader(**data))
                case "record":
                    data["verdict"] = Verdict(data["verdict"])
                    data["comparisons"] = [Comparison(**c) for c in data["comparisons"]]
                    data["evidence"] = [Evidence(**e) for e in data["evidence"]]
                    data["attempts"] = [Attempt(**a) for a in data.get("attempts", [])]
                    records.append(Record(**data))
                case other:
                    raise ValueError(f"unknown kind {other!r}")
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise ValueError(f"{name}:{number}: not a record ({problem})") from None
    if header is None:
        raise ValueError(f"{name}: no run header: the file is empty or cut")
    if header.format != FORMAT:
        raise ValueError(f"{name}: format {header.format}, this version reads {FORMAT}")
    return Run(header, benches, records)
