"""A lab cut down to one of its training versions: the same machines and values, fewer tasks, less time."""

from __future__ import annotations

from labs.errors import InputError
from labs.models.lab import Lab, Training


def training_of(lab: Lab, name: str) -> Training:
    """The version of that id. Raises InputError that lists those that there are."""
    for training in lab.trainings:
        if training.id == name:
            return training
    known = ", ".join(training.id for training in lab.trainings)
    others = f"; it has {known}" if known else ", nor any other"
    raise InputError(f"lab {lab.name} has no training version {name!r}{others}")


def cut_down(lab: Lab, training: Training) -> Lab:
    """The lab of a training version.

    Points are those of the whole sheet: a check is worth what it is worth in the whole lab. What the version leaves out
    is not measured, so nothing ever waits for it (`plateau lab check` refuses a version without what its checks need).
    """
    tasks = training.keep(lab.tasks)
    bareme = lab.bareme.only(check for task in tasks for check in task.checks)
    kept = {"tasks": tasks, "bareme": bareme, "duration_minutes": training.duration_minutes}
    return lab.model_copy(update=kept)
