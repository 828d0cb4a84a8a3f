"""Counting: points, verdicts, causes and outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from test_report_samples import TASKS, bench, header, perfect, record, session, with_changes

from graders.records import Record, Run, Verdict
from graders.report import aggregate, summary
from graders.report.outcomes import Outcome, Part, _share


def result(records: list[Record]) -> aggregate.CandidateResult:
    return aggregate.build(Run(header(), [bench("c01", "Marie")], records)).candidates[0]


def rows(candidate: aggregate.CandidateResult) -> dict[str, Outcome]:
    return {row.id: row.outcome for competence in candidate.competences for row in competence.rows}


def test_a_perfect_candidate_gets_everything() -> None:
    found = result(perfect("c01"))
    assert (found.tally.points, found.tally.max_points, found.tally.complete) == (20, 20, True)
    assert set(rows(found).values()) == {Outcome.MET}
    assert {task.id: task.tally.points for task in found.tasks} == {
        task["id"]: sum(task["checks"].values()) for task in TASKS
    }


def test_the_last_line_of_a_measured_again_check_wins() -> None:
    first = with_changes("c01", CP06_S1_a=record("c01", "CP06-S1.a", Verdict.ERROR))
    assert not result(first).tally.final
    again = [*first, record("c01", "CP06-S1.a")]
    assert result(again).tally.complete
    assert result(again).tally.points == 20


def test_only_passed_gives_points() -> None:
    claimed = [replace(r, verdict=v, points=r.max_points) for r, v in zip(perfect("c01"), [*Verdict] * 3, strict=False)]
    found = result(claimed)
    passed = [r for r in claimed if r.verdict is Verdict.PASSED]
    assert found.tally.points == sum(r.max_points for r in passed)


def test_a_check_lost_at_reboot_keeps_half_and_never_exceeds_its_declared_points() -> None:
    lost = record("c01", "CP06-S1.a", Verdict.FAILED, phase="reboot")
    found = result([*perfect("c01"), lost])
    assert (found.tally.points, found.tally.max_points) == (18.5, 20)
    kept = result([*perfect("c01"), record("c01", "CP06-S1.a", phase="reboot")])
    assert (kept.tally.points, kept.tally.max_points) == (20, 20)


def test_a_check_that_was_not_run_makes_marks_not_final() -> None:
    found = result([r for r in perfect("c01") if r.check != "CP06-S1.b"])
    assert found.tally.missing == ("CP06-S1.b",)
    assert (found.tally.points, found.tally.max_points, found.tally.final) == (18.5, 20, False)
    assert rows(found)["CP06-S1"] is Outcome.NOT_ASSESSABLE


@pytest.mark.parametrize("missing", ["CP06-S1.a", "CP06-S1.b"])
def test_nothing_is_told_of_a_row_that_a_check_not_run_could_change(missing: str) -> None:
    """As if it had ended in error."""
    lost = [replace(r, verdict=Verdict.FAILED, points=0.0) if r.check.startswith("CP06-S1") else r
            for r in perfect("c01")]  # fmt: skip
    assert rows(result(lost))["CP06-S1"] is Outcome.NOT_MET
    left = [r for r in lost if r.check != missing]
    error = [replace(r, verdict=Verdict.ERROR, points=0.0) if r.check == missing else r for r in lost]
    assert rows(result(left))["CP06-S1"] is rows(result(error))["CP06-S1"] is Outcome.NOT_ASSESSABLE


def test_a_candidate_without_any_record_is_shown_and_not_final() -> None:
    found = aggregate.build(Run(header(), [bench("c01", "Marie")], []))
    assert not found.final
    assert found.candidates[0].tally.max_points == 20


def test_not_applicable_leaves_the_total() -> None:
    found = result(with_changes("c01", CP06_S1_b=record("c01", "CP06-S1.b", Verdict.NOT_APPLICABLE)))
    assert (found.tally.points, found.tally.max_points, found.tally.complete) == (18.5, 18.5, True)


def test_blocked_checks_are_traced_to_their_root_cause() -> None:
    thomas = aggregate.build(session()).candidates[1]
    (group,) = thomas.blocked
    assert group.cause == "CP06-S1.a"
    assert {r.check for r in group.records} == {"CP06-S1.b", "CP03-C1.a", "CP07-S2.a"}
    assert group.points == thomas.tally.blocked == 5.5


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.MANUAL, Verdict.PASSED])
def test_blocked_behind_something_not_lost_must_be_measured_again(verdict: Verdict) -> None:
    found = result(
        with_changes(
            "c01",
            CP06_S1_a=record("c01", "CP06-S1.a", verdict),
            CP06_S2_a=record("c01", "CP06-S2.a", Verdict.BLOCKED, blocked_by="CP06-S1.a"),
        )
    )
    assert not found.tally.final
    assert found.tally.blocked == 0
    assert rows(found)["CP06-S2"] is Outcome.NOT_ASSESSABLE


def test_a_circle_of_causes_ends() -> None:
    found = result(
        with_changes(
            "c01",
            CP06_S1_a=record("c01", "CP06-S1.a", Verdict.BLOCKED, blocked_by="CP06-S2.a"),
            CP06_S2_a=record("c01", "CP06-S2.a", Verdict.BLOCKED, blocked_by="CP06-S1.a"),
        )
    )
    assert sum(len(group.records) for group in found.blocked) == 2
    assert not found.tally.final


Make = Callable[[str, Verdict], Record]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Verdict.PASSED, Verdict.PASSED, Outcome.MET),
        (Verdict.PASSED, Verdict.FAILED, Outcome.PARTIAL),
        (Verdict.FAILED, Verdict.FAILED, Outcome.NOT_MET),
        (Verdict.FAILED, Verdict.BLOCKED, Outcome.NOT_MET),
        (Verdict.PASSED, Verdict.BLOCKED, Outcome.PARTIAL),
        (Verdict.BLOCKED, Verdict.BLOCKED, Outcome.NOT_ASSESSABLE),
        (Verdict.PASSED, Verdict.ERROR, Outcome.NOT_ASSESSABLE),
        (Verdict.FAILED, Verdict.ERROR, Outcome.NOT_ASSESSABLE),
        (Verdict.PASSED, Verdict.MANUAL, Outcome.NOT_ASSESSABLE),
        (Verdict.PASSED, Verdict.NOT_APPLICABLE, Outcome.MET),
        (Verdict.NOT_APPLICABLE, Verdict.NOT_APPLICABLE, Outcome.NOT_APPLICABLE),
    ],
)
def test_outcome_of_a_row(a: Verdict, b: Verdict, expected: Outcome) -> None:
    def make(check: str, verdict: Verdict) -> Record:
        return record("c01", check, verdict, blocked_by="node:ws" if verdict is Verdict.BLOCKED else None)

    changes = {"CP06_S2_a": make("CP06-S2.a", a), "CP06_S2_b": make("CP06-S2.b", b)}
    assert rows(result(with_changes("c01", **changes)))["CP06-S2"] is expected


def test_summary_is_plain_data_about_what_is_not_passed() -> None:
    data = summary.build(session())
    marie, thomas, ines = data["candidates"]
    assert data["final"] is False
    assert (marie["points"], marie["max_points"], marie["final"]) == (17.5, 20, True)
    assert (thomas["final"], thomas["unmeasured_points"], thomas["manual_points"]) == (False, 1.0, 1.0)
    assert {c["check"]: c["blocked_by"] for c in ines["not_passed"]}["CP06-S1.a"] == "node:rtr"
    assert ("CP07-S4.a", "reboot", "failed") in {(c["check"], c["phase"], c["verdict"]) for c in marie["not_passed"]}


def test_sums_of_tenths_meet_their_threshold() -> None:
    parts = [Part("a", 0.1, True), Part("b", 0.5, True), Part("c", 0.2, False)]
    assert _share(parts, 0.75, ()) is Outcome.MET
    assert _share(parts, 0.76, ()) is Outcome.PARTIAL
