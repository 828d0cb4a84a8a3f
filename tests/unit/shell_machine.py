"""A candidate's machine that is this one, for what checks run on a machine."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Shell:
    """A machine that is this one: what a check asks is run by a shell here, its scratch folders under `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.started: dict[str, str] = {}
        self.notebook = SimpleNamespace(snapshot=SimpleNamespace(replaying=False), current=SimpleNamespace(deadline=0))

    def __call__(self, node: str) -> Shell:
        return self

    def run(self, command: str, *args: str) -> Any:
        text = (command % tuple(map(shlex.quote, args)) if args else command).replace("/run/", f"{self.place}/")
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
        return SimpleNamespace(rc=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def check_output(self, command: str, *args: str) -> str:
        return str(self.run(command, *args).stdout).rstrip("\n")
