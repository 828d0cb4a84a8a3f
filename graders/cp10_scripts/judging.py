"""Runs of `ranger-journal` on a candidate's machine, and what is expected of each."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from graders import programs
from graders.cp10_scripts import runner
from graders.cp10_scripts.journal import SCRIPT, UPSTREAM_PLACES, Expected, Files, Run, Settings
from graders.cp10_scripts.runner import status
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from graders.errand import Errand
    from graders.expect import Expect
    from graders.login import Login
    from labs.deadline import Deadline

Told = dict[str, Any]


def errand(settings: Settings, runs: list[dict[str, Any]]) -> Errand:
    """Runs of the candidate's script; the branch's own folder is out of the way meanwhile."""
    request = {"script": SCRIPT, "folder": settings.folder, "watched": list(UPSTREAM_PLACES), "runs": runs}
    return runner.errand("remote_journal", request)


def answers(login: Login, asked: Errand, deadline: Deadline) -> list[Told]:
    """What each run gave.

    Raises ProbeError when the runs told nothing, when the branch's folder was not put back, or when a run was late on a
    machine that is slow anyway.
    """
    told = programs.answer(login, asked, deadline)
    if told["left"]:
        raise ProbeError(f"not put back on {asked.node}: {', '.join(told['left'])}")
    runs: list[Told] = told["runs"]
    programs.unhurried(runs)
    return runs


def judge(runs: list[tuple[str, Run]], told: list[Told], expect: Expect) -> None:
    """Each run, with its label (French), left what it must, where it must, and ended as it must."""
    expected = Expected()
    for (label, run), one in zip(runs, told, strict=True):
        if run.good:
            expect.require(expect.equal(f"{label} : code de retour", "0", status(one)))
        else:
            expect.true(f"{label} : code de retour", "non nul", status(one), one["status"] not in {None, 0})
            words = "un message" if one["err"].strip() else "rien"
            expect.equal(f"{label} : sortie d'erreur", "un message", words)
        wrong = differences(expected.after(run), one["files"])
        expect.true(f"{label} : dossier", "comme demandé", " ; ".join(wrong[:4]) or "comme demandé", not wrong)
        expect.none(f"{label} : fichiers touchés ailleurs", one["strays"])


def differences(wanted: Files, found: dict[str, dict[str, str]]) -> list[str]:
    """What is missing, too much or otherwise in a folder, as a candidate reads it."""
    wrong = [f"{name} en trop" for name in found if name not in wanted]
    for name, text in wanted.items():
        if name not in found:
            wrong.append(f"{name} absent")
        elif found[name]["sum"] != hashlib.sha256(text.encode()).hexdigest():
            wrong.append(f"{name}, {first_difference(text, found[name]['text'])}")
    return sorted(wrong)


def first_difference(wanted: str, found: str) -> str:
    """The first line that differs.

    >>> first_difference("a\\nb\\n", "a\\nc\\n")
    'ligne 2 : attendu « b », lu « c »'
    """
    left, right = wanted.split("\n"), found.split("\n")
    for index, line in enumerate(left):
        other = right[index] if index < len(right) else ""
        if line != other:
            return f"ligne {index + 1} : attendu « {line} », lu « {other} »"
    return f"ligne {len(left)} : {len(right) - len(left)} de trop"
