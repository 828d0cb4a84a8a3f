"""What became of a mutant or a fault, from the verdicts seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graders.records import NODE_DOWN
from labs.models.faults import Fault
from labs.models.mutants import Mutant
from labs.prove.result import Fate, Seen

Sabotaged = Mutant | Fault
"""What is put into a solved bench, and the checks that must notice it."""


def fate(mutant: Sabotaged, checks: Iterable[Seen]) -> tuple[Fate, str]:
    """The mutant's fate and why, from the verdicts of its checks.

    Killed: none of its checks passed, at least one `failed`, and those blocked are so under one of its checks. A check
    that could not be measured proves nothing, nor does one whose machine did not answer.
    """
    seen = {one.check: one for one in checks if one.check in mutant.kills}
    missing = [check for check in mutant.kills if check not in seen]
    if missing:
        return "unmeasured", f"{', '.join(missing)}: no record"
    errors = [one for one in seen.values() if one.verdict == "error"]
    if errors:
        return "unmeasured", "; ".join(f"{one.check}: {one.message}" for one in errors)
    down = [one for one in seen.values() if (one.blocked_by or "").startswith(NODE_DOWN)]
    if down:
        return "unmeasured", "; ".join(f"{one.check} is blocked by {one.blocked_by}" for one in down)
    green = [one.check for one in seen.values() if one.green]
    if green:
        return "survived", f"{', '.join(green)} still passes"
    foreign = [one for one in seen.values() if one.verdict == "blocked" and one.blocked_by not in mutant.kills]
    if foreign:
        return "survived", "; ".join(f"{one.check} is only blocked by {one.blocked_by}" for one in foreign)
    if not any(one.verdict == "failed" for one in seen.values()):
        return "survived", "none of its checks failed of its own"
    return "killed", ""


def stray(mutant: Sabotaged, checks: Iterable[Seen]) -> tuple[str, ...]:
    """Checks outside the mutant's own that are red on their own account, or blocked under a foreign cause."""
    return tuple(
        one.check
        for one in checks
        if one.check not in mutant.kills
        and not one.green
        and not (one.verdict == "blocked" and one.blocked_by in mutant.kills)
    )


def untold(mutant: Sabotaged, checks: Iterable[Seen]) -> tuple[str, ...]:
    """Checks outside the mutant's own that could not be measured beside it: whether it is specific is not known."""
    return tuple(one.check for one in checks if one.check not in mutant.kills and one.verdict == "error")


def affected(mutant: Sabotaged, phases: Mapping[str, str]) -> tuple[list[str], bool]:
    """The mutant's checks in the sheet's order, and whether one of them is measured after a reboot."""
    chosen = [check for check in phases if check in mutant.kills]
    return chosen, any(phases[check] == "reboot" for check in chosen)


def acts_at_once(mutant: Sabotaged) -> bool:
    """Whether its checks, those made after a restart too, see it without one. A fault is always tried with."""
    return isinstance(mutant, Mutant) and not mutant.restart


def sampled(mutants: Sequence[Mutant], share: int, offset: int) -> set[str]:
    """Ids of every `share`-th mutant, from `offset`: with another offset a seed, all have their turn."""
    return {mutant.id for index, mutant in enumerate(mutants) if share and (index + offset) % share == 0}
