"""A candidate's machine made of this one: whatever is written there goes to a layer that disappears with it."""

from __future__ import annotations

import os
import shlex
import subprocess
from types import SimpleNamespace
from typing import Any

from graders.login import CLEAN

LAYERS, EMPTY = ("etc", "srv", "usr", "var"), ("home", "root", "run", "tmp")
PREPARE = "\n".join([
    "set -e",
    "mount -t tmpfs layers /mnt",
    *(f"mkdir -p /mnt/{name}/new /mnt/{name}/work\n"
      f"mount -t overlay over -o lowerdir=/{name},upperdir=/mnt/{name}/new,workdir=/mnt/{name}/work /{name}"
      for name in LAYERS),
    *(f"mount -t tmpfs memory /{name}" for name in EMPTY),
    "echo ready",
    "exec cat",
])  # fmt: skip


class LayeredMachine:
    """What checks take for a Login. `put` and `run` write there only."""

    def __init__(self) -> None:
        self.started: dict[str, str] = {}
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", PREPARE]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._enter = ["nsenter", "-t", str(self._process.pid), "-m", *([] if os.geteuid() == 0 else ["-U"]), "--"]

    def __call__(self, node: str) -> LayeredMachine:
        return self

    def run(self, command: str, *args: str, stdin: str = "") -> Any:
        text = command % tuple(map(shlex.quote, args)) if args else command
        whole = [*self._enter, *CLEAN, text]
        done = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)
        return SimpleNamespace(rc=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def check_output(self, command: str, *args: str) -> str:
        done = self.run(command, *args)
        assert done.rc == 0, done.stderr
        return str(done.stdout).rstrip("\n")

    def put(self, path: str, content: str, mode: int = 0o644) -> None:
        """A file, with its folders."""
        place = shlex.quote(path)
        command = f"mkdir -p $(dirname {place}) && cat >{place} && chmod {mode:o} {place}"
        done = self.run(command, stdin=content)
        assert done.rc == 0, done.stderr

    def close(self) -> None:
        """End it: the layers go with it."""
        self._process.communicate(timeout=10)
