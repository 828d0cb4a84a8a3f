"""A candidate's machine made of this one: namespaces of its own, in which whatever is written goes to a layer that disappears."""

from __future__ import annotations

import os
import shlex
import subprocess
from types import SimpleNamespace
from typing import Any

LAYERS = ("etc", "home", "root", "srv", "usr", "var")
PREPARE = "\n".join([
    "set -e",
    "mount -t tmpfs layers /mnt",
    *(f"mkdir -p /mnt/{name}/new /mnt/{name}/work\n"
      f"mount -t overlay over -o lowerdir=/{name},upperdir=/mnt/{name}/new,workdir=/mnt/{name}/work /{name}"
      for name in LAYERS),
    "mount -t tmpfs memory /tmp",
    "mount -t tmpfs memory /run",
    "echo ready",
    "exec cat",
])  # fmt: skip


class LayeredMachine:
    """What checks take for a Login. `put` and `run` write there only."""

    def __init__(self) -> None:
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
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        done = subprocess.run([*self._enter, *clean, "/bin/sh", "-c", text], input=stdin, capture_output=True, text=True,
                              check=False)  # fmt: skip
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
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)
