"""Sent to a candidate's machine: run a program as a scheduler would, and tell how fast the machine is.

A program gets what a terminal and a scheduler give one; when it is stopped, so are its children.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
import subprocess
import time

HOME = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}  # fmt: skip
WHY = {errno.ENOENT: "script ou interprète absent", errno.EACCES: "script non exécutable",
       errno.ENOEXEC: "script sans première ligne #!"}  # fmt: skip
PACE_STARTS = 20


def attempt(
    command: list[str], seconds: float, cwd: str | None = None, account: str | None = None, home: str = ""
) -> tuple[int | None, str, str, bool]:
    """Status (None: there is none, the error output says why), output, error output, whether it was too late.

    It is run by root, or by the account named, with the personal folder `home`.
    """
    own = {"HOME": home, "USER": account, "LOGNAME": account} if account else {}
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, errors="replace", env={**os.environ, **HOME, **own},
                                 start_new_session=True, cwd=cwd, user=account,
                                 group=pwd.getpwnam(account).pw_gid if account else None,
                                 extra_groups=[] if account else None)  # fmt: skip
    except OSError as problem:
        return None, "", WHY.get(problem.errno or 0, os.strerror(problem.errno or 0)), False
    try:
        out, err = child.communicate(timeout=seconds)
        return child.returncode, out, err, False
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return None, "", f"pas terminé en {seconds:.0f} s", True


def pace() -> float:
    """Seconds that the machine takes to start a program that does nothing."""
    began = time.monotonic()
    for _ in range(PACE_STARTS):
        subprocess.run(["/bin/true"], check=False)
    return (time.monotonic() - began) / PACE_STARTS
