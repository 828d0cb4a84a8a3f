"""CP10-C3 and CP10-S2: a script that others can use, with other parameters and with its help."""

from __future__ import annotations

import re
from typing import Any

from graders.check import check
from graders.cp10_scripts.journal import Journals, Run, Settings, agency_settings
from graders.cp10_scripts.judging import answers, errand, judge
from graders.cp10_scripts.runner import status
from graders.errand import Errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient
from labs.bench import Bench
from labs.deadline import Deadline

PARAMETERS = ("--aide", "--config", "domaine", "dossier", "copies", "mot")
"""What help and header must name, with the journal itself."""


@check("CP10-C3.a", causes=("CP10-S1.a",), nodes=("srv",), seconds=420,
       errands=lambda bench, probe: [_elsewhere(bench, probe)])  # fmt: skip
def check_reusable(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Avec un fichier de configuration, le même script sert une autre agence, sans y toucher.

    Deux jeux de paramètres inédits, en alternance : autre domaine, autre dossier, autre nombre de copies, autre mot.
    Les valeurs sont prises telles quelles. Le dossier de l'agence n'est pas touché. Un fichier de configuration absent
    donne une erreur.
    """
    told = answers(login, _elsewhere(bench, probe), deadline)
    judge(elsewhere_runs(bench, probe), told[:-1], expect)
    lost = told[-1]
    expect.true("configuration absente : code de retour", "non nul", status(lost), lost["status"] not in {None, 0})
    expect.equal("configuration absente : fichiers touchés", 0, lost["changed"])


@check("CP10-S2.c", nodes=("srv",), seconds=420, errands=lambda bench, probe: [_help(bench, probe)])
def check_help(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script dit comment l'employer : son aide nomme tous les paramètres, un appel incorrect est refusé.

    `--aide` réussit, répond sur la sortie standard et ne touche à rien. Sans argument, ou avec une option inconnue : un
    message sur la sortie d'erreur et un code de retour non nul.
    """
    asked, without, unknown = answers(login, _help(bench, probe), deadline)
    expect.require(expect.equal("--aide : code de retour", "0", status(asked)))
    expect.all_of("--aide : paramètres nommés", "tous", missing(asked["out"]), len(PARAMETERS) + 1)
    expect.equal("--aide : fichiers touchés", 0, asked["changed"])
    for label, one in (("sans argument", without), ("option inconnue", unknown)):
        refused = one["status"] not in {None, 0} and bool(one["err"].strip())
        expect.equal(f"{label} : erreur et code de retour", "oui", "oui" if refused else "non")
        expect.equal(f"{label} : fichiers touchés", 0, one["changed"])


def missing(text: str) -> list[str]:
    """Parameters that a text does not name, the journal among them.

    >>> missing("--config FICHIER, --aide, JOURNAL : domaine, dossiers, copies, mot")
    ['dossier']
    """
    words = set(re.findall(r"[\w-]+", text.casefold()))
    absent = [name for name in PARAMETERS if name not in words]
    named = any("journa" in word and word != "ranger-journal" for word in words)
    return absent if named else [*absent, "journal"]


def other_settings(bench: Bench) -> tuple[Settings, Settings]:
    """Two sets of parameters, neither the branch's."""
    own = agency_settings(bench)
    return (
        Settings("autre-agence.exemple.test", "dossier de l'été", 1 if own.copies > 2 else 4, "à diffuser (R.H.)"),
        Settings("a.test", "second", own.copies + 1, '[x]*=$(touch injection)&\\1" #2'),
    )


def elsewhere_runs(bench: Bench, probe: ProbeClient) -> list[tuple[str, Run]]:
    """Journals for one set of parameters and for the other; those of the branch are in none of the results."""
    journals = Journals(probe.nonce("autres paramètres"))
    own, (first, second) = agency_settings(bench), other_settings(bench)
    runs = []
    for index in range(max(first.copies, second.copies) + 2):
        for number, settings in enumerate((first, second), start=1):
            lines = [*journals.plain(settings), *journals.plain(own, 2)]
            label = f"paramètres {number}, journal {index + 1}"
            if index < settings.copies + 2:
                runs.append((label, Run(f"journal {number} {index}", lines, settings, configured=True)))
    return runs


def call(*options: str, journal: str | None = None, content: str | None = None) -> dict[str, Any]:
    """A run without a configuration of ours."""
    return {"journal": journal, "content": content, "folder": False, "options": list(options), "config": None,
            "seconds": 60.0}  # fmt: skip


def _elsewhere(bench: Bench, probe: ProbeClient) -> Errand:
    runs = [one.data() for _, one in elsewhere_runs(bench, probe)]
    last = {**runs[0], "options": ["--config", "/srv/controle/absent.conf"], "config": None, "journal": "dernier"}
    return errand(agency_settings(bench), [*runs, last])


def _help(bench: Bench, probe: ProbeClient) -> Errand:
    settings = agency_settings(bench)
    content = "\n".join([*Journals(probe.nonce("option inconnue")).plain(settings), ""])
    return errand(settings, [call("--aide"), call(), call("--inconnue", journal="bon", content=content)])
