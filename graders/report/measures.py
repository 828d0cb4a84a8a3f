"""The records that count: the latest measure of each check, people's verdicts, points shared over the phases. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from graders.records import Record, Verdict
from graders.rubric import Override, Rubric

PHASES = ("live", "reboot")


def settle(records: Iterable[Record]) -> list[Record]:
    """One record for each (candidate, check, phase): the last line wins.

    A check that ended in `error` is measured again and appended to the same file, so the last line is the
    latest measure.
    """
    latest: dict[tuple[str, str, str], Record] = {}
    for record in records:
        latest[record.candidate, record.check, record.phase] = record
    return list(latest.values())


def weigh(records: Sequence[Record], worth: dict[str, float], persistence: float) -> list[Record]:
    """Share out a check's declared points over its phases.

    The run header says what a check is worth. When it has a record of each phase, the one after the reboot gets the
    share `persistence` of it; a single record that claims more than the check is worth is scaled down.
    """
    phases: dict[str, set[str]] = {}
    for record in records:
        phases.setdefault(record.check, set()).add(record.phase)
    scaled = []
    for record in records:
        declared = worth.get(record.check)
        if declared is not None and record.max_points:
            share = 1.0
            if len(phases[record.check]) > 1:
                share = persistence if record.phase != PHASES[0] else 1 - persistence
            factor = min(declared * share / record.max_points, 1.0)
            if factor != 1:
                points, best = record.points * factor, record.max_points * factor
                record = replace(record, points=points, max_points=best)  # noqa: PLW2901
        scaled.append(record)
    return scaled


def decisions(records: Sequence[Record], rubric: Rubric) -> dict[tuple[str, str], Override]:
    """People's verdicts: overrides, and signed levels for the checks that wait for a person (3 and 4 pass)."""
    found = rubric.overridden
    for record in records:
        mark = rubric.rows.get(row_of(record.check))
        place = (record.check, record.phase)
        if record.verdict is not Verdict.MANUAL or mark is None or mark.level is None or place in found:
            continue
        who, when = rubric.who(mark), rubric.when(mark)
        if who and when:
            verdict = Verdict.PASSED if mark.level > 2 else Verdict.FAILED
            reason = f"niveau {mark.level} sur 4 donné à la ligne {row_of(record.check)}"
            found[place] = Override(
                check=record.check, phase=phase_of(record), verdict=verdict, reason=reason, evaluator=who, date=when
            )
    return found


def phase_of(record: Record) -> Literal["live", "reboot"]:
    return "reboot" if record.phase == "reboot" else "live"


def overrule(records: Sequence[Record], overrides: Mapping[tuple[str, str], Override]) -> list[Record]:
    """The records with people's verdicts in place of the machine's."""
    decided = []
    for record in records:
        if override := overrides.get((record.check, record.phase)):
            points = record.max_points if override.verdict is Verdict.PASSED else 0.0
            record = replace(record, verdict=override.verdict, points=points, blocked_by=None)  # noqa: PLW2901
        decided.append(record)
    return decided


def row_of(check: str) -> str:
    """The row that a check grades: `CP06-S1.a` grades `CP06-S1`."""
    return check.rpartition(".")[0] or check
