"""What people say beside the machine: marks of human rows, opinions on competences, overrides of verdicts.

One YAML file a candidate, `marks/<candidate>.yaml` beside the session: grading never touches it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from graders.records import Run, Verdict
from labs.errors import InputError
from labs.models.loader import Strict, load

FOLDER = "marks"
LEVELS = (1, 2, 3, 4)
"""Insufficient, fragile, satisfactory, very satisfactory: the words are in the report's catalogue."""


class RowMark(Strict):
    """One human row. What the form tells the person (title, class, observed) is read back and ignored."""

    title: str = ""
    row_class: str = Field(default="", alias="class")
    observed: list[str] = Field(default_factory=list)
    level: Literal[1, 2, 3, 4] | None = None
    comment: str | None = None
    evaluator: str | None = None
    date: datetime.date | None = None


class Opinion(Strict):
    """The evaluator's word on a competence: are its criteria satisfied? Never computed."""

    title: str = ""
    satisfied: Literal["oui", "non"] | None = None
    comment: str | None = None
    evaluator: str | None = None
    date: datetime.date | None = None


class Override(Strict):
    """A person's verdict instead of the machine's; the machine's stays visible beside it."""

    check: str
    phase: Literal["live", "reboot"] = "live"
    verdict: Verdict
    reason: str = Field(min_length=10)
    evaluator: str = Field(min_length=2)
    date: datetime.date

    @field_validator("verdict")
    @classmethod
    def _a_decision(cls, verdict: Verdict) -> Verdict:
        if verdict not in {Verdict.PASSED, Verdict.FAILED, Verdict.NOT_APPLICABLE}:
            raise ValueError("a person decides passed, failed or not_applicable")
        return verdict


class Rubric(Strict):
    """Everything that people said about one candidate."""

    candidate: str
    name: str = ""
    session: str
    referential: str
    evaluator: str | None = None
    """Who fills the form, when a row does not say otherwise."""
    date: datetime.date | None = None
    rows: dict[str, RowMark] = Field(default_factory=dict)
    competences: dict[str, Opinion] = Field(default_factory=dict)
    overrides: list[Override] = Field(default_factory=list)

    def who(self, entry: RowMark | Opinion) -> str:
        return entry.evaluator or self.evaluator or ""

    def when(self, entry: RowMark | Opinion) -> datetime.date | None:
        return entry.date or self.date

    @property
    def overridden(self) -> dict[tuple[str, str], Override]:
        """(check, phase) -> the last override of it."""
        return {(one.check, one.phase): one for one in self.overrides}


def folder_for(run_folder: Path) -> Path:
    """Where the marks of a run's session are: `marks` in the run's folder (a copy), else beside `results/`."""
    inside = run_folder / FOLDER
    if inside.is_dir() or run_folder.parent.name != "results":
        return inside
    return run_folder.parent.parent / FOLDER


def load_all(folder: Path, candidates: Iterable[str]) -> dict[str, Rubric]:
    """The rubrics of those candidates that have one. Raises InputError naming file, line and field."""
    found = {}
    for one in candidates:
        path = folder / f"{one}.yaml"
        if "/" in one or not path.is_file():
            continue
        found[one] = load(path, Rubric)
        if found[one].candidate != one:
            raise InputError(f"{path}: candidate: is {found[one].candidate!r}, but the file is that of {one!r}")
    return found


def refuse_strangers(folder: Path, rubrics: Mapping[str, Rubric], run: Run, rows: Iterable[str]) -> None:
    """Raise InputError for marks of another session, a mark of no row, or an override of nothing that was measured.

    A slip of the pen would change nothing, and a form that was copied with its folder would be somebody else's.
    """
    known_checks = {check for task in run.header.tasks for check in task.get("checks", {})}
    known_rows = set(rows)
    phases: dict[tuple[str, str], set[str]] = {}
    held = {(record.candidate, record.phase) for record in run.records}
    for record in run.records:
        phases.setdefault((record.candidate, record.check), set()).add(record.phase)
    for one, found in rubrics.items():
        path = folder / f"{one}.yaml"
        if found.session != run.header.session:
            raise InputError(
                f"{path}: session: the form is of {found.session!r}, the run of {run.header.session!r}; put "
                "it away, and `plateau rubric` writes one of this session; or correct `session:` if only that changed"
            )
        if found.referential != run.header.referential:
            raise InputError(f"{path}: referential: is {found.referential}, the run's is {run.header.referential}")
        if lost := [row for row in found.rows if row not in known_rows]:
            raise InputError(f"{path}: rows.{lost[0]}: the referential {found.referential} has no such row")
        if lost := [override.check for override in found.overrides if override.check not in known_checks]:
            raise InputError(f"{path}: overrides: {lost[0]} is not in the lab's sheet")
        for override in found.overrides:
            measured = phases.get((one, override.check), set())
            # A run without a restart says nothing against what was decided of one with it.
            if measured and override.phase not in measured and (one, override.phase) in held:
                raise InputError(
                    f"{path}: overrides: {override.check}: phase: {override.phase}: it was measured {_when(measured)}"
                )


def _when(phases: Iterable[str]) -> str:
    told = {"live": "before the restart (phase: live)", "reboot": "after the restart (phase: reboot)"}
    return ", ".join(told.get(phase, phase) for phase in sorted(phases))
