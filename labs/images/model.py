"""Image data as validated models: the base tree, the role layers and the depot's package list."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from labs.errors import EnvironmentLackError, InputError

DATA = Path(__file__).resolve().parent
RELEASES = ("trixie", "bookworm")
"""Debian releases that images can be built from; the first is the default."""
DEFAULT_RELEASE = RELEASES[0]

T = TypeVar("T", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Package(_Strict):
    """A Debian package, for the releases that have it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
    only: tuple[Literal["trixie", "bookworm"], ...] = ()

    def wanted(self, release: str) -> bool:
        return not self.only or release in self.only


def _package(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


PackageRef = Annotated[Package, BeforeValidator(_package)]


class FileEntry(_Strict):
    """A file of the image, owned by root."""

    path: str
    content: str
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] = "0644"

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ".." in PurePosixPath(value).parts:
            raise ValueError("must be an absolute path")
        return value


class _Packages(_Strict):
    packages: tuple[PackageRef, ...]

    def package_names(self, release: str) -> list[str]:
        """The packages wanted in this release, in the order of the file."""
        return [package.name for package in self.packages if package.wanted(release)]


class Role(_Packages):
    """A layer over the base tree; commands run in it once its packages and files are there."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,15}$")]
    title: str
    kernel: Annotated[str, Field(pattern=r"^linux-image-[a-z0-9-]+$")] | None = None
    """Package of a kernel that takes the place of the base tree's."""
    disabled: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = ()
    commands: tuple[str, ...] = ()


class Base(Role):
    """The tree that all roles share."""

    path_filters: tuple[str, ...]
    masked: tuple[str, ...]
    finish: tuple[str, ...]


class Depot(_Packages):
    """The offline package repository that a candidate installs from."""


def check_release(release: str) -> str:
    """Return `release`, or raise EnvironmentLackError naming those that can be built."""
    if release not in RELEASES:
        raise EnvironmentLackError(f"release {release!r}: images can be built for {', '.join(RELEASES)}")
    return release


def load_base() -> Base:
    return _load(DATA / "base.yaml", Base)


def load_depot() -> Depot:
    return _load(DATA / "depot.yaml", Depot)


def role_names() -> list[str]:
    """The roles that images can be built for."""
    return sorted(path.stem for path in (DATA / "roles").glob("*.yaml"))


def can_build(role: str, release: str) -> bool:
    """Whether there are data to build that image; Windows machines, for one, are cloned from templates of others."""
    return release in RELEASES and role in role_names()


def load_role(name: str) -> Role:
    """The data of one role; raises InputError, listing the known ones, when there is none."""
    if name not in role_names():
        raise InputError(f"role {name!r}: unknown; known roles: {', '.join(role_names())}")
    role = _load(DATA / "roles" / f"{name}.yaml", Role)
    if role.name != name:
        raise InputError(f"{DATA / 'roles' / name}.yaml: name: must be {name!r}, is {role.name!r}")
    return role


def parse(data: object, model: type[T], source: str) -> T:
    """Validate `data`; raises InputError with one line naming `source` and the field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first: Any = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"{source}: {field}: {first['msg']}") from None


def _load(path: Path, model: type[T]) -> T:
    return parse(_read(path), model, str(path))


@functools.cache
def _read(path: Path) -> object:
    """Read once a process: the data are asked for with every image that is looked up, and do not change meanwhile."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(path)
    except YAMLError as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
