"""Programs of this folder, run on srv, and how their answers are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders import programs

if TYPE_CHECKING:
    from graders.errand import Errand

NODE = "srv"


def errand(module: str, request: dict[str, Any]) -> Errand:
    """The errand that runs `main` of a module of this folder on srv, as root."""
    return programs.errand(NODE, Path(__file__).with_name(f"{module}.py"), request)


def status(told: dict[str, Any]) -> str:
    """The exit status of a run, or why there is none."""
    return str(told["err"] if told["status"] is None else told["status"])
