"""Which checks run, and in which order: pure functions over specs and the lab's sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graders import referentials
from graders.check import CheckSpec
from graders.plugin.recording import Outcome
from graders.records import Verdict
from graders.referentials.coverage import outside
from labs.errors import InputError
from labs.models.lab import Lab


def sheet(lab: Lab) -> dict[str, tuple[str, float]]:
    """Check id -> its task and what it counts."""
    return {check: (task.id, points) for task in lab.tasks for check, points in lab.worth(task).items()}


def validate(specs: Iterable[CheckSpec], lab: Lab, *, complete: bool) -> None:
    """Raise InputError when a need is unknown, an id is used twice or, if `complete`, a graded id has no check."""
    known: set[str] = set()
    found = list(specs)
    for spec in found:
        if spec.id in known:
            raise InputError(f"check {spec.id} is defined twice in graders/")
        known.add(spec.id)
    graded = sheet(lab)
    for spec in found:
        for need in spec.after:
            if need not in known and need not in graded:
                raise InputError(f"check {spec.id} needs {need}, which no check in graders/ is")
            if spec.phase == "live" and any(other.id == need and other.phase == "reboot" for other in found):
                raise InputError(f"check {spec.id} is live and cannot need {need}, measured after the reboot")
    missing = sorted(set(graded) - known)
    if complete and missing:
        raise InputError(f"lab {lab.name}: tasks: no check in graders/ for {', '.join(missing)}")
    refuse_strangers(graded, lab)


def refuse_strangers(graded: Iterable[str], lab: Lab) -> None:
    """Raise InputError for a graded check whose row the lab's referential does not have."""
    try:
        rows = referentials.load(lab.referential).rows
    except ValueError as problem:
        raise InputError(f"lab {lab.name}: referential: {problem}") from None
    if strangers := outside(graded, rows):
        names = ", ".join(strangers)
        raise InputError(f"lab {lab.name}: tasks: {names}: no such row in {lab.referential}; nothing else is graded")


def order(specs: Iterable[CheckSpec]) -> list[str]:
    """Ids in running order: live before reboot, prerequisites first; those that wait for errands late, and those last
    that disturb the machines.

    Raises InputError on a cycle.
    """
    left = {spec.id: spec for spec in specs}
    done: list[str] = []
    while left:
        ready = [spec for spec in left.values() if not any(need in left for need in spec.after)]
        if not ready:
            raise InputError(f"the needs of {', '.join(sorted(left))} go in a circle")
        live = [spec for spec in ready if spec.phase == "live"]
        waiting_live = any(spec.phase == "live" for spec in left.values())
        chosen = live or ready if waiting_live else ready
        first = min(_rank(one) for one in chosen)
        for spec in [one for one in chosen if _rank(one) == first]:
            done.append(spec.id)
            del left[spec.id]
    return done


def _rank(spec: CheckSpec) -> tuple[bool, bool]:
    return spec.disturbing, bool(spec.errands)


def with_needs(checks: Iterable[str], specs: Mapping[str, CheckSpec], graded: Iterable[str]) -> set[str]:
    """The checks and, of those in the sheet, every one that they come after: without these none is ever blocked."""
    known, found, left = set(graded), set(checks), list(checks)
    while left:
        spec = specs.get(left.pop())
        new = [need for need in (spec.after if spec else ()) if need in known and need not in found]
        found.update(new)
        left += new
    return found


def root_cause(checks: Iterable[str], outcomes: Mapping[str, Outcome]) -> str | None:
    """Of these checks, the first that was measured and is not passed, or rather what blocked it."""
    for need in checks:
        outcome = outcomes.get(need)
        if outcome and outcome.verdict not in {Verdict.PASSED, Verdict.NOT_APPLICABLE}:
            return outcome.blocked_by or need
    return None
