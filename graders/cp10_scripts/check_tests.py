"""CP10-C2: the candidate's own tests, judged by programs that are right and by programs that are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from graders import programs
from graders.check import check
from graders.cp10_scripts import runner
from graders.cp10_scripts.implementations import BUGS, PYTHON, SHELL, filled
from graders.cp10_scripts.journal import SCRIPT, TESTS, agency_settings
from graders.cp10_scripts.runner import status
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from labs.bench import Bench
from labs.deadline import Deadline

TRIAL_SECONDS = 180.0
"""Three times what the subject gives; a check's own time is enough for each program to take as long."""
BASES = {"shell": SHELL, "python": PYTHON}
OWN = {
    "script": ("le script livré", f'#!/bin/sh\nexec {SCRIPT} "$@"\n'),
    "content": ("le script livré, en erreur jamais", f'#!/bin/sh\n{SCRIPT} "$@"\nexit 0\n'),
    "rien": ("un programme qui ne fait rien", "#!/bin/sh\nexit 0\n"),
}
"""Label and source of what is given with the script; its own name would tell the tests what to say."""
ENDED = "présent et mené à son terme"
Program = tuple[str, str, str, str, str]
"""Label (French), name, base, and the mistake: what becomes of what."""


# Neither is started early: the short errands of the other checks would wait for them.
@check("CP10-C2.a", nodes=("srv",), seconds=2800)
def check_teeth(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le programme d'essais accepte ce qui est juste, refuse ce qui ne l'est pas, et ne laisse rien derrière lui.

    Il reçoit des programmes inconnus, les uns justes, les autres fautifs d'une seule erreur.
    """
    settings, given = agency_settings(bench), implementations(bench, probe)
    bases = {name: filled(source, settings) for name, source in BASES.items()}
    named = trials(login, expect, deadline, settings.folder, bases, given)
    right = [(label, one) for label, one in named if not label.startswith("un programme qui")]
    wrong = [(label, one) for label, one in named if label.startswith("un programme qui")]
    refused = [f"{label} (code {one['status']})" for label, one in right if one["status"] != 0]
    expect.all_of("programmes justes acceptés", "tous", refused, len(right))
    taken = [label for label, one in wrong if one["status"] == 0]
    expect.all_of("programmes fautifs refusés", "tous", taken, len(wrong))
    expect.none("fichiers laissés par les essais", left_by(named))


@check("CP10-C2.b", causes=("CP10-C2.a", "CP10-S1.a", "CP10-C1.a", "CP10-C3.a", "CP10-S2.c"), nodes=("srv",),
       seconds=800)  # fmt: skip
def check_own(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script livré passe les essais livrés, qui ne passent pas sans lui.

    Les essais reçoivent, sous des noms inconnus, un programme qui lance le script, un autre qui le lance et se dit
    toujours content, et un qui ne fait rien : ils n'acceptent que le premier.
    """
    word = probe.nonce("programmes")
    given: list[Program] = [(label, f"p{_word(word, base)}", base, "", "") for base, (label, _) in OWN.items()]
    bases = {base: source for base, (_, source) in OWN.items()}
    named = trials(login, expect, deadline, agency_settings(bench).folder, bases, given)
    for base, (label, one) in zip(OWN, named, strict=True):
        wanted = "accepté" if base == "script" else "refusé"
        expect.equal(label, wanted, "accepté" if one["status"] == 0 else "refusé")
    expect.none("fichiers laissés par les essais", left_by(named))


def trials(
    login: Login, expect: Expect, deadline: Deadline, folder: str, bases: dict[str, str], given: Sequence[Program]
) -> list[tuple[str, dict[str, Any]]]:
    """What the candidate's tests said of each program, with labels; they must come to their end with all of them.

    Raises ProbeError when the machine was not put back, or is too slow to judge by.
    """
    request = {"tests": TESTS, "folder": folder, "bases": bases, "programs": [one[1:] for one in given],
               "seconds": TRIAL_SECONDS}  # fmt: skip
    told = programs.answer(login, runner.errand("remote_tests", request), deadline)
    if told["left"]:
        raise ProbeError(f"not put back on srv: {', '.join(told['left'])}")
    runs: list[dict[str, Any]] = told["runs"]
    programs.unhurried(runs)
    named = list(zip((label for label, *_ in given), runs, strict=False))
    expect.require(expect.equal("programme d'essais", ENDED, ended(named)))
    return named


def ended(named: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Whether every trial came to its end; which one did not, and why."""
    late = next(((label, one) for label, one in named if one["status"] is None), None)
    return ENDED if late is None else f"{status(late[1])} ({late[0]})"


def left_by(named: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """The files that trials left behind."""
    return sorted({path for _, one in named for path in one["left"]})


def implementations(bench: Bench, probe: ProbeClient) -> list[Program]:
    """The programs, right and wrong, in an order that nobody knows."""
    word = probe.nonce("programmes")
    kinds = [("un programme juste, en shell", "shell", "", ""), ("un programme juste, en Python", "python", "", "")]
    kinds += [(f"un programme qui {bug.label}", "shell" if bug.base is SHELL else "python", bug.old, bug.new)
              for bug in BUGS]  # fmt: skip
    named = [(label, f"p{_word(word, label)}", base, old, new) for label, base, old, new in kinds]
    return sorted(named, key=lambda one: one[1])


def _word(word: str, purpose: str) -> str:
    return hashlib.sha256(f"{word} {purpose}".encode()).hexdigest()[:12]
