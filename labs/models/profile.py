"""The hypervisor profile: where benches run and within which limits."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from labs.errors import InputError
from labs.models.loader import Strict, load, read_yaml
from labs.models.proxmox import ProxmoxProfile
from labs.paths import INVENTORIES

SUFFIX = ".hypervisor.yaml"


class PortRange(Strict):
    """TCP ports of the host, both ends included."""

    first: int = Field(ge=1024, le=65535)
    last: int = Field(ge=1024, le=65535)

    @model_validator(mode="after")
    def _ordered(self) -> PortRange:
        if self.first > self.last:
            raise ValueError("first is greater than last")
        return self


class Profile(Strict):
    """The embedded hypervisor: QEMU on this machine, as this user."""

    driver: Literal["qemu"] = "qemu"
    listen: str = "127.0.0.1"
    """Address of this machine on which SSH and VNC of the benches are offered to the room (IPv4)."""
    ports: PortRange = PortRange(first=21000, last=24999)
    accelerator: Literal["auto", "tcg", "kvm"] = "auto"
    """`auto` uses KVM only when a probe guest really ran under it."""
    instant: bool = True
    """Clone from a saved RAM state; false boots every machine from cold."""
    parallel: int | None = Field(default=None, ge=1, le=64)
    """Machines started at once; by default twice the number of cores."""
    memory_reserve_mb: int = Field(default=1024, ge=0)
    """Memory of this machine that benches must leave free."""

    @field_validator("listen")
    @classmethod
    def _one_address(cls, listen: str) -> str:
        try:
            usable = not ipaddress.IPv4Address(listen).is_unspecified
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("must be one IPv4 address of this machine, which access sheets name")
        return listen

    @property
    def workers(self) -> int:
        """Machines that the executor works on at once."""
        return self.parallel or 2 * (os.cpu_count() or 1)


AnyProfile = Profile | ProxmoxProfile


def load_profile(name: str, session_path: Path) -> AnyProfile:
    """The profile of that name, beside the session or under inventories/; `qemu` needs no file."""
    file_name = f"{name}{SUFFIX}"
    for folder in (session_path.parent, session_path.parent.parent, INVENTORIES):
        if (folder / file_name).is_file():
            return load_profile_file(folder / file_name)
    if name == "qemu":
        return Profile()
    raise InputError(f"{session_path}: hypervisor: no {file_name} beside the session or in {INVENTORIES}")


def find_profile(name: str) -> AnyProfile:
    """The profile meant on the command line: its file, or a name under inventories/. Raises InputError."""
    if Path(name).is_file():
        return load_profile_file(Path(name).absolute())
    if (INVENTORIES / f"{name}{SUFFIX}").is_file():
        return load_profile_file(INVENTORIES / f"{name}{SUFFIX}")
    if name == "qemu":
        return Profile()
    known = sorted(path.name.removesuffix(SUFFIX) for path in INVENTORIES.glob(f"*{SUFFIX}"))
    raise InputError(f"no profile {name!r}: neither a file nor in {INVENTORIES} ({', '.join(known) or 'none there'})")


def load_profile_file(path: Path) -> AnyProfile:
    """A profile from its file; `driver` says of which kind it is. Raises InputError."""
    data = read_yaml(path)
    if isinstance(data, dict) and data.get("driver") == "proxmox":
        return load(path, ProxmoxProfile).beside(path)
    return load(path, Profile)
