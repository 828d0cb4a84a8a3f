"""From records to results: the only place where points, verdicts and outcomes are counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.contest import Event
from graders.records import BenchHeader, Record, Run, RunHeader, Verdict
from graders.report.causes import BlockedGroup, Causes
from graders.report.measures import PHASES, decisions, overrule, row_of, settle, weigh
from graders.report.outcomes import Outcome, combine, outcome
from graders.rubric import Override, Rubric
from labs.models.bareme import Bareme


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
    eliminated: tuple[str, ...] = ()
    """Eliminatory checks that were measured and are not passed."""


@dataclass(frozen=True)
class CompetenceResult:
    """One competence: its rows side by side. There is no mark of a competence, on purpose."""

    id: str
    rows: tuple[RowResult, ...]
    outcome: Outcome
    """What the machine saw of it; nothing is averaged over competences."""


@dataclass(frozen=True)
class CandidateResult:
    """Everything about one candidate."""

    bench: BenchHeader
    tally: Tally
    tasks: tuple[TaskResult, ...]
    competences: tuple[CompetenceResult, ...]
    """With people's verdicts in place of the machine's."""
    seen: tuple[CompetenceResult, ...]
    """As the machine alone saw them."""
    blocked: tuple[BlockedGroup, ...]
    original: dict[tuple[str, str], Record]
    """(check, phase) -> the machine's record, where a person decided otherwise."""
    overrides: dict[tuple[str, str], Override]
    rubric: Rubric | None
    contests: tuple[Event, ...]
    """What was contested, measured again and decided, in order."""
    open: frozenset[tuple[str, str]]
    """(check, phase) of what is not known yet: it must be measured, or a person must decide."""

    @property
    def mark(self) -> float | None:
        """Out of 20, two decimals; None while a measure or a person is awaited."""
        if not self.tally.complete or not self.tally.max_points:
            return None
        return round(20 * self.tally.points / self.tally.max_points, 2)


@dataclass(frozen=True)
class RunResult:
    """A whole run, candidates in the order of the file."""

    header: RunHeader
    candidates: tuple[CandidateResult, ...]
    final: bool
    bareme: Bareme


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


def build(
    run: Run,
    rubrics: Mapping[str, Rubric] | None = None,
    contests: Mapping[str, Sequence[Event]] | None = None,
) -> RunResult:
    """Everything that the renderings show, from a run and what people said. Raises ValueError: a wrong barème."""
    bareme = Bareme.model_validate(run.header.bareme)
    records: dict[str, list[Record]] = {bench.candidate: [] for bench in run.benches}
    benches = {bench.candidate: bench for bench in run.benches}
    for record in settle(run.records):
        records.setdefault(record.candidate, []).append(record)
    candidates = tuple(
        _candidate(
            run.header,
            bareme,
            benches.get(name) or BenchHeader(name, name, {}, []),
            mine,
            (rubrics or {}).get(name),
            tuple((contests or {}).get(name, ())),
        )
        for name, mine in records.items()
    )
    return RunResult(run.header, candidates, bool(candidates) and all(c.tally.final for c in candidates), bareme)


def _candidate(
    header: RunHeader,
    bareme: Bareme,
    bench: BenchHeader,
    records: list[Record],
    rubric: Rubric | None,
    contests: tuple[Event, ...],
) -> CandidateResult:
    worth: dict[str, float] = {}
    declared: dict[str, dict[str, Any]] = {}
    for task in header.tasks:
        declared[task["id"]] = task
        worth.update(task.get("checks", {}))
    overrides = decisions(records, rubric) if rubric else {}
    original = {(r.check, r.phase): r for r in records if (r.check, r.phase) in overrides}
    place = {check: number for number, check in enumerate(worth)}

    def ordered(chosen: Sequence[Record]) -> list[Record]:
        return sorted(
            weigh(chosen, worth, bareme.persistence),
            key=lambda r: (place.get(r.check, len(place)), r.check, r.phase != PHASES[0], r.phase),
        )

    measured = ordered(records)
    records = ordered(overrule(records, overrides)) if overrides else measured
    causes = Causes(records)
    seen = {record.check for record in records}
    missing = {check: points for check, points in worth.items() if check not in seen}
    tasks = []
    for task_id in dict.fromkeys([*declared, *(record.task for record in records)]):
        task = declared.get(task_id, {})
        mine = tuple(r for r in records if r.task == task_id)
        absent = {check: missing[check] for check in task.get("checks", {}) if check in missing}
        tasks.append(TaskResult(task_id, task.get("title", {}), mine, tally(mine, absent, causes)))
    competences = tuple(_competences(records, missing, causes, bareme))
    return CandidateResult(
        bench=bench,
        tally=tally(records, missing, causes),
        tasks=tuple(tasks),
        competences=competences,
        seen=tuple(_competences(measured, missing, Causes(measured), bareme)) if overrides else competences,
        blocked=causes.groups(),
        original=original,
        overrides={place: overrides[place] for place in original},
        rubric=rubric,
        contests=contests,
        open=frozenset((r.check, r.phase) for r in records if causes.is_open(r)),
    )


def _competences(
    records: Sequence[Record], missing: Mapping[str, float], causes: Causes, bareme: Bareme
) -> list[CompetenceResult]:
    measured: dict[tuple[str, str], list[Record]] = {}
    absent: dict[tuple[str, str], dict[str, float]] = {}
    for record in records:
        measured.setdefault((record.competence, row_of(record.check)), []).append(record)
    for check, points in missing.items():
        absent.setdefault((row_of(check).partition("-")[0], row_of(check)), {})[check] = points
    grouped: dict[str, list[RowResult]] = {}
    for key in sorted({*measured, *absent}):
        mine, lost = measured.get(key, []), absent.get(key, {})
        result = outcome(mine, lost, causes, bareme.threshold_of(key[1]), bareme.eliminatory)
        settled = [r for r in mine if r.verdict in (Verdict.FAILED, Verdict.BLOCKED) and not causes.is_open(r)]
        eliminated = [r.check for r in settled if r.check in bareme.eliminatory]
        row = RowResult(key[1], result, tuple(mine), tuple(lost), tuple(eliminated))
        grouped.setdefault(key[0], []).append(row)
    return [
        CompetenceResult(name, tuple(rows), combine([r.outcome for r in rows], any(r.eliminated for r in rows)))
        for name, rows in grouped.items()
    ]
