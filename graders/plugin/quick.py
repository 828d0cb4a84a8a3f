"""What makes a check cost less processor time under pytest: grading writes records, it shows no tracebacks."""

from __future__ import annotations

import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
    """The report of a failure without its traceback, which pytest would cut and format: half of the time of a check."""
    problem = call.excinfo.value if call.excinfo else None
    if problem is None or isinstance(problem, BaseExceptionGroup | pytest.skip.Exception) or call.when == "collect":
        return None
    return pytest.TestReport(
        item.nodeid,
        item.location,
        dict.fromkeys(item.keywords, 1),
        "failed",
        f"{type(problem).__name__}: {problem}",
        call.when,
        [(f"Captured {stream} {when}", content) for when, stream, content in item._report_sections],
        call.duration,
        call.start,
        call.stop,
        user_properties=item.user_properties,
    )


def pytest_collection_finish() -> None:
    """The collected items stay until the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
