"""What this machine has, for preflight: memory, disk and cores (proc(5), statvfs(3))."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labs.hypervisors.base import HostCapacity
from labs.paths import state_dir


def of_this_machine(accelerator: str, free_ports: int) -> HostCapacity:
    """Free memory is MemAvailable; free disk is that of the state folder's file system."""
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) // 1024
    folder = state_dir()
    while not folder.exists():
        folder = folder.parent
    return HostCapacity(
        host="localhost",
        cores=len(os.sched_getaffinity(0)),
        memory_total_mb=memory["MemTotal"],
        memory_free_mb=memory["MemAvailable"],
        disk_free_mb=shutil.disk_usage(folder).free >> 20,
        free_ports=free_ports,
        accelerator=accelerator,
    )
