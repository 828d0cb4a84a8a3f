"""Faults: broken states of a solved bench, for break/fix work; each lab's are in its faults.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from labs.errors import InputError
from labs.models.lab import Lab, Name, Text, load_lab
from labs.models.loader import Strict, load
from labs.paths import CATALOGUE


class Fault(Strict):
    """One breakdown: what the caller says, what is broken, and the checks that are green again after the repair.

    `run` and `applied` are shell programs, templates over the candidate's values, run as root on `node` of a solved
    bench; `applied` ends with status 0 when the fault is there and with another before.
    """

    id: str = Field(pattern=r"^F\d{2}$")
    title: Text
    node: Name
    call: Text
    """What the caller says: symptoms only, a template over the candidate's values."""
    run: str
    applied: str
    green: list[str] = Field(min_length=1)
    """Checks that fail while the fault is there and pass once it is repaired, in the candidate's way or another."""

    @property
    def mistake(self) -> str:
        """What is broken, in English: a fault is tried as a mutant is."""
        return self.title.get("en") or next(iter(self.title.values()))

    @property
    def kills(self) -> list[str]:
        """Checks that must not pass while the fault is there."""
        return self.green

    @property
    def equivalent(self) -> None:
        """A fault is always run."""
        return None


class FaultFile(Strict):
    """A lab's faults.yaml."""

    faults: list[Fault] = Field(min_length=1)


def load_faults(lab: Lab, path: Path | None = None) -> list[Fault]:
    """The faults of a lab; none when it has no faults.yaml.

    Raises InputError, naming file and fault, for an id used twice, or a machine or a check that the lab does not have.
    """
    path = path or CATALOGUE / lab.name / "faults.yaml"
    if not path.is_file():
        return []
    graded = {check for task in lab.tasks for check in task.checks}
    machines = {node.name for node in lab.graded_nodes}
    found: list[Fault] = []
    for index, fault in enumerate(load(path, FaultFile).faults):
        where = f"{path}: faults.{index} ({fault.id})"
        if any(other.id == fault.id for other in found):
            raise InputError(f"{where}: this id is used twice; give each fault its own")
        if fault.node not in machines:
            raise InputError(f"{where}: node: lab {lab.name} gives candidates {', '.join(sorted(machines))} only")
        unknown = sorted(set(fault.green) - graded)
        if unknown:
            raise InputError(f"{where}: green: {', '.join(unknown)} is not in the sheet of lab {lab.name}")
        found.append(fault)
    return found


def narrowed(faults: Sequence[Fault], lab: Lab) -> list[Fault]:
    """Those that the sheet of `lab`, cut down to a training version, can notice, with the checks that must do so."""
    graded = {check for task in lab.tasks for check in task.checks}
    return [
        fault.model_copy(update={"green": [check for check in fault.green if check in graded]})
        for fault in faults
        if graded.intersection(fault.green)
    ]


def find_fault(lab: Lab, fault_id: str) -> Fault:
    """The fault of that id. Raises InputError that lists those that the sheet of `lab` can notice."""
    faults = narrowed(load_faults(load_lab(lab.name)), lab)
    for fault in faults:
        if fault.id == fault_id:
            return fault
    known = ", ".join(fault.id for fault in faults) or "none"
    raise InputError(f"lab {lab.name} has no fault {fault_id!r}; known: {known}")
