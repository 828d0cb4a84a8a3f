"""One command at a time works on a session; the second is told who holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.qemu import processes
from labs.lock import exclusive

HOLDER = """
import sys, time
from pathlib import Path
from labs.lock import exclusive
with exclusive(Path(sys.argv[1]), "grade"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "agence" / "session.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(EnvironmentLackError) as refused, exclusive(path, "up"):
                pass
        finally:
            holder.kill()
    told = str(refused.value)
    assert told.startswith("agence: `plateau grade` ")
    assert f"pid {holder.pid}" in told
    assert refused.value.exit_code == 3
    with exclusive(path, "up"):  # it went with its process
        assert f'"pid": {os.getpid()}' in path.read_text()


def test_it_can_be_taken_again(tmp_path: Path) -> None:
    for verb in ("up", "down"):
        with exclusive(tmp_path / "session.lock", verb):
            pass


PARENT = """
import subprocess, sys
from pathlib import Path
from labs.lock import exclusive
with exclusive(Path(sys.argv[1]), "grade") as lock:
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=(lock,))
    print(child.pid, flush=True)
    child.wait()
"""


def test_child_that_inherits_it_holds_it_after_its_parent_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "session.lock"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    try:
        with pytest.raises(EnvironmentLackError), exclusive(path, "up"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    Deadline.after(10).poll(lambda: processes.gone(child) or None, "the end of the child", interval=0.02)
    with exclusive(path, "up"):
        pass
