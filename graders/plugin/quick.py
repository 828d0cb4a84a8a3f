"""What makes a check cost less processor time under pytest: grading writes records, it shows no tracebacks."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from _pytest import fixtures


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


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(config: pytest.Config) -> Generator[None, Any, Any]:
    """No letter for each check in a log (`-q`, no terminal): the records tell, and every letter is a write."""
    status = yield
    return (status[0], "", "") if config.option.verbose < 0 and not sys.stdout.isatty() else status


def pytest_configure() -> None:
    """Tell pytest at once that `request` asks for no other fixture.

    It makes a definition of `request` for every use, and inspects each time the signature of a function that never has
    a parameter: a seventh of the time of a check. Everything else is still inspected; no fixture of ours can have this
    name, which pytest reserves.
    """
    inspect = vars(fixtures)["getfuncargnames"]
    if inspect.__module__ != __name__:  # once a process
        vars(fixtures)["getfuncargnames"] = _knowing_request(inspect)


def _knowing_request(inspect: Callable[..., tuple[str, ...]]) -> Callable[..., tuple[str, ...]]:
    def names(function: Callable[..., Any], *, name: str = "", **more: Any) -> tuple[str, ...]:
        return () if name == "request" else inspect(function, name=name, **more)

    return names


def pytest_collection_finish() -> None:
    """The collected items stay until the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
