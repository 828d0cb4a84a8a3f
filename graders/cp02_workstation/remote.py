"""The programs of this folder, run on the workstation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders import programs

if TYPE_CHECKING:
    from graders.errand import Errand
    from graders.login import Login
    from labs.deadline import Deadline

NODE = "ws"


def errand(module: str, request: dict[str, Any]) -> Errand:
    """The errand that runs `main` of a module of this folder on ws."""
    return programs.errand(NODE, _file(module), request)


def ask(login: Login, module: str, request: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """Run a module on ws and read its answer, as `programs.ask` does."""
    return programs.ask(login, NODE, _file(module), request, deadline)


def _file(module: str) -> Path:
    return Path(__file__).with_name(f"{module}.py")
