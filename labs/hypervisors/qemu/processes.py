"""Our processes, found again from what is on disk and in /proc, and ended by their own pid only.

A process is ours when its command line holds the absolute path of a folder below our state folder; a pid
file alone proves nothing, since pids are reused.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from labs.deadline import Deadline


def pid_of(pid_file: Path) -> int | None:
    """The pid of the living process that wrote `pid_file`, or None."""
    try:
        pid = int(pid_file.read_text().strip())
    except (OSError, ValueError):
        return None
    return pid if str(pid_file) in command_line(pid) and not is_zombie(pid) else None


def owned(folder: Path) -> dict[int, str]:
    """Living processes whose command line names something below `folder`: pid -> command line."""
    prefix = f"{folder}/"
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            pid = int(entry.name)
            if any(f"{argument}/".startswith(prefix) or prefix in argument for argument in _arguments(pid)):
                found[pid] = command_line(pid)
    return {pid: line for pid, line in found.items() if line and not is_zombie(pid)}


def end(pid: int, deadline: Deadline, *, force: bool) -> None:
    """Ask the process to end (SIGTERM, or SIGKILL when `force`), and make sure of it by the deadline."""
    _signal(pid, signal.SIGKILL if force else signal.SIGTERM)
    for _ in deadline.ticks(0.01):
        if gone(pid):
            return
    _signal(pid, signal.SIGKILL)
    Deadline.after(10).poll(lambda: gone(pid) or None, f"process {pid}: its end")


def gone(pid: int) -> bool:
    """Whether the process ended; reaps it when it is our child."""
    if Path(f"/proc/{pid}").exists() and not is_zombie(pid):
        return False
    with contextlib.suppress(OSError):  # not our child: its parent, or init, reaps it
        os.waitpid(pid, os.WNOHANG)
    return True


def is_zombie(pid: int) -> bool:
    """Whether all of it ended: while one thread still ends, the process holds its sockets and files."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"} and threads <= 1


def waited(pid: int) -> float:
    """Seconds that its threads were ready to run and waited for a processor (/proc/PID/task/TID/schedstat, sched-stats
    in the kernel's documentation); 0 when it is gone, or the kernel does not count.
    """  # fmt: skip
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError):
            total += int(thread.read_text().split()[1])
    return total / 1e9


def command_line(pid: int) -> str:
    return " ".join(_arguments(pid))


def _arguments(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode("utf-8", "replace").split("\0")[:-1]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
