"""One check as plain data for the PDF templates: verdict, what was expected and seen, evidence cut to a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from graders.records import Evidence, Record, Verdict
from graders.report import text
from graders.report.aggregate import CandidateResult
from graders.report.writer import Writer, contested, overridden

COLUMNS = 108
"""Characters of an output on one line of a page; longer lines are broken."""
HEAD, TAIL = 700, 200
"""Characters of an output that a page shows; the whole is in the attached records."""


def check_data(w: Writer, candidate: CandidateResult, record: Record, *, with_evidence: bool) -> dict[str, Any]:
    """What a page says of one check; a candidate's sheet says it without evidence."""
    place = (record.check, record.phase)
    told = record.verdict is not Verdict.PASSED or place in candidate.original
    comparisons: Iterable[Any] = record.comparisons if told else ()
    return {
        "id": record.check,
        "phase": " · ".join([w.t("reboot")] * (record.phase == "reboot") + [w.t("intermittent")] * record.intermittent),
        "verdict": record.verdict.value,
        "verdict_word": w.t(record.verdict.value),
        "title": w.shown(record.title),
        "message": _message(w, candidate, record, with_evidence),
        "points": w.worth(candidate, record),
        "comparisons": [
            [w.shown(c.label), w.measured(c.expected, 400), w.measured(c.observed, 400), "oui" if c.ok else "non"]
            for c in comparisons
        ],
        "evidence": [_evidence(w, e) for e in (record.evidence if with_evidence else ())] if told else [],
        "sources": [f"{w.measured(e.source, 60)} · {w.measured(e.action, 120)}" for e in record.evidence]
        if with_evidence and not told
        else [],
        "contests": contested(w, candidate, record),
        "override": overridden(w, candidate.original[place], candidate.overrides[place])
        if place in candidate.overrides
        else "",
    }


def _message(w: Writer, candidate: CandidateResult, record: Record, everything: bool) -> str:
    """The check's own words; a candidate's sheet does not name a hidden prerequisite."""
    if record.verdict is not Verdict.BLOCKED:
        return w.shown(record.message)
    if not everything and record.blocked_by in w.result.bareme.hidden:
        told = w.t("behind_hidden")
    else:
        told = w.shown(record.message) or w.t("behind", cause=w.shown(record.blocked_by or "–", 80))
    return f"{told} {w.t('blocked_open')}" if (record.check, record.phase) in candidate.open else told


def _evidence(w: Writer, evidence: Evidence) -> dict[str, str]:
    head, left_out, tail = text.cut(evidence.output, HEAD, TAIL)
    body = text.visible(head)
    if left_out:
        body = f"{body}\n{w.t.count('left_out', left_out)}\n{text.visible(tail)}"
    body = re.sub(rf"([^\n]{{{COLUMNS}}})(?=[^\n])", r"\1\n", body)
    return {
        "source": f"{w.measured(evidence.source, 60)} · {w.measured(evidence.action, 200)}",
        "output": body or w.t("empty_output"),
    }
