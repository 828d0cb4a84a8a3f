"""Our processes, and only ours, are found again from disk and /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.deadline import Deadline
from labs.hypervisors.qemu import processes

SLEEPER = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def spawn() -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, code: str = SLEEPER) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        # The kernel lets the parent go on shortly before the new command line can be read.
        Deadline.after(10).poll(lambda: code in processes.command_line(process.pid) or None, "its command line")
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_only_processes_that_name_our_folder_are_ours(spawn, tmp_path: Path) -> None:
    ours = spawn("-pidfile", f"{tmp_path}/one/qemu.pid")
    drive = spawn("-drive", f"file={tmp_path}/one/disk.qcow2,if=none")
    spawn("-pidfile", f"{tmp_path}-other/qemu.pid")
    spawn("-name", "qemu-system-x86_64 plateau")
    found = processes.owned(tmp_path)
    assert set(found) == {ours.pid, drive.pid}
    assert processes.owned(tmp_path / "one").keys() == found.keys()
    assert processes.owned(tmp_path / "on") == {}


def test_pid_file_alone_proves_nothing(spawn, tmp_path: Path) -> None:
    pid_file = tmp_path / "qemu.pid"
    ours = spawn("-pidfile", str(pid_file))
    pid_file.write_text(f"{ours.pid}\n")
    assert processes.pid_of(pid_file) == ours.pid
    stranger = spawn("-pidfile", "/somewhere/else/qemu.pid")
    pid_file.write_text(f"{stranger.pid}\n")
    assert processes.pid_of(pid_file) is None
    for content in ("", "no number", "0", "4194304999"):
        pid_file.write_text(content)
        assert processes.pid_of(pid_file) is None
    assert processes.pid_of(tmp_path / "nothing.pid") is None


def test_dead_and_zombie_processes_are_gone(spawn, tmp_path: Path) -> None:
    pid_file = tmp_path / "qemu.pid"
    ours = spawn("-pidfile", str(pid_file))
    pid_file.write_text(str(ours.pid))
    ours.kill()
    os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody reaped it
    assert processes.pid_of(pid_file) is None
    assert processes.owned(tmp_path) == {}
    assert processes.gone(ours.pid)


def test_process_of_which_a_thread_lives_is_not_gone() -> None:
    """Its first thread ended and looks like a zombie, but its sockets and files are still open."""
    code = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start();"
        "print('ready', flush=True); ctypes.CDLL(None).syscall(60, 0)"  # exit(2) of this thread alone, x86-64
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stat = Path(f"/proc/{process.pid}/stat")
        Deadline.after(10).poll(lambda: ") Z " in stat.read_text() or None, "the end of its first thread")
        assert not processes.gone(process.pid)
    finally:
        process.kill()
        process.communicate()
    assert processes.gone(process.pid)


def test_end_is_polite_first_and_sure_in_the_end(spawn, tmp_path: Path) -> None:
    polite = spawn(str(tmp_path))
    processes.end(polite.pid, Deadline.after(5), force=False)
    assert processes.gone(polite.pid)
    stubborn = spawn(str(tmp_path), code=STUBBORN)
    assert stubborn.stdout.readline() == "ready\n"
    processes.end(stubborn.pid, Deadline.after(0.3), force=False)
    assert processes.gone(stubborn.pid)
    processes.end(stubborn.pid, Deadline.after(1), force=True)  # again: nothing happens


def test_this_process_is_never_listed() -> None:
    assert os.getpid() not in processes.owned(Path("/"))


def test_waiting_for_a_processor_is_counted(spawn) -> None:
    busy = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"
    pids = [spawn(code=busy).pid for _ in range(2)]  # two that want the same processor

    def waited() -> float | None:
        seconds = min(map(processes.waited, pids))
        return seconds if seconds > 0.1 else None

    assert Deadline.after(60).poll(waited, "their waiting") < 60
    assert processes.waited(2**22 + 1) == 0.0
