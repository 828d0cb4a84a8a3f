"""Hypervisors: the protocol, and the drivers that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labs.hypervisors.base import Hypervisor
    from labs.models.profile import AnyProfile


def open_hypervisor(profile: AnyProfile) -> Hypervisor:
    """The driver that a profile names. Raises EnvironmentLackError when it cannot work here."""
    if profile.driver == "proxmox":
        from labs.hypervisors.proxmox.driver import ProxmoxHypervisor

        return ProxmoxHypervisor(profile)
    from labs.hypervisors.qemu.driver import QemuHypervisor

    return QemuHypervisor(profile)
