"""The hypervisor profile: where benches run and within which limits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from labs.errors import InputError
from labs.models.loader import Strict, load
from labs.paths import INVENTORIES


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
    """Address on which SSH and VNC of the benches are offered to the room."""
    ports: PortRange = PortRange(first=21000, last=24999)
    accelerator: Literal["auto", "tcg", "kvm"] = "auto"
    """`auto` uses KVM only when a probe guest really ran under it."""
    instant: bool = True
    """Clone from a saved RAM state; false boots every machine from cold."""
    parallel: int | None = Field(default=None, ge=1, le=64)
    """Machines started at once; by default twice the number of cores."""
    memory_reserve_mb: int = Field(default=1024, ge=0)
    """Memory of this machine that benches must leave free."""


def load_profile(name: str, session_path: Path) -> Profile:
    """The profile of that name, beside the session or under inventories/; `qemu` needs no file."""
    file_name = f"{name}.hypervisor.yaml"
    for folder in (session_path.parent, session_path.parent.parent, INVENTORIES):
        if (folder / file_name).is_file():
            return load(folder / file_name, Profile)
    if name == "qemu":
        return Profile()
    raise InputError(f"{session_path}: hypervisor: no {file_name} beside the session or in {INVENTORIES}")
