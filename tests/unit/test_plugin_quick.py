"""What makes checks cheaper under pytest changes nothing else: what it takes for granted is true of this pytest."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from _pytest import fixtures

from graders.plugin import quick
from graders.plugin.recording import Outcome
from graders.plugin.run import _depends
from graders.records import Verdict
from labs.grade import LEAN
from labs.paths import ROOT


def test_request_asks_for_no_fixture_and_everything_else_is_inspected(request, monkeypatch):
    monkeypatch.setitem(vars(fixtures), "getfuncargnames", _names)
    quick.pytest_configure()
    shortened = vars(fixtures)["getfuncargnames"]
    quick.pytest_configure()
    assert vars(fixtures)["getfuncargnames"] is shortened
    definition = fixtures.RequestFixtureDef(request)
    assert definition.argnames == ()
    assert not inspect.signature(definition.func).parameters
    assert shortened(lambda host, bench: None, name="check") == ("host", "bench")


def _names(function, *, name="", cls=None):
    return tuple(inspect.signature(function).parameters)


def test_pytest_reserves_the_name_request():
    with pytest.raises(pytest.fail.Exception, match="reserved"):

        @pytest.fixture(name="request")
        def mine():
            return 1


@pytest.mark.parametrize(
    ("verbose", "terminal", "shown"),
    [(-1, False, ("failed", "", "")), (-1, True, ("failed", "F", "FAILED")), (0, False, ("failed", "F", "FAILED"))],
)
def test_letters_are_for_a_terminal(monkeypatch, verbose, terminal, shown):
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: terminal))
    work = quick.pytest_report_teststatus(SimpleNamespace(option=SimpleNamespace(verbose=verbose)))
    next(work)
    with pytest.raises(StopIteration) as end:
        work.send(("failed", "F", "FAILED"))
    assert end.value.value == shown


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ("import nowhere_at_all\n", 2, "nowhere_at_all"),
        ("def test_one(request):\n    print('seen')\n    assert request.node.name == 'other'\n", 1, "seen"),
    ],
)
def test_a_lean_grader_still_says_what_went_wrong(tmp_path, source, status, words):
    (tmp_path / "test_it.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "graders.plugin.quick", f"--rootdir={tmp_path}", "-c", os.devnull, *LEAN,
         str(tmp_path)], cwd=ROOT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert words in done.stdout


@pytest.mark.parametrize(
    ("cause", "verdict", "told"),
    [
        ("CP06-S1.a", Verdict.FAILED, "dépend de CP06-S1.a, qui n'est pas acquis"),
        ("CP06-S1.a", Verdict.ERROR, "dépend de CP06-S1.a, qui n'a pas pu être mesuré"),
        ("CP06-S1.a", Verdict.MANUAL, "dépend de CP06-S1.a, qu'une personne doit évaluer"),
        ("node:rtr", None, "la machine rtr est arrêtée ou injoignable"),
    ],
)
def test_what_was_not_measured_is_not_called_missing(cause: str, verdict: Verdict | None, told: str) -> None:
    assert _depends(cause, {cause: Outcome(verdict)} if verdict else {}) == told
