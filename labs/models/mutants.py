"""Mutants: small sabotages of a lab's solution, each of which must turn exactly its checks red.

They live beside the checks, in graders/<competence>/mutants.yaml, and are written for one lab's reference solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from labs.errors import InputError
from labs.models.lab import CHECK_ID, Lab, Name
from labs.models.loader import Strict, load
from labs.paths import GRADERS


class Mutant(Strict):
    """One mistake a person could have made, and what must notice it.

    `run` and `applied` are shell programs, templates over the candidate's values, run as root on `node` through the
    hypervisor. `applied` ends with status 0 when the mistake is there and with another on the solution: it is how a
    mutant is seen to be applied by something other than the checks.
    """

    id: str = Field(pattern=r"^CP\d{2}-[SROCD]\d+\.m\d+$")
    lab: Name
    node: Name
    mistake: str = Field(min_length=10)
    run: str | None = None
    applied: str | None = None
    kills: list[str] = Field(default_factory=list)
    """Checks that must not pass any more: at least one `failed`, others may be blocked under it."""
    restart: bool = True
    """Whether its checks that are made after a restart need one to see it. False: it acts at once and outlives a
    restart, so it is made on a solved bench that was restarted before, and nobody waits for another restart."""
    equivalent: str | None = None
    """Instead of `run`, `applied` and `kills`: why nobody could tell this mutant from the solution."""

    @field_validator("kills")
    @classmethod
    def _check_ids(cls, kills: list[str]) -> list[str]:
        for check in kills:
            if not CHECK_ID.match(check):
                raise ValueError(f"{check!r} is not a check id such as CP06-S1.a")
        return kills

    @model_validator(mode="after")
    def _complete(self) -> Mutant:
        given = [name for name in ("run", "applied", "kills") if getattr(self, name)]
        if self.equivalent is not None and given:
            raise ValueError(f"an equivalent mutant is not run: take {', '.join(given)} out, or `equivalent`")
        if self.equivalent is None and len(given) < 3:
            raise ValueError("give run, applied and kills, or say in `equivalent` why it cannot be told apart")
        return self


class MutantFile(Strict):
    """A mutants.yaml."""

    mutants: list[Mutant] = Field(min_length=1)


def mutant_files() -> list[Path]:
    """Every mutants.yaml beside the checks."""
    return sorted(GRADERS.glob("*/mutants.yaml"))


def load_mutants(lab: Lab, files: Sequence[Path] | None = None) -> list[Mutant]:
    """The mutants written for `lab`, in the order of the files.

    Raises InputError, naming file and mutant, for an id used twice, or a machine or a check that the lab does not have.
    """
    graded = {check for task in lab.tasks for check in task.checks}
    machines = {node.name for node in lab.graded_nodes}
    found: dict[str, Mutant] = {}
    for path in mutant_files() if files is None else files:
        for index, mutant in enumerate(load(path, MutantFile).mutants):
            if mutant.lab != lab.name:
                continue
            where = f"{path}: mutants.{index} ({mutant.id})"
            if mutant.id in found:
                raise InputError(f"{where}: this id is used twice for lab {lab.name}; give each mutant its own")
            if mutant.node not in machines:
                raise InputError(f"{where}: node: lab {lab.name} gives candidates {', '.join(sorted(machines))} only")
            unknown = sorted(set(mutant.kills) - graded)
            if unknown:
                raise InputError(f"{where}: kills: {', '.join(unknown)} is not in the sheet of lab {lab.name}")
            found[mutant.id] = mutant
    return list(found.values())


def narrowed(mutants: Sequence[Mutant], lab: Lab) -> list[Mutant]:
    """Those that the sheet of `lab`, cut down to a training version, can notice, with the checks that must do so."""
    graded = {check for task in lab.tasks for check in task.checks}
    rows = {check.partition(".")[0] for check in graded}
    return [
        mutant.model_copy(update={"kills": [check for check in mutant.kills if check in graded]})
        for mutant in mutants
        if graded.intersection(mutant.kills) or (mutant.equivalent and mutant.id.partition(".")[0] in rows)
    ]
