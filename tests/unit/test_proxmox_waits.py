"""What the driver waits for, and for how long, on clients that tell what a test wants."""

from __future__ import annotations

from typing import Any, cast

import pytest

from labs.deadline import Deadline
from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox import starts
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import Kind
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.power import Power
from labs.hypervisors.proxmox.starts import Starts
from labs.hypervisors.proxmox.tasks import TaskFailedError, Tasks
from labs.models.proxmox import Caps

KEY = NodeKey("waits-0000", "camille", "ws")
MACHINE = Machine(KEY, 20000, "pve1", complete=True)


def soon() -> Deadline:
    return Deadline.after(20)


class Locked:
    """A machine that a backup holds: each start's task is refused at once."""

    def __init__(self, times: int) -> None:
        self.left = times

    def call(self, *_arguments: Any, **_options: Any) -> str:
        return "UPID:pve1:0:0:0:qmstart:20000:plateau@pve:"

    def running(self, _machine: Machine, _deadline: Deadline) -> bool:
        return False

    def wait(self, _upid: str, what: str, _deadline: Deadline) -> None:
        if self.left:
            self.left -= 1
            raise TaskFailedError(f"{what}: VM is locked (backup)", Kind.BUSY)


def test_start_is_repeated_at_leisure_while_a_backup_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(starts.time, "sleep", pauses.append)
    locked: Any = Locked(2000)
    begun = Starts(Caps(), cast(Client, locked), cast(Machines, locked), cast(Tasks, locked), Power())
    begun._running[KEY] = (MACHINE, "UPID")
    begun.finish(KEY, Deadline.after(3600))
    assert len(pauses) == 2000
    assert pauses[-1] == 5.0
