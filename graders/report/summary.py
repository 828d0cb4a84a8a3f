"""The results as plain JSON data, for `plateau grade --json` and other programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.records import Record, Run, Verdict
from graders.report import aggregate
from graders.rubric import Rubric


def build(run: Run, rubrics: Mapping[str, Rubric] | None = None) -> dict[str, Any]:
    """A JSON-ready dictionary; texts are as recorded, points are numbers; `rubrics` are people's marks."""
    result = aggregate.build(run, rubrics)
    header = run.header
    return {
        "run": header.run,
        "session": header.session,
        "lab": header.lab,
        "lab_version": header.lab_version,
        "mode": header.mode,
        **({"training": header.training["id"]} if header.training else {}),
        "started": header.started,
        "final": result.final,
        "candidates": [_candidate(candidate) for candidate in result.candidates],
    }


def _candidate(candidate: aggregate.CandidateResult) -> dict[str, Any]:
    return {
        "candidate": candidate.bench.candidate,
        "name": candidate.bench.name,
        **_tally(candidate.tally),
        "tasks": [{"task": task.id, **_tally(task.tally)} for task in candidate.tasks],
        "competences": [
            {
                "competence": competence.id,
                "outcome": competence.outcome.value,
                "rows": {row.id: row.outcome.value for row in competence.rows},
            }
            for competence in candidate.competences
        ],
        "not_passed": [
            _record(record)
            for task in candidate.tasks
            for record in task.records
            if record.verdict not in (Verdict.PASSED, Verdict.NOT_APPLICABLE)
        ],
        "missing": list(candidate.tally.missing),
        "overridden": [
            {
                "check": check,
                "phase": phase,
                "machine": record.verdict.value,
                "reason": candidate.overrides[check, phase].reason,
            }
            for (check, phase), record in candidate.original.items()
        ],
    }


def _tally(tally: aggregate.Tally) -> dict[str, Any]:
    return {
        "points": tally.points,
        "max_points": tally.max_points,
        "unmeasured_points": tally.unmeasured,
        "manual_points": tally.manual,
        "verdicts": {verdict.value: count for verdict, count in tally.counts.items()},
        "final": tally.final,
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "check": record.check,
        "task": record.task,
        "phase": record.phase,
        "verdict": record.verdict.value,
        "title": record.title,
        "message": record.message,
        "blocked_by": record.blocked_by,
    }
