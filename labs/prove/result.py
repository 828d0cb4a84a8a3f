"""What a proof found, as data: the only source of its table, its page and its JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from graders.records import NODE_DOWN

Fate = Literal["killed", "survived", "not_applied", "unmeasured", "equivalent"]
FATES: tuple[Fate, ...] = ("survived", "not_applied", "unmeasured", "killed", "equivalent")
"""Worst first: a mutant, or a fault, tried on several seeds has the worst of its fates."""
GREEN = frozenset({"passed", "not_applicable", "manual"})


@dataclass(frozen=True)
class Seen:
    """The verdict of one check in one grading."""

    check: str
    verdict: str
    points: float
    max_points: float
    phase: str
    blocked_by: str | None = None
    message: str = ""

    @property
    def green(self) -> bool:
        return self.verdict in GREEN


@dataclass(frozen=True)
class Grading:
    """One grading of one bench in a known state."""

    seed: str
    state: str
    """`pristine`, `solution`, `alternative NAME`, `repetition N`."""
    checks: tuple[Seen, ...]
    seconds: float

    @property
    def points(self) -> float:
        return sum(one.points for one in self.checks)

    @property
    def max_points(self) -> float:
        return sum(one.max_points for one in self.checks)

    @property
    def percent(self) -> float:
        return round(100 * self.points / self.max_points, 1) if self.max_points else 0.0


@dataclass(frozen=True)
class Trial:
    """One mutant, or one fault, on one bench."""

    seed: str
    mutant: str
    """Its id."""
    fate: Fate
    seconds: float
    red: tuple[str, ...] = ()
    """Checks that failed."""
    stray: tuple[str, ...] = ()
    """Checks that the mutant should have left alone: failed, or blocked by something else than the mutant's checks."""
    whole_suite: bool = False
    """Whether every live check was run, so that `stray` says something."""
    detail: str = ""
    first: str = ""
    """Why it was tried a second time: what kept the first trial from telling anything."""


@dataclass
class Proof:
    """Everything found about one lab. `alternatives` are their names, `checks` the ids of the lab's sheet."""

    lab: str
    lab_version: str
    seeds: list[str]
    checks: list[str]
    alternatives: list[str]
    mutants: dict[str, dict[str, Any]]
    """By id: node, mistake, kills, equivalent (why, or None)."""
    training: str | None = None
    """The training version that is proved, instead of the whole lab."""
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same of the lab's faults."""
    gradings: list[Grading] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What could not be tried: a bench that did not come up, a playbook that failed."""
    hypervisor: str = ""
    """What ran the machines, with its version."""
    seconds: float = 0.0
    resumed: int = 0
    """How often the proof was taken up after an interruption."""

    def of(self, state: str) -> list[Grading]:
        return [one for one in self.gradings if one.state == state or one.state.startswith(state + " ")]

    def kind(self, name: str) -> str:
        """`mutant` or `fault`."""
        return "fault" if name in self.faults else "mutant"

    def fates(self) -> dict[str, Fate]:
        """Each mutant's and fault's worst fate over the seeds it was tried on."""
        found: dict[str, Fate] = {}
        for trial in self.trials:
            before = found.get(trial.mutant, "equivalent")
            found[trial.mutant] = min(before, trial.fate, key=FATES.index)
        return found

    def flakes(self) -> list[str]:
        """Checks whose verdict in one state was not always the same, after a restart too, as `seed check`."""
        seen: dict[tuple[str, str], set[str]] = {}
        repeated = [one for one in self.gradings if one.state.startswith("repetition")]
        for grading in [*self.of("solution"), *repeated]:
            for one in grading.checks:
                seen.setdefault((grading.seed, one.check), set()).add(one.verdict)
        return [f"{seed} {check}" for (seed, check), verdicts in sorted(seen.items()) if len(verdicts) > 1]

    def specificity(self) -> float | None:
        """Per cent of the mutants graded with the whole suite that reddened nothing but their own checks."""
        whole = [trial for trial in self.trials if trial.whole_suite]
        return round(100 * sum(not trial.stray for trial in whole) / len(whole), 1) if whole else None

    def wrong(self) -> list[str]:
        """Everything that is not as it should be, a line each; empty when the lab is proved."""
        return [
            *self.broken,
            *_points_on(self.of("pristine"), self.checks),
            *_not_full(self.of("solution"), self.checks),
            *_not_full(self.of("alternative"), self.checks),
            *(
                _trial_line(self.kind(trial.mutant), trial)
                for trial in self.trials
                if trial.fate not in {"killed", "equivalent"} or trial.stray
            ),
            *(f"flake: {one} did not always get the same verdict on an unchanged bench" for one in self.flakes()),
        ]

    def to_json(self) -> dict[str, Any]:
        """The figures first, then everything they come from."""
        fates = self.fates()
        of_faults = [fate for name, fate in fates.items() if self.kind(name) == "fault"]
        of_mutants = [fate for name, fate in fates.items() if self.kind(name) == "mutant"]
        alternatives = {name: self._alternative_passed(name) for name in self.alternatives}
        pristine, solution = self.of("pristine"), self.of("solution")
        return {
            "lab": self.lab,
            "training": self.training,
            "lab_version": self.lab_version,
            "hypervisor": self.hypervisor,
            "seeds": len(self.seeds),
            "checks": len(self.checks),
            "pristine_points": max((one.points for one in pristine), default=None),
            "solution_percent": min((one.percent for one in solution), default=None),
            "mutants": {name: of_mutants.count(name) for name in ("killed", "survived", "not_applied", "unmeasured",
                                                                  "equivalent")},
            "faults": {name: of_faults.count(name) for name in ("killed", "survived", "not_applied", "unmeasured")},
            "alternatives": {
                "passed": sum(one is True for one in alternatives.values()),
                "failed": sum(one is False for one in alternatives.values()),
            },
            "specificity_percent": self.specificity(),
            "flakes": len(self.flakes()),
            "seconds": round(self.seconds, 1),
            "resumed": self.resumed,
            "wrong": self.wrong(),
            "seed_ids": self.seeds,
            "check_ids": self.checks,
            "mutant_list": self.mutants,
            "fault_list": self.faults,
            "gradings": [{**dataclasses.asdict(one), "points": one.points, "max_points": one.max_points}
                         for one in self.gradings],
            "trials": [dataclasses.asdict(one) for one in self.trials],
        }  # fmt: skip

    def _alternative_passed(self, name: str) -> bool | None:
        tried = [one for one in self.gradings if one.state == f"alternative {name}"]
        return None if not tried else not any(True for _ in _not_full(tried, self.checks))


def _missing(grading: Grading, wanted: list[str]) -> Iterable[str]:
    measured = {one.check for one in grading.checks}
    return (f"{grading.seed}, {grading.state}: {check} was not measured" for check in wanted if check not in measured)


def _points_on(gradings: Iterable[Grading], wanted: list[str]) -> Iterable[str]:
    """No point must come of being measured: a machine that was down, or a grading that ended, earns nothing either."""
    for grading in gradings:
        yield from _missing(grading, wanted)
        for one in grading.checks:
            if one.points > 0:
                yield f"{grading.seed}, {grading.state}: {one.check} gives {one.points:g} points"
            elif one.verdict == "error" or (one.blocked_by or "").startswith(NODE_DOWN):
                yield f"{grading.seed}, {grading.state}: {one.check} could not be measured: {one.message}"


def _not_full(gradings: Iterable[Grading], wanted: list[str]) -> Iterable[str]:
    for grading in gradings:
        yield from _missing(grading, wanted)
        for one in grading.checks:
            if not one.green:
                yield f"{grading.seed}, {grading.state}: {one.check} is {one.verdict}: {one.message}"


def _trial_line(kind: str, trial: Trial) -> str:
    line = f"{trial.seed}, {kind} {trial.mutant}: {trial.fate.replace('_', ' ')}"
    if trial.stray:
        line += f", and it also reddened {', '.join(trial.stray)}"
    return f"{line}: {trial.detail}" if trial.detail else line
