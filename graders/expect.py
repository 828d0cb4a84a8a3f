"""Expectations: what a check compares. All are evaluated; the check fails at its end when one is not met."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from typing import TypeVar

from graders.records import Attempt, Comparison
from labs.deadline import Deadline

T = TypeVar("T")


class Unmet(AssertionError):  # noqa: N818 - a verdict about the candidate, not an error
    """An expectation is not met: the only exception that makes a check fail."""


class NothingMeasuredError(Exception):
    """A check ended without a single expectation: that says nothing about the candidate."""


class Expect:
    """Collects the comparisons of one check. Labels and texts are French: the candidate reads them."""

    def __init__(self) -> None:
        self.comparisons: list[Comparison] = []
        self.certain = False
        """Whether something was seen that must not be there: not to see it when measuring again would prove nothing."""
        self.attempts: list[Attempt] = []
        """Of behaviour that was waited for (`converge`), in order."""

    def true(self, label: str, expected: str, observed: str, ok: bool) -> bool:
        """Record a comparison decided by the check; returns `ok`."""
        self.comparisons.append(Comparison(label, _cut(expected), _cut(observed), bool(ok)))
        return bool(ok)

    def equal(self, label: str, expected: object, observed: object) -> bool:
        """Both values are the same."""
        return self.true(label, show(expected), show(observed), expected == observed)

    def within(self, label: str, low: float, high: float, observed: float | None) -> bool:
        """A number lies between two bounds, both included."""
        ok = observed is not None and low <= observed <= high
        return self.true(label, f"entre {show(low)} et {show(high)}", show(observed), ok)

    def same_set(self, label: str, expected: Iterable[object], observed: Iterable[object]) -> bool:
        """The same values, whatever their order."""
        left, right = set(map(show, expected)), set(map(show, observed))
        return self.true(label, show(sorted(left)), show(sorted(right)), left == right)

    def contains(self, label: str, expected: object, observed: Iterable[object]) -> bool:
        """One value is among those observed."""
        values = list(observed)
        return self.true(label, show(expected), show(values), expected in values)

    def all_of(self, label: str, expected: str, wrong: Iterable[object], total: int) -> bool:
        """None of `total` observations is wrong; those that are get listed."""
        bad = [show(one) for one in wrong]
        observed = f"{total - len(bad)} sur {total}" + (f" ; en défaut : {', '.join(bad)}" if bad else "")
        return self.true(label, expected, observed, not bad and total > 0)

    def none(self, label: str, found: Collection[object], nothing: str = "aucun") -> bool:
        """Nothing was found; what was is listed. `nothing` agrees with the label: "aucun" or "aucune"."""
        return self.true(label, nothing, show(list(found)) if found else nothing, not found)

    def unseen(self, label: str, found: Collection[object], nothing: str = "aucun") -> bool:
        """The same of what shows itself or not, such as an open port or a second server: seen once is there."""
        self.certain = self.certain or bool(found)
        return self.none(label, found, nothing)

    def require(self, ok: bool) -> None:
        """Stop here unless `ok` (the result of a comparison): what follows would have no sense."""
        if not ok:
            self.conclude()
            raise NothingMeasuredError("require() was given something else than the result of a comparison")

    def conclude(self) -> None:
        """Raise Unmet with the first expectation not met, or NothingMeasuredError when there was none at all."""
        if not self.comparisons:
            raise NothingMeasuredError("the check ended without a single expectation: it measured nothing")
        for one in self.comparisons:
            if not one.ok:
                raise Unmet(f"{one.label} : attendu {one.expected}, observé {one.observed}.")


def show(value: object) -> str:
    """A value as a candidate reads it."""
    match value:
        case None | "" | [] | ():
            return "rien"
        case True:
            return "oui"
        case False:
            return "non"
        case set() | frozenset():
            return show(sorted(map(show, value)))
        case list() | tuple():
            return ", ".join(show(one) for one in value)
        case float():
            return f"{value:g}".replace(".", ",")
    return str(value)


CURRENT: ContextVar[Expect | None] = ContextVar("expect", default=None)
"""The expectations of the check that runs: attempts are kept with them."""
CONFIRMATIONS, ALLOWED_MISSES = 2, 1
INTERMITTENT = "intermittent"


def converge(deadline: Deadline, observe: Callable[[], T], ok: Callable[[T], bool], interval: float = 1.0) -> T:
    """Observe again until `ok` or the deadline, and return the last observation; every attempt is recorded.

    Only for behaviour that is not yet there (after a boot, a lost packet); what is there is measured once. What came
    late must be there twice more in a row: raises Unmet when it went away again and again, because what works now and
    then does not work (one miss may be a lost packet of ours).
    """
    expect, began = CURRENT.get() or Expect(), time.monotonic()
    first = len(expect.attempts)

    def attempt() -> tuple[T, bool]:
        at = round(time.monotonic() - began, 3)
        seen = observe()
        good = bool(ok(seen))
        expect.attempts.append(Attempt(at, round(time.monotonic() - began - at, 3), good))
        return seen, good

    for _ in deadline.ticks(interval):
        last, good = attempt()
        if good:
            break
    late = good and len(expect.attempts) > first + 1
    row, missed = 0, 0
    while late and row < CONFIRMATIONS:
        time.sleep(interval)
        last, good = attempt()
        row, missed = (row + 1, missed) if good else (0, missed + 1)
        if missed > ALLOWED_MISSES:
            marks = [one.ok for one in expect.attempts[first:]]
            observed = f"{INTERMITTENT} : {sum(marks)} essais réussis sur {len(marks)}, le dernier manqué"
            expect.true("stabilité", "tous les essais réussis après le premier", observed, False)
            expect.conclude()
    return last


def is_intermittent(comparisons: Iterable[Comparison]) -> bool:
    """Whether a check failed because a behaviour came and went."""
    return any(not one.ok and one.observed.startswith(f"{INTERMITTENT} :") for one in comparisons)


def _cut(text: str, limit: int = 2000) -> str:
    return text if len(text) <= limit else f"{text[:limit]} […]"
