"""What a row and a competence came to: met, partly, not met, or not assessable. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from graders.records import Record, Verdict
from graders.report.causes import Causes

ROUNDING = 1e-9
"""Sums of tenths are not exact: 0.1 + 0.5 of 0.8 is three quarters all the same."""


class Outcome(StrEnum):
    """What a row of the referential came to. Given only when measuring again could not change it."""

    MET = "met"
    PARTIAL = "partial"
    NOT_MET = "not_met"
    NOT_ASSESSABLE = "not_assessable"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Part:
    """A check of a row, and whether it is counted as passed."""

    check: str
    points: float
    passed: bool


def outcome(
    records: Sequence[Record],
    missing: Mapping[str, float],
    causes: Causes,
    threshold: float = 1.0,
    eliminatory: Collection[str] = (),
) -> Outcome:
    """What a row came to: met from the share `threshold` of its points, and with every eliminatory check passed.

    What is still open, or was not run (`missing`: check -> points), is taken once as lost and once as passed: only when
    both come to the same is it told.
    """
    applicable = [record for record in records if record.verdict is not Verdict.NOT_APPLICABLE]
    if not applicable and not missing:
        return Outcome.NOT_APPLICABLE
    if not any(r.verdict in (Verdict.PASSED, Verdict.FAILED) for r in applicable):
        return Outcome.NOT_ASSESSABLE

    def taken(hope: bool) -> Outcome:
        measured = [
            Part(r.check, r.max_points, r.verdict is Verdict.PASSED or (hope and causes.is_open(r))) for r in applicable
        ]
        return _share([*measured, *(Part(name, points, hope) for name, points in missing.items())],
                      threshold, eliminatory)  # fmt: skip

    lowest = taken(hope=False)
    return lowest if lowest is taken(hope=True) else Outcome.NOT_ASSESSABLE


def _share(parts: Sequence[Part], threshold: float, eliminatory: Collection[str]) -> Outcome:
    won = [one for one in parts if one.passed]
    if any(one.check in eliminatory for one in parts if not one.passed):
        return Outcome.NOT_MET
    best = sum(one.points for one in parts)
    share = sum(one.points for one in won) / best if best else len(won) / len(parts)
    if len(won) == len(parts) or (threshold < 1 and share >= threshold - ROUNDING):
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
