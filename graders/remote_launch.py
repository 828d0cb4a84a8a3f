"""Sent to a candidate's machine: run a program as a scheduler would, and tell how fast the machine is.

A program gets what a terminal and a scheduler give one, their umask included (ours is stricter, and would close what it
leaves open); when it is stopped, so are its children.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import resource
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any

HOME = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}  # fmt: skip
WHY = {errno.ENOENT: "script ou interprète absent", errno.EACCES: "script non exécutable"}
SHELL = "/bin/sh"
PACE_STARTS = 20
PERSON: dict[str, Any] = {"user": 61789, "group": 61789, "extra_groups": []}
"""An account that the machine does not have, for subprocess.run: it has everybody's rights only."""
LARGEST_FILE, LARGEST_OUTPUT = 256 << 20, 1 << 20
"""Bytes of a file that a program may write unless more is said, and of its output that is looked at."""


def attempt(
    command: list[str],
    seconds: float,
    cwd: str | None = None,
    account: str | None = None,
    home: str = "",
    locale: str = "",
    largest: int = LARGEST_FILE,
) -> tuple[int | None, str, str, bool]:
    """Status (None: there is none, the error output says why), output, error output, whether it was too late.

    It is run by root, or by the account named, with the personal folder `home`; in the language `locale`, or in none.
    What it leaves at work is not waited for: its output goes to files, not to pipes that what it started keeps open.
    A script without `#!` is given to the shell, as execvp(3), cron and sudo do. No file may exceed `largest` bytes.
    """
    environment = {name: value for name, value in os.environ.items() if not (locale and name.startswith("LC_"))}
    own = {"HOME": home, "USER": account, "LOGNAME": account} if account else {}
    language = {"LANG": locale} if locale else {}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                     env={**environment, **HOME, **own, **language}, start_new_session=True, cwd=cwd,
                                     preexec_fn=lambda: _limit(largest), user=account,  # noqa: PLW1509  # no threads
                                     group=pwd.getpwnam(account).pw_gid if account else None,
                                     extra_groups=_groups(account) if account else None, umask=0o022)  # fmt: skip
        except OSError as problem:
            if problem.errno == errno.ENOEXEC and command[0] != SHELL:
                return attempt([SHELL, *command], seconds, cwd, account, home, locale, largest)
            return None, "", WHY.get(problem.errno or 0, os.strerror(problem.errno or 0)), False
        try:
            status = child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            _stop(child)
            return None, "", f"pas terminé en {seconds:.0f} s", True
        except SystemExit:  # the grader stops us (SIGTERM)
            _stop(child)
            raise
        return status, _told(out), _told(err), False


def _groups(account: str) -> list[int]:
    """All groups of an account, as a scheduler gives them (initgroups(3))."""
    return os.getgrouplist(account, pwd.getpwnam(account).pw_gid)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Kill a program, and what it started: also what left its group, as the shell of `su -c` does."""
    family = _family(child.pid)
    os.killpg(child.pid, signal.SIGKILL)
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait()


def _family(pid: int) -> list[int]:
    """Processes below one, theirs included (proc_pid_stat(5): the parent follows the state)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            told = path.read_text(encoding="utf-8", errors="replace")
            children.setdefault(int(told.rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = children.get(pid, [])[:]
    for one in found:
        found += children.get(one, [])
    return found


def _limit(largest: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def _told(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(LARGEST_OUTPUT).decode("utf-8", "replace")


def pace() -> float:
    """Seconds that the machine takes to start a program that does nothing."""
    began = time.monotonic()
    for _ in range(PACE_STARTS):
        subprocess.run(["/bin/true"], check=False)
    return (time.monotonic() - began) / PACE_STARTS
