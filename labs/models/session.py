"""The session: a lab, its candidates, a seed, a mode and a hypervisor profile."""

from __future__ import annotations

import csv
import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from labs.errors import InputError
from labs.models.lab import Lab, Name, Training, load_lab
from labs.models.loader import Strict, complaint, line_of, load, read_yaml, worded
from labs.models.profile import AnyProfile, load_profile
from labs.models.training import cut_down, training_of
from labs.paths import INVENTORIES

CandidateId = Annotated[
    str, worded(r"^[a-z0-9][a-z0-9-]{0,30}$", "small letters, digits and -, 31 at most; such as jean-dupont")
]


class Candidate(Strict):
    """A person who works on a bench. `id` is also used in file and machine names."""

    id: CandidateId
    name: str = Field(min_length=1, max_length=120)


DRAWN = re.compile("[0-9a-f]{32,}")
"""A seed of 128 bits or more, that nobody writes from their own head."""


class SessionFile(Strict):
    """A session.yaml as written by the trainer."""

    name: Name
    title: str
    lab: str
    mode: Literal["training", "exam"] = "training"
    training: Name | None = None
    """Id of a training version of the lab: only its tasks are worked on, what it takes as given is in place."""
    seed: str = Field(min_length=8)
    """Secret of the session: the candidates' variants are drawn from it."""
    hypervisor: str = "qemu"
    """Name of a profile: inventories/<name>.hypervisor.yaml, or `qemu` for the embedded one."""
    candidates: list[Candidate] = Field(default_factory=list)
    candidates_csv: str | None = None
    """Instead of `candidates`: a CSV file beside this one, with the columns id and name."""

    @field_validator("training")
    @classmethod
    def _no_exam(cls, training: str | None, info: ValidationInfo) -> str | None:
        if training is not None and info.data.get("mode") == "exam":
            raise ValueError("an exam is the whole lab; take this line out, or change mode to training")
        return training

    @model_validator(mode="after")
    def _one_list(self) -> SessionFile:
        if bool(self.candidates) == (self.candidates_csv is not None):
            raise ValueError("give either candidates or candidates_csv")
        return self


@dataclass(frozen=True)
class Session:
    """A session file with everything it names loaded."""

    path: Path
    file: SessionFile
    lab: Lab
    """Cut down to the training version, when the file names one."""
    profile: AnyProfile
    candidates: tuple[Candidate, ...]
    graded_as: str = ""
    """The `uid` of a run that is judged again, wherever its folder is now."""

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def training(self) -> Training | None:
        """The training version that is worked on; None for the whole lab."""
        return training_of(self.lab, self.file.training) if self.file.training else None

    @property
    def preparation(self) -> str | None:
        """Playbook, relative to playbooks/, that every fresh bench gets; None when there is nothing to prepare."""
        return (self.training and self.training.preparation) or self.lab.preparation

    @property
    def uid(self) -> str:
        """Unique on the hypervisor: two checkouts may each have a session of the same name."""
        return self.graded_as or f"{self.name}-{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}"

    def require_secret(self) -> None:
        """Raise InputError when an exam's seed may be guessed: every candidate's passwords are drawn from it.

        Whoever has one variant can try a phrase after the other until it is theirs.
        """
        if self.file.mode == "exam" and not DRAWN.fullmatch(self.file.seed):
            line = line_of(read_yaml(self.path), ["seed"])
            raise InputError(
                f"{self.path}:{line}: seed: an exam's is not chosen but drawn: 32 hexadecimal digits or more; "
                f'this one, for instance: "{secrets.token_hex(16)}"'
            )

    def candidate(self, candidate_id: str) -> Candidate:
        """One candidate. Raises InputError that lists the known ids."""
        for candidate in self.candidates:
            if candidate.id == candidate_id:
                return candidate
        known = ", ".join(candidate.id for candidate in self.candidates)
        raise InputError(f"{self.path}: unknown candidate {candidate_id!r}; known: {known}")

    def select(self, ids: list[str] | None) -> tuple[Candidate, ...]:
        """The candidates of those ids, or all when none is given."""
        return tuple(self.candidate(one) for one in dict.fromkeys(ids)) if ids else self.candidates


def find_session(name: str) -> Path:
    """The session.yaml meant by `name`: a folder under inventories/, a folder, or the file itself."""
    for path in (Path(name), INVENTORIES / name):
        if path.is_dir() and (path / "session.yaml").is_file():
            return (path / "session.yaml").resolve()
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(path.parent.name for path in INVENTORIES.glob("*/session.yaml"))) or "none"
    raise InputError(f"no session {name!r}: neither a session.yaml nor a folder that has one; in inventories/: {known}")


def load_session(name: str) -> Session:
    """Load a session by name or path. Raises InputError naming file, line and field."""
    path = find_session(name)
    file = load(path, SessionFile)
    try:
        lab = load_lab(file.lab)
    except InputError as problem:
        raise InputError(f"{path}: lab: {problem}" if "unknown lab" in str(problem) else str(problem)) from None
    if lab.draft and file.mode == "exam":
        line = line_of(read_yaml(path), ["mode"])
        raise InputError(
            f"{path}:{line}: mode: the lab {lab.name} is a draft, its checks were not proven on machines; "
            "hold exams with another lab, or prove it (plateau prove) and take draft out of its lab.yaml"
        )
    if file.training is not None:
        lab = _version(path, lab, file.training)
    profile = load_profile(file.hypervisor, path)
    if file.candidates_csv is not None:
        candidates = read_candidates(path.parent / file.candidates_csv)
    else:
        candidates = tuple(file.candidates)
    for candidate in candidates:
        if sum(other.id == candidate.id for other in candidates) > 1:
            raise InputError(f"{path}: candidates: id {candidate.id!r} is given twice; ids must be unique")
    return Session(path, file, lab, profile, candidates)


def _version(path: Path, lab: Lab, training: str) -> Lab:
    try:
        return cut_down(lab, training_of(lab, training))
    except InputError as problem:
        raise InputError(f"{path}:{line_of(read_yaml(path), ['training'])}: training: {problem}") from None


def read_candidates(path: Path) -> tuple[Candidate, ...]:
    """Candidates from a CSV with the columns id and name (comma or semicolon, UTF-8)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; candidates_csv names a file beside session.yaml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save the file as CSV UTF-8") from None
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}; candidates_csv names a file beside session.yaml") from None
    lines = text.splitlines()
    delimiter = ";" if lines and lines[0].count(";") >= lines[0].count(",") and ";" in lines[0] else ","
    rows = csv.DictReader(lines, delimiter=delimiter)
    columns = [column.strip() for column in rows.fieldnames or []]
    if columns != ["id", "name"]:
        raise InputError(f"{path}:1: the columns must be id and name, found {', '.join(columns) or 'nothing'}")
    candidates: list[Candidate] = []
    for row in rows:
        values = {(key or "extra").strip(): (value or "").strip() for key, value in row.items() if key is not None}
        if None in row:
            raise InputError(f"{path}:{rows.line_num}: too many columns; quote a name that holds {delimiter!r}")
        try:
            candidates.append(Candidate.model_validate(values))
        except ValidationError as problem:
            first = problem.errors()[0]
            raise InputError(f"{path}:{rows.line_num}: {first['loc'][0]}: {complaint(first)}") from None
    if not candidates:
        raise InputError(f"{path}: no candidate; add one line per candidate under id{delimiter}name")
    return tuple(candidates)
