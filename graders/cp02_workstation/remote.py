"""Programs of the grader that run on the workstation: a module's source, a request in, an answer in JSON out."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.errand import Errand, run_errand
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from graders.login import Login
    from labs.deadline import Deadline

END = "fin-du-passage"
MARK = "FIN-DU-PROGRAMME"
OURS = re.compile(r"^from graders\.cp02_workstation\.(\w+) import (?:\([^)]*\)|.*)\n", re.MULTILINE)
"""A line that takes names from a module of this folder, which ws does not have: its source goes in the place."""


def errand(module: str, request: dict[str, Any]) -> Errand:
    """The errand that runs `main` of a module of this folder on ws."""
    program = f"python3 -I - <<'{MARK}'\n{source(module)}\nmain({json.dumps(request)!r})\n{MARK}\necho\necho {END}\n"
    return Errand("ws", program, END)


def source(module: str, sent: set[str] | None = None) -> str:
    """A module of this folder; those that it takes names from are in the place of the first line that does, once."""
    sent = set() if sent is None else sent
    text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")

    def replaced(line: re.Match[str]) -> str:
        known = line[1] in sent
        sent.add(line[1])
        return "" if known else source(line[1], sent)

    return OURS.sub(replaced, text)


def ask(login: Login, module: str, request: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """Run a module on ws and read its answer; another check that asks for the same in this phase gets the same answer.

    Raises ProbeError when there is none: the program itself failed.
    """
    asked = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12]
    notebook, action = login.notebook, f"{module} {asked}"
    if notebook.snapshot.replaying:
        return dict(notebook.recall("grader", action))
    if action not in login.answers:
        told = run_errand(login, errand(module, request), deadline)
        lines = [line for line in told.split("\n") if line.startswith("{")]
        try:
            login.answers[action] = json.loads(lines[0])
        except (IndexError, ValueError):
            raise ProbeError(f"{module} gave no answer on ws: {told[-600:]!r}") from None
    answer = login.answers[action]
    notebook.keep("grader", action, answer)
    notebook.add("grader", f"réponse de {module}, passé sur ws", json.dumps(answer, ensure_ascii=False), 0.0)
    return dict(answer)
