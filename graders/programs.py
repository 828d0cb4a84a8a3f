"""Programs of the grader that run on a candidate's machine: a module's source, a request in, an answer in JSON out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.engine.snapshot import MissingError
from graders.errand import Errand, run_errand
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graders.login import Login
    from labs.deadline import Deadline

END = "fin-du-passage"
MARK = "FIN-DU-PROGRAMME"
FUTURE = "from __future__ import annotations\n"
# One that is stopped unwinds, once: it puts back what it changed.
ENDS = """import signal, sys
def end(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
"""
OURS = re.compile(r"^from graders\.(cp\w+\.)?(\w+) import (?:\([^)]*\)|.*)\n", re.MULTILINE)
"""A line that takes names from a module of the same folder or of this one, which the machine does not have: its source
goes there."""
SLOW_SECONDS = 0.02
"""To start a program that does nothing, beyond which the centre's machine is why a candidate's program is late."""


def errand(node: str, module: Path, request: dict[str, Any]) -> Errand:
    """The errand that runs `main` of a module (its file) on a machine."""
    lines = f"{FUTURE}{ENDS}{source(module)}\nmain({json.dumps(request)!r})\n{MARK}\n"
    program = f"python3 -I - <<'{MARK}'\n{lines}echo\necho {END}\n"
    return Errand(node, program, END)


def source(module: Path, sent: set[str] | None = None) -> str:
    """A module; those of ours that it takes names from are in the place of the first line that does, once.

    What must be the first line of a program (`from __future__`) is left out.
    """
    sent = set() if sent is None else sent
    text = module.read_text(encoding="utf-8").replace(FUTURE, "")

    def replaced(line: re.Match[str]) -> str:
        known = line[2] in sent
        sent.add(line[2])
        folder = module.parent if line[1] else Path(__file__).parent
        return "" if known else source(folder / f"{line[2]}.py", sent)

    return OURS.sub(replaced, text)


def answer(login: Login, asked: Errand, deadline: Deadline) -> Any:
    """What the program told. Raises ProbeError when it told nothing: it failed itself."""
    told = run_errand(login, asked, deadline)
    for line in told.split("\n"):
        if line.startswith(("{", "[")):
            with contextlib.suppress(ValueError):
                return json.loads(line)
    raise ProbeError(f"a program gave no answer on {asked.node}: {told[-600:]!r}")


def unhurried(runs: Sequence[Mapping[str, Any]]) -> None:
    """Raises ProbeError when a run was late on a machine that is slow anyway (`pace`: see remote_launch)."""
    slow = max((float(one.get("pace", 0.0)) for one in runs), default=0.0)
    if slow > SLOW_SECONDS:
        raise ProbeError(f"the script was not over in time, on a machine that takes {slow:.3f} s to start a program")


def ask(login: Login, node: str, module: Path, request: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """Run a module on a machine and read its answer; another check that asks for the same in this phase gets the same.

    Raises ProbeError when there is none: the program itself failed.
    """
    asked = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12]
    notebook, action = login.notebook, f"{module.stem} {asked}"
    if notebook.snapshot.replaying:
        try:
            return dict(notebook.recall("grader", action))
        except MissingError as problem:  # it told nothing then either
            raise ProbeError(str(problem)) from None
    if action not in login.answers:
        login.answers[action] = answer(login, errand(node, module, request), deadline)
    told = login.answers[action]
    notebook.keep("grader", action, told)
    notebook.add("grader", f"réponse de {module.stem}, passé sur {node}", json.dumps(told, ensure_ascii=False), 0.0)
    return dict(told)
