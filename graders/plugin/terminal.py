"""How verdicts look on pytest's terminal."""

from __future__ import annotations

from typing import Any

import pytest

from graders.plugin.keys import REPORT, RUN
from graders.plugin.recording import Outcome
from graders.records import Verdict


def show(report: pytest.TestReport, item: pytest.Item, verdict: Verdict, outcome: Outcome) -> None:
    """Give pytest's report the outcome that the verdict means to pytest."""
    match verdict:
        case Verdict.PASSED:
            report.outcome, report.longrepr = "passed", None
        case Verdict.FAILED | Verdict.ERROR:
            report.outcome = "failed"
        case _:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {outcome.message}")


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Our own words on the terminal: a letter and a verdict. A module that did not load has none: pytest says it."""
    if not isinstance(report, pytest.TestReport) or report.when == "teardown":
        return None
    match dict(report.user_properties).get("verdict"):
        case "error":
            return "error", "E", "ERROR (not measured)"
        case "blocked":
            return "skipped", "b", "BLOCKED"
        case "not_applicable":
            return "skipped", "n", "NOT APPLICABLE"
    return None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    for candidate_id, bench_run in (run.benches if run else {}).items():
        verdicts = [outcome.verdict for outcome in bench_run.outcomes.values()]
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in Verdict if one in verdicts)
        terminalreporter.write_line(f"{candidate_id}: {counts}")
    if config.stash.get(REPORT, None):
        terminalreporter.write_line(config.stash[REPORT])
