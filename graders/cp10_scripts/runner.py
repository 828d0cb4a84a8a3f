"""Programs of this folder, run on srv, and how their answers are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders import programs
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from graders.errand import Errand

NODE = "srv"
SLOW_SECONDS = 0.02
"""To start a program that does nothing, beyond which the centre's machine is why a script is late."""


def errand(module: str, request: dict[str, Any]) -> Errand:
    """The errand that runs `main` of a module of this folder on srv, as root."""
    return programs.errand(NODE, Path(__file__).with_name(f"{module}.py"), request)


def unhurried(runs: list[dict[str, Any]]) -> None:
    """Raises ProbeError when a run was late on a machine that is slow anyway (`pace`: see remote_launch)."""
    slow = max((float(one["pace"]) for one in runs), default=0.0)
    if slow > SLOW_SECONDS:
        raise ProbeError(f"the script was not over in time, on a machine that takes {slow:.3f} s to start a program")


def status(told: dict[str, Any]) -> str:
    """The exit status of a run, or why there is none."""
    return str(told["err"] if told["status"] is None else told["status"])
