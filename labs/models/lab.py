"""The lab: nodes, segments, values drawn per candidate, tasks with their barème."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from labs.errors import InputError
from labs.models.bareme import Bareme
from labs.models.loader import Strict, load, worded
from labs.paths import CATALOGUE, COMMON

Name = Annotated[
    str,
    worded(r"^[a-z][a-z0-9_-]{0,30}$", "small letters, digits, - and _, a letter first, 31 at most; such as tssi-2026"),
]
Text = dict[Literal["fr", "en"], str]
CHECK_ID = re.compile(r"^(?:CP\d{2}-[SROCD]\d+|T\d|N\d{1,2})\.[a-z]$")


class Integer(Strict):
    """A whole number between `min` and `max`, both included."""

    draw: Literal["integer"]
    min: int
    max: int

    @model_validator(mode="after")
    def _ordered(self) -> Integer:
        if self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class Choice(Strict):
    """One of the listed values."""

    draw: Literal["choice"]
    among: list[str | int] = Field(min_length=1)


class Token(Strict):
    """Lower-case letters and digits without look-alikes, `length` of them."""

    draw: Literal["token"]
    length: int = Field(ge=4, le=64)


Draw = Annotated[Integer | Choice | Token, Field(discriminator="draw")]


class Segment(Strict):
    """An isolated layer-2 network of the bench."""

    name: Name
    title: Text


class Nic(Strict):
    """A network card: access port of `segment`, or `trunk` of 802.1Q tag -> segment (tags may be templates)."""

    segment: Name | None = None
    trunk: dict[str, Name] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Nic:
        if (self.segment is None) == (self.trunk is None):
            raise ValueError("give either segment or trunk")
        return self


class SeedFile(Strict):
    """A file put on the node at its first start.

    `template` is relative to the lab's files/ folder, or begins with `common/`: one that several labs share.
    """

    template: str
    path: str = Field(pattern=r"^/")
    mode: str = Field(default="0644", pattern=r"^0[0-7]{3}$")

    def source(self, lab_folder: Path) -> Path:
        """The template's file."""
        shared = self.template.removeprefix(f"{COMMON.name}/")
        return COMMON / shared if shared != self.template else lab_folder / "files" / self.template


Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class Device(Strict):
    """A network device, graded by its command line: FRR of a Debian machine (`frr`), or any other through netmiko."""

    type: str = Field(pattern=r"^[a-z0-9_]+$")
    """`frr`, or netmiko's device_type (`cisco_ios`, `mikrotik_routeros`, …)."""
    user: str | None = None
    password_env: Variable | None = None
    """Environment variable with the password of `user`; without it, the key of the session's grader is used."""
    enable_env: Variable | None = None
    """The same for the privileged mode, when the account is not privileged."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Other than the one on which the hypervisor says that SSH answers."""
    host_key: str | None = Field(default=None, pattern=r"^(ssh|ecdsa)-\S+ [A-Za-z0-9+/=]+$")
    """Public host key; without it the first one that is seen is kept, and another is refused."""

    @model_validator(mode="after")
    def _complete(self) -> Device:
        others = (self.user, self.password_env, self.enable_env, self.port, self.host_key)
        if self.type == "frr" and any(others):
            raise ValueError("frr is asked as root of its machine; leave user, password_env, enable_env, port out")
        if self.type != "frr" and self.user is None:
            raise ValueError("give the user as whom the grader logs in")
        return self


class Windows(Strict):
    """A Windows machine, graded by PowerShell over WinRM, with NTLM.

    It is cloned from a template that a Proxmox VE profile names: `ROLE-RELEASE`, such as `dc-2022`.
    """

    release: str | None = Field(default=None, pattern=r"^[a-z0-9.]+$")
    """Of the template; by default the lab's."""
    setup: str | None = None
    """Template of a PowerShell script, relative to the lab's files/ folder, that ends the first configuration."""
    user: str
    password_env: Variable
    """Environment variable with the password of `user`."""
    port: int = Field(default=5986, ge=1, le=65535)
    tls: bool = True
    ca_file: Path | None = None
    """Authority that signed the machine's certificate, relative to the lab's folder; without it none is compared."""


class Node(Strict):
    """A machine of the bench. `owner: grader` machines are out of the candidate's reach."""

    name: Name
    role: Name
    title: Text
    owner: Literal["candidate", "grader"] = "candidate"
    memory_mb: int = Field(default=384, ge=128, le=65536)
    cores: int = Field(default=1, ge=1, le=16)
    nics: list[Nic] = Field(min_length=1, max_length=8)
    files: list[SeedFile] = Field(default_factory=list)
    run: list[str] = Field(default_factory=list)
    device: Device | None = None
    windows: Windows | None = None

    @model_validator(mode="after")
    def _one_system(self) -> Node:
        if self.device and self.windows:
            raise ValueError("give either device or windows")
        if self.windows and (self.files or self.run):
            raise ValueError("files and run are for Debian machines; give windows.setup instead")
        return self

    def release(self, usual: str) -> str:
        """Of its image or template, where `usual` is the lab's."""
        return (self.windows and self.windows.release) or usual

    @property
    def unix(self) -> bool:
        """Whether the grader can log in as root with a shell."""
        return self.windows is None and (self.device is None or self.device.type == "frr")


class Task(Strict):
    """A part of the subject; `checks` is its barème: check id -> points."""

    id: Name
    title: Text
    checks: dict[str, float] = Field(min_length=1)
    coefficient: float = Field(default=1.0, gt=0, le=100)
    """How many times the points of its checks count."""

    @field_validator("checks")
    @classmethod
    def _known_form(cls, checks: dict[str, float]) -> dict[str, float]:
        for check, points in checks.items():
            if not CHECK_ID.match(check):
                raise ValueError(f"{check!r} is not a check id such as CP06-S1.a")
            if points < 0:
                raise ValueError(f"{check}: points cannot be negative")
        return checks


class Training(Strict):
    """A shorter version of the lab, for training: some of its tasks, on a bench where the rest is done already."""

    id: Name
    title: Text
    duration_minutes: int = Field(ge=5, le=600)
    tasks: list[Name] = Field(min_length=1)
    """Those that are left to the candidate."""
    given: list[str] = Field(default_factory=list)
    """Checks of these tasks that the version takes as done: they are not graded."""
    preparation: str | None = None
    """Playbook, relative to playbooks/, that does on a fresh bench what the version takes as given; it takes the place
    of the lab's own."""

    def keep(self, tasks: Sequence[Task]) -> list[Task]:
        """What the version keeps of the lab's tasks, in their order. Raises ValueError when that is not possible."""
        if unknown := sorted(set(self.tasks) - {task.id for task in tasks}):
            known = ", ".join(task.id for task in tasks)
            raise ValueError(f"training {self.id}: tasks: no task {unknown[0]!r}; the lab has {known}")
        kept = [task for task in tasks if task.id in self.tasks]
        if strangers := set(self.given) - {check for task in kept for check in task.checks}:
            raise ValueError(f"training {self.id}: given: {', '.join(sorted(strangers))}: no check of its tasks")
        left = []
        for task in kept:
            checks = {check: points for check, points in task.checks.items() if check not in self.given}
            if not checks:
                raise ValueError(f"training {self.id}: task {task.id} has no check left; take it out of tasks")
            left.append(task.model_copy(update={"checks": checks}))
        return left


class Lab(Strict):
    """A lab of the catalogue (lab.yaml)."""

    name: Name
    version: str = Field(pattern=r"^\d+\.\d+$")
    title: Text
    summary: Text
    referential: str
    duration_minutes: int = Field(ge=5, le=600)
    release: Literal["trixie", "bookworm"] = "trixie"
    values: dict[Name, Draw | str] = Field(default_factory=dict)
    """In order: drawn (draw: …) or computed from those above (Jinja template)."""
    subject_values: dict[Name, Text] = Field(default_factory=dict)
    """The values a candidate is told, with their labels."""
    segments: list[Segment] = Field(min_length=1)
    nodes: list[Node] = Field(min_length=1)
    tasks: list[Task] = Field(min_length=1)
    bareme: Bareme = Bareme()
    preparation: str | None = None
    """Playbook, relative to playbooks/, that every fresh bench gets before its candidate receives it."""
    solution: str
    """Playbook, relative to playbooks/."""
    alternatives: list[str] = Field(default_factory=list)
    """Playbooks of other complete and legitimate ways to do the work: each deserves every point."""
    draft: bool = False
    """Not proven on machines yet (`plateau prove`): no exam is held with it."""
    trainings: list[Training] = Field(default_factory=list)
    """Shorter versions for training (labs.models.training)."""

    @model_validator(mode="after")
    def _consistent(self) -> Lab:
        segments = _unique("segment", [segment.name for segment in self.segments])
        _unique("node", [node.name for node in self.nodes])
        _unique("task", [task.id for task in self.tasks])
        _unique("check", [check for task in self.tasks for check in task.checks])
        if strangers := self.bareme.strangers(check for task in self.tasks for check in task.checks):
            raise ValueError(f"bareme: {', '.join(strangers)}: not graded under tasks, or not a share of 1")
        for node in self.nodes:
            for nic in node.nics:
                used = {nic.segment} if nic.segment else set((nic.trunk or {}).values())
                for missing in used - segments:
                    raise ValueError(f"node {node.name}: segment {missing!r} is not declared under segments")
        for value in self.subject_values:
            if value not in self.values:
                raise ValueError(f"subject_values: {value!r} is not declared under values")
        _unique("training", [training.id for training in self.trainings])
        for training in self.trainings:
            training.keep(self.tasks)
        return self

    def worth(self, task: Task) -> dict[str, float]:
        """What each check of the task counts: its points, times the coefficients of the task and of its row."""
        rows = self.bareme.coefficients
        return {
            check: round(points * task.coefficient * rows.get(check.rpartition(".")[0], 1.0), 4)
            for check, points in task.checks.items()
        }

    def task_points(self, task: Task) -> float:
        """What the task counts in the total."""
        return round(sum(self.worth(task).values()), 4)

    @property
    def points(self) -> float:
        return round(sum(self.task_points(task) for task in self.tasks), 4)

    def node(self, name: str) -> Node:
        """The node of that name. Raises KeyError."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def templates(self) -> list[str]:
        """Templates, `ROLE-RELEASE`, that are no images of ours: only a Proxmox VE profile can name them."""
        return sorted({f"{node.role}-{node.release(self.release)}" for node in self.nodes if node.windows})

    @property
    def graded_nodes(self) -> list[Node]:
        return [node for node in self.nodes if node.owner == "candidate"]


def _unique(what: str, names: list[str]) -> set[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} {name!r} is declared twice")
    return set(names)


def lab_names() -> list[str]:
    """The labs of the catalogue."""
    return sorted(path.parent.name for path in CATALOGUE.glob("*/lab.yaml"))


def load_lab(name: str) -> Lab:
    """A lab of the catalogue by its name. Raises InputError that lists the known ones."""
    path = CATALOGUE / name / "lab.yaml"
    if not path.is_file():
        raise InputError(f"unknown lab {name!r}; known: {', '.join(lab_names())}")
    return load_lab_file(path)


def load_lab_file(path: Path) -> Lab:
    """A lab from its lab.yaml; the folder must carry the lab's name."""
    lab = load(path, Lab)
    if path.parent.name != lab.name:
        raise InputError(f"{path}: name: is {lab.name!r} but the folder is {path.parent.name!r}; make them equal")
    return lab
