"""What a row and a competence came to: met, partly, not met, or not assessable. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from graders.records import Record, Verdict
from graders.report.causes import Causes


class Outcome(StrEnum):
    """What a row of the referential came to. Given only when measuring again could not change it."""

    MET = "met"
    PARTIAL = "partial"
    NOT_MET = "not_met"
    NOT_ASSESSABLE = "not_assessable"
    NOT_APPLICABLE = "not_applicable"


def outcome(
    records: Sequence[Record],
    missing: Sequence[str],
    causes: Causes,
    threshold: float = 1.0,
    eliminatory: Collection[str] = (),
) -> Outcome:
    """What a row came to: met from the share `threshold` of its points, and with every eliminatory check passed.

    What is still open is taken once as lost and once as passed: only when both come to the same is it told.
    """
    applicable = [record for record in records if record.verdict is not Verdict.NOT_APPLICABLE]
    if not applicable and not missing:
        return Outcome.NOT_APPLICABLE
    undecided = {(r.check, r.phase) for r in applicable if causes.is_open(r)}
    measured = any(r.verdict in (Verdict.PASSED, Verdict.FAILED) for r in applicable)
    if not measured:
        return Outcome.NOT_ASSESSABLE
    passed = {(r.check, r.phase) for r in applicable if r.verdict is Verdict.PASSED}
    lowest = _share(applicable, passed, threshold, eliminatory, complete=not missing)
    highest = _share(applicable, passed | undecided, threshold, eliminatory, complete=True)
    return lowest if lowest is highest else Outcome.NOT_ASSESSABLE


def _share(
    records: Sequence[Record],
    passed: set[tuple[str, str]],
    threshold: float,
    eliminatory: Collection[str],
    *,
    complete: bool,
) -> Outcome:
    won = [r for r in records if (r.check, r.phase) in passed]
    lost = [r for r in records if (r.check, r.phase) not in passed]
    if any(r.check in eliminatory for r in lost):
        return Outcome.NOT_MET
    best = sum(r.max_points for r in records)
    share = sum(r.max_points for r in won) / best if best else len(won) / len(records)
    everything = not lost and complete
    if everything or (complete and threshold < 1 and share >= threshold):
        return Outcome.MET
    return Outcome.PARTIAL if won else Outcome.NOT_MET


def combine(rows: Sequence[Outcome], eliminated: bool = False) -> Outcome:
    """What a competence came to: every row met, none, or something between. No row outweighs another."""
    found = {one for one in rows if one is not Outcome.NOT_APPLICABLE}
    if eliminated:
        return Outcome.NOT_MET
    if not found:
        return Outcome.NOT_APPLICABLE if rows else Outcome.NOT_ASSESSABLE
    if len(found) == 1:
        return found.pop()
    if Outcome.NOT_ASSESSABLE in found and not (Outcome.PARTIAL in found or {Outcome.MET, Outcome.NOT_MET} <= found):
        return Outcome.NOT_ASSESSABLE
    return Outcome.PARTIAL
