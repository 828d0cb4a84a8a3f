"""Deadlines: a moment that waits are measured against."""

from __future__ import annotations

import time

import pytest

from labs.deadline import Deadline
from labs.errors import DeadlineError


def test_poll_returns_the_first_answer() -> None:
    answers = iter([None, None, "here"])
    assert Deadline.after(5).poll(lambda: next(answers), "it", interval=0.01) == "here"


def test_poll_asks_at_least_once_even_when_late() -> None:
    assert Deadline.after(-1).poll(lambda: 7, "it") == 7


def test_poll_names_what_did_not_come() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineError, match="the agent: not there before the deadline"):
        Deadline.after(0.2).poll(lambda: None, "the agent", interval=0.05)
    assert 0.2 <= time.monotonic() - began < 2


def test_falsy_answers_are_answers() -> None:
    assert Deadline.after(1).poll(lambda: 0, "it") == 0


def test_sooner_never_lengthens() -> None:
    deadline = Deadline.after(1)
    assert deadline.sooner(100).remaining <= 1
    assert deadline.sooner(0.1).remaining <= 0.1
    assert Deadline.after(-5).remaining == 0


def test_check_raises_only_when_late() -> None:
    Deadline.after(10).check("it")
    with pytest.raises(DeadlineError, match="it: no answer before the deadline"):
        Deadline.after(0).check("it")


def test_ticks_slow_down() -> None:
    moments = [time.monotonic() for _ in Deadline.after(0.5).ticks(0.02, slower=2.0)]
    assert 4 <= len(moments) <= 8
    assert moments[-1] - moments[-2] > moments[1] - moments[0]
