"""CP10-C2: the candidate's own tests, judged by programs that are right and by programs that are not."""

from __future__ import annotations

import hashlib
from typing import Any

from graders import programs
from graders.check import check
from graders.cp10_scripts import runner
from graders.cp10_scripts.implementations import BUGS, PYTHON, SHELL, filled
from graders.cp10_scripts.journal import SCRIPT, TESTS, agency_settings
from graders.cp10_scripts.runner import status
from graders.errand import Errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from labs.bench import Bench
from labs.deadline import Deadline

TRIAL_SECONDS = 180.0
"""Three times what the subject gives."""
BASES = {"shell": SHELL, "python": PYTHON}


# Not started early: the short errands of the other checks would wait for it.
@check("CP10-C2.a", causes=("CP10-S1.a", "CP10-C3.a"), nodes=("srv",), seconds=1200)
def check_teeth(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le programme d'essais accepte ce qui est juste, refuse ce qui ne l'est pas, et ne laisse rien derrière lui.

    Il reçoit des programmes inconnus, les uns justes, les autres fautifs d'une seule erreur, puis le script du
    candidat, qu'il doit accepter.
    """
    told = programs.answer(login, _trials(bench, probe), deadline)
    if told["left"]:
        raise ProbeError(f"not put back on srv: {', '.join(told['left'])}")
    runs: list[dict[str, Any]] = told["runs"]
    runner.unhurried(runs)
    labels = [label for label, *_ in implementations(bench, probe)]
    expect.require(expect.true("programme d'essais", "présent et mené à son terme", ended(runs, labels),
                               all(one["status"] is not None for one in runs)))  # fmt: skip
    named = list(zip([*labels, SCRIPT], runs, strict=True))
    right = [(label, one) for label, one in named if not label.startswith("un programme qui")]
    wrong = [(label, one) for label, one in named if label.startswith("un programme qui")]
    refused = [f"{label} (code {one['status']})" for label, one in right if one["status"] != 0]
    expect.all_of("programmes justes acceptés", "tous", refused, len(right))
    taken = [label for label, one in wrong if one["status"] == 0]
    expect.all_of("programmes fautifs refusés", "tous", taken, len(wrong))
    expect.none("fichiers laissés par les essais", sorted({path for one in runs for path in one["left"]}))


def ended(runs: list[dict[str, Any]], labels: list[str]) -> str:
    """Whether every trial came to its end; which one did not, and why."""
    late = next(((index, one) for index, one in enumerate(runs) if one["status"] is None), None)
    if late is None:
        return "présent et mené à son terme"
    return f"{status(late[1])} ({[*labels, SCRIPT][late[0]]})"


def implementations(bench: Bench, probe: ProbeClient) -> list[tuple[str, str, str, str, str]]:
    """Label (French), name, base, and the mistake: what becomes of what. In an order that nobody knows."""
    word = probe.nonce("programmes")
    kinds = [("un programme juste, en shell", "shell", "", ""), ("un programme juste, en Python", "python", "", "")]
    kinds += [(f"un programme qui {bug.label}", "shell" if bug.base is SHELL else "python", bug.old, bug.new)
              for bug in BUGS]  # fmt: skip
    named = [(label, f"p{_word(word, label)}", base, old, new) for label, base, old, new in kinds]
    return sorted(named, key=lambda one: one[1])


def _word(word: str, purpose: str) -> str:
    return hashlib.sha256(f"{word} {purpose}".encode()).hexdigest()[:12]


def _trials(bench: Bench, probe: ProbeClient) -> Errand:
    settings = agency_settings(bench)
    request = {
        "tests": TESTS,
        "own": SCRIPT,
        "folder": settings.folder,
        "bases": {name: filled(source, settings) for name, source in BASES.items()},
        "programs": [one[1:] for one in implementations(bench, probe)],
        "seconds": TRIAL_SECONDS,
    }
    return runner.errand("remote_tests", request)
