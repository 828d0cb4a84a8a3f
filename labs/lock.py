"""One command at a time changes a session."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labs.errors import EnvironmentLackError


@contextmanager
def exclusive(path: Path, verb: str) -> Iterator[int]:
    """Hold the session's lock. Raises EnvironmentLackError naming who holds it.

    Gives the lock's file descriptor: a child that inherits it holds the lock until it ends too (flock(2)), even when
    this process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentLackError(f"{path.parent.name}: {_holder(path)}; wait for it, or stop it") from None
        with contextlib.suppress(OSError):  # a full disk: `down`, which frees it, must go on; the lock is held anyway
            os.truncate(lock.fileno(), 0)
            holder = {"pid": os.getpid(), "verb": verb, "since": time.strftime("%H:%M:%S")}
            os.write(lock.fileno(), json.dumps(holder).encode())
        yield lock.fileno()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"`plateau {holder['verb']}` (pid {holder['pid']}, since {holder['since']}) is working on this session"
    except (OSError, ValueError, KeyError):
        return "another plateau is working on this session"
