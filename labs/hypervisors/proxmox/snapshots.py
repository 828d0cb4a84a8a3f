"""Snapshots of a machine, with its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.tasks import Tasks

CURRENT = "current"
"""The entry that stands for the machine as it is now."""


def names(client: Client, machine: Machine, deadline: Deadline) -> list[str]:
    """The complete snapshots, by name."""
    return sorted(name for name, one in _entries(client, machine, deadline).items() if not one.get("snapstate"))


def settled(client: Client, machine: Machine, deadline: Deadline) -> list[str]:
    """The complete snapshots once none is being taken: one that another run began would be taken for none, and lost.

    Raises DeadlineError.
    """
    for _ in deadline.ticks(0.5, slower=1.5, longest=5.0):
        if deadline.expired:
            break
        if client.get(f"{machine.path}/config", deadline).get("lock") != "snapshot":
            return names(client, machine, deadline)
    raise DeadlineError(
        f"{machine.key}: a snapshot of VM {machine.vmid} is still being taken; wait for its task, or, where none runs, "
        f"run qm unlock {machine.vmid} on {machine.node}"
    )


def take(client: Client, tasks: Tasks, machine: Machine, name: str, deadline: Deadline) -> None:
    """Save disks and memory under `name`, replacing an older snapshot, or one that was never finished."""
    path = f"{machine.path}/snapshot"
    if name in _entries(client, machine, deadline):
        settle(
            lambda: client.call("DELETE", f"{path}/{name}", deadline),
            lambda: name not in _entries(client, machine, deadline),
            tasks,
            f"{machine.key}: snapshot {name} (the older one)",
            deadline,
        )
    settle(
        lambda: client.call("POST", path, deadline, snapname=name, vmstate=True),
        lambda: name in names(client, machine, deadline),
        tasks,
        f"{machine.key}: snapshot {name}",
        deadline,
    )


def roll_back(client: Client, tasks: Tasks, machine: Machine, name: str, deadline: Deadline) -> None:
    """Return to `name`; the machine runs afterwards, also where the snapshot has no memory."""
    known = settled(client, machine, deadline)
    if name not in known:
        raise HypervisorError(f"{machine.key}: no snapshot {name!r}; it has: {', '.join(known) or 'none'}")
    # Done twice, it is the same: an answer that was lost is simply asked for again.
    settle(
        lambda: client.call("POST", f"{machine.path}/snapshot/{name}/rollback", deadline, start=True),
        lambda: False,
        tasks,
        f"{machine.key}: rollback to {name}",
        deadline,
    )


def _entries(client: Client, machine: Machine, deadline: Deadline) -> dict[str, Mapping[str, Any]]:
    listed = client.get(f"{machine.path}/snapshot", deadline)
    return {str(one["name"]): one for one in listed if one["name"] != CURRENT}
