"""Faults that a test asks the proxy for; every text was recorded from Proxmox VE 9.1.5."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What happens instead of, or besides, what was asked."""

    LATE_596 = "596, carried out afterwards"
    NEVER_596 = "596, never carried out"
    UNREACHABLE_595 = "595, the node is down"
    NO_WORKER_DONE = "no worker upid, carried out"
    NO_WORKER_LOST = "no worker upid, not carried out"
    DROPPED = "the connection breaks, carried out"
    UNAUTHORIZED = "401 with an empty body"
    LOCKED = "500, the lock file is held"
    TASK_LOCKED = "the task fails on the lock file"
    TASK_TAKEN = "the task fails because the VMID was taken in a race"
    TASK_CREATE_TAKEN = "the task of a creation fails because the VMID was taken"
    TASK_FULL = "the task fails on a full storage"
    TASK_KILLED = "the task is interrupted"
    TASK_HANGS = "the task never ends"
    TASK_LOST = "the task ends well and did nothing"


LOCK_TEXT = "can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
TASK_TEXTS = {
    Fault.TASK_LOCKED: (LOCK_TEXT, ["trying to acquire lock..."]),
    Fault.TASK_TAKEN: ("unable to create VM {newid}: config file already exists", []),
    Fault.TASK_CREATE_TAKEN: ("unable to create VM 100 - VM 100 already exists on node 'pve1'", []),
    Fault.TASK_FULL: (
        "clone failed: copy failed: command '/usr/bin/qemu-img convert -p -n a b' failed: exit code 1",
        ["qemu-img: error while writing at byte 0: No space left on device"],
    ),
    Fault.TASK_KILLED: ("clone failed: copy failed: interrupted by signal", []),
    Fault.TASK_HANGS: (None, []),
    Fault.TASK_LOST: ("OK", []),
}


@dataclass
class Rule:
    """A fault for the next `times` requests of `method` whose path matches."""

    method: str
    path: str
    fault: Fault
    times: int = 1
    seen: int = field(default=0, init=False)

    def applies(self, method: str, path: str) -> bool:
        return self.seen < self.times and method == self.method and re.search(self.path, path) is not None
