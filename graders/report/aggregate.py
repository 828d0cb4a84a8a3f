"""From records to results: the only place where points, verdicts and outcomes are counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from graders.records import BenchHeader, Record, Run, RunHeader, Verdict
from graders.report.causes import BlockedGroup, Causes

PHASES = ("live", "reboot")


class Outcome(StrEnum):
    """What a row of the referential came to. Given only when measuring again could not change it."""

    MET = "met"
    PARTIAL = "partial"
    NOT_MET = "not_met"
    NOT_ASSESSABLE = "not_assessable"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Tally:
    """Counts over some records. Points are rounded to four decimals."""

    points: float
    max_points: float
    """Checks that are `not_applicable` do not count; checks that were not run do."""
    unmeasured: float
    """Points that wait for a measure: in error, not run, or behind something that was not measured."""
    manual: float
    """Points that wait for a person."""
    blocked: float
    """Points lost behind a prerequisite that was measured and is not there."""
    counts: dict[Verdict, int]
    """Every verdict, zero included."""
    missing: tuple[str, ...]
    """Checks that the run declares and that have no record."""
    final: bool
    """False when anything must still be measured."""

    @property
    def complete(self) -> bool:
        """True when nothing is waited for: neither a measure nor a person."""
        return self.final and not self.counts[Verdict.MANUAL]


@dataclass(frozen=True)
class TaskResult:
    """One task of the subject, for one candidate."""

    id: str
    title: dict[str, str]
    records: tuple[Record, ...]
    tally: Tally


@dataclass(frozen=True)
class RowResult:
    """One row of the referential (`CP06-S1`), with the records of the checks that grade it."""

    id: str
    outcome: Outcome
    records: tuple[Record, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class CompetenceResult:
    """One competence: its rows side by side. There is no mark of a competence, on purpose."""

    id: str
    rows: tuple[RowResult, ...]


@dataclass(frozen=True)
class CandidateResult:
    """Everything about one candidate."""

    bench: BenchHeader
    tally: Tally
    tasks: tuple[TaskResult, ...]
    competences: tuple[CompetenceResult, ...]
    blocked: tuple[BlockedGroup, ...]


@dataclass(frozen=True)
class RunResult:
    """A whole run, candidates in the order of the file."""

    header: RunHeader
    candidates: tuple[CandidateResult, ...]
    final: bool


def settle(records: Iterable[Record]) -> list[Record]:
    """One record for each (candidate, check, phase): the last line wins.

    A check that ended in `error` is measured again and appended to the same file, so the last line is the
    latest measure.
    """
    latest: dict[tuple[str, str, str], Record] = {}
    for record in records:
        latest[record.candidate, record.check, record.phase] = record
    return list(latest.values())


def weigh(records: Sequence[Record], worth: dict[str, float]) -> list[Record]:
    """Share out a check's declared points over its phases.

    The run header says what a check is worth. When its records (live and reboot) claim more together, each is
    scaled down by the same factor, so a check passed live and lost at reboot gets half of its points.
    """
    claimed: Counter[str] = Counter()
    for record in records:
        claimed[record.check] += record.max_points  # type: ignore[assignment]  # Counter sums floats as well
    scaled = []
    for record in records:
        total, declared = claimed[record.check], worth.get(record.check)
        if declared is not None and total > declared:
            factor = declared / total
            record = replace(record, points=record.points * factor, max_points=record.max_points * factor)  # noqa: PLW2901
        scaled.append(record)
    return scaled


def tally(records: Sequence[Record], missing: dict[str, float], causes: Causes) -> Tally:
    """Count records; `missing` maps the checks that were not run to their points."""
    counts = dict.fromkeys(Verdict, 0)
    points = best = unmeasured = manual = blocked = 0.0
    final = not missing
    for record in records:
        counts[record.verdict] += 1
        if record.verdict is Verdict.NOT_APPLICABLE:
            continue
        best += record.max_points
        if record.verdict is Verdict.PASSED:
            points += record.points
        elif record.verdict is Verdict.MANUAL:
            manual += record.max_points
        elif causes.is_open(record):
            unmeasured += record.max_points
            final = False
        elif record.verdict is Verdict.BLOCKED:
            blocked += record.max_points
    lost = sum(missing.values())
    return Tally(
        points=round(points, 4),
        max_points=round(best + lost, 4),
        unmeasured=round(unmeasured + lost, 4),
        manual=round(manual, 4),
        blocked=round(blocked, 4),
        counts=counts,
        missing=tuple(missing),
        final=final,
    )


def outcome(records: Sequence[Record], missing: Sequence[str], causes: Causes) -> Outcome:
    """What a row came to; see Outcome."""
    applicable = [record for record in records if record.verdict is not Verdict.NOT_APPLICABLE]
    if not applicable and not missing:
        return Outcome.NOT_APPLICABLE
    passed = any(record.verdict is Verdict.PASSED for record in applicable)
    failed = any(record.verdict is Verdict.FAILED for record in applicable)
    blocked = any(record.verdict is Verdict.BLOCKED for record in applicable)
    still_open = bool(missing) or any(causes.is_open(record) for record in applicable)
    if passed and failed:
        return Outcome.PARTIAL
    if still_open or not (passed or failed):
        return Outcome.NOT_ASSESSABLE
    if failed:
        return Outcome.NOT_MET
    return Outcome.PARTIAL if blocked else Outcome.MET


def build(run: Run) -> RunResult:
    """Everything that the renderings show, from a run."""
    records: dict[str, list[Record]] = {bench.candidate: [] for bench in run.benches}
    benches = {bench.candidate: bench for bench in run.benches}
    for record in settle(run.records):
        records.setdefault(record.candidate, []).append(record)
    candidates = tuple(
        _candidate(run.header, benches.get(name) or BenchHeader(name, name, {}, []), mine)
        for name, mine in records.items()
    )
    return RunResult(run.header, candidates, bool(candidates) and all(c.tally.final for c in candidates))


def _candidate(header: RunHeader, bench: BenchHeader, records: list[Record]) -> CandidateResult:
    worth: dict[str, float] = {}
    declared: dict[str, dict[str, Any]] = {}
    for task in header.tasks:
        declared[task["id"]] = task
        worth.update(task.get("checks", {}))
    place = {check: number for number, check in enumerate(worth)}
    records = sorted(
        weigh(records, worth),
        key=lambda r: (place.get(r.check, len(place)), r.check, r.phase != PHASES[0], r.phase),
    )
    causes = Causes(records)
    seen = {record.check for record in records}
    missing = {check: points for check, points in worth.items() if check not in seen}
    tasks = []
    for task_id in dict.fromkeys([*declared, *(record.task for record in records)]):
        task = declared.get(task_id, {})
        mine = tuple(r for r in records if r.task == task_id)
        absent = {check: missing[check] for check in task.get("checks", {}) if check in missing}
        tasks.append(TaskResult(task_id, task.get("title", {}), mine, tally(mine, absent, causes)))
    return CandidateResult(
        bench=bench,
        tally=tally(records, missing, causes),
        tasks=tuple(tasks),
        competences=tuple(_competences(records, missing, causes)),
        blocked=causes.groups(),
    )


def _competences(records: Sequence[Record], missing: Iterable[str], causes: Causes) -> list[CompetenceResult]:
    measured: dict[tuple[str, str], list[Record]] = {}
    absent: dict[tuple[str, str], list[str]] = {}
    for record in records:
        measured.setdefault((record.competence, row_of(record.check)), []).append(record)
    for check in missing:
        absent.setdefault((check.partition("-")[0], row_of(check)), []).append(check)
    grouped: dict[str, list[RowResult]] = {}
    for key in sorted({*measured, *absent}):
        mine, lost = measured.get(key, []), absent.get(key, [])
        row = RowResult(key[1], outcome(mine, lost, causes), tuple(mine), tuple(lost))
        grouped.setdefault(key[0], []).append(row)
    return [CompetenceResult(name, tuple(rows)) for name, rows in grouped.items()]


def row_of(check: str) -> str:
    """The row that a check grades: `CP06-S1.a` grades `CP06-S1`."""
    return check.rpartition(".")[0] or check
