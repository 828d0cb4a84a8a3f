"""Programs of the grader that run on srv: modules of this folder, a request in, an answer in JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.errand import Errand, run_errand
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from graders.login import Login
    from labs.deadline import Deadline

NODE = "srv"
END = "fin des passages"
MARK = "FIN-DU-PROGRAMME"
SLOW_SECONDS = 0.02
"""To start a program that does nothing, beyond which the centre's machine is why a script is late."""


def program(*modules: str) -> str:
    """Modules of this folder as one program, the first one first: they import nothing of each other's any more."""
    lines = ["from __future__ import annotations"]
    for module in modules:
        source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        lines += [line for line in source.split("\n") if not line.startswith(("from __future__", "from graders."))]
    return "\n".join(lines)


def errand(module: str, request: dict[str, Any], *others: str) -> Errand:
    """The errand that runs `main` of a module of this folder on srv, as root; `others` are modules that it uses."""
    source = program("remote_launch", *others, module)
    call = f"main({json.dumps(request)!r})"
    return Errand(NODE, f"python3 -I - <<'{MARK}'\n{source}\n{call}\n{MARK}\necho\necho {END!r}\n", END)


def answer(login: Login, asked: Errand, deadline: Deadline) -> Any:
    """What the program told. Raises ProbeError when it told nothing: it failed itself."""
    told = run_errand(login, asked, deadline)
    for line in told.split("\n"):
        if line.startswith(("{", "[")):
            try:
                return json.loads(line)
            except ValueError:
                break
    raise ProbeError(f"the program gave no answer on {asked.node}: {told[-600:]!r}")


def unhurried(runs: list[dict[str, Any]]) -> None:
    """Raises ProbeError when a run was late on a machine that is slow anyway (`pace`: see remote_launch)."""
    slow = max((float(one["pace"]) for one in runs), default=0.0)
    if slow > SLOW_SECONDS:
        raise ProbeError(f"the script was not over in time, on a machine that takes {slow:.3f} s to start a program")


def status(told: dict[str, Any]) -> str:
    """The exit status of a run, or why there is none."""
    return str(told["err"] if told["status"] is None else told["status"])
