"""CP10-D1: logon scripts, judged by sessions that people nobody knows really open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graders import programs
from graders.check import check
from graders.cp10_scripts import runner
from graders.errand import Errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

SHARES = "/srv/partages"
BASH, DASH = "/bin/bash", "/bin/sh"
SESSIONS_SECONDS = 900.0
"""The errands of the other checks may come first."""
NOTHING = "rien"


@dataclass(frozen=True)
class Person:
    """An account for the time of a check. `team`: whose effects it must get, None for nobody's."""

    name: str
    label: str
    shell: str
    team: str | None = None
    primary: bool = False
    """Whether the team is the account's main group; otherwise it is one more."""
    others: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """As remote_sessions takes it."""
        groups = [*self.others, *([self.team] if self.team and not self.primary else [])]
        return {"name": self.name, "shell": self.shell, "primary": self.team if self.primary else None,
                "groups": groups}  # fmt: skip


@check("CP10-D1.a", nodes=("srv",), seconds=SESSIONS_SECONDS,
       errands=lambda bench, probe: [_sessions(bench, probe, "avant")])  # fmt: skip
def check_logon(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """À l'ouverture de leur session, les personnes de chaque groupe reçoivent leur variable et leur lien.

    Des comptes inédits, ordinaires, sous bash et sous dash, ouvrent chacun deux sessions (`su -l`) : la seconde ne
    change plus rien. Qui n'est d'aucun des deux groupes ne reçoit rien, root non plus. Les comptes sont ensuite
    retirés.
    """
    judge(bench, probe, login, expect, deadline, "avant")


@check("CP10-D1.b", needs=("CP10-D1.a",), nodes=("srv",), phase="reboot", seconds=SESSIONS_SECONDS)
def check_logon_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline
) -> None:
    """Après un redémarrage, les ouvertures de session ont encore les mêmes effets, pour d'autres comptes inédits."""
    judge(bench, probe, login, expect, deadline, "après")


def judge(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline, moment: str) -> None:
    """Each person's sessions. Raises ProbeError when the accounts could not be made, or did not leave again."""
    told = programs.answer(login, _sessions(bench, probe, moment), deadline)
    if told["problem"] or told["left"]:
        raise ProbeError(f"accounts on srv: {told['problem'] or 'left: ' + ', '.join(told['left'])}")
    expect.require(expect.none("groupes absents de srv", told["missing"]))
    programs.unhurried([*(one for both in told["sessions"].values() for one in both), told["root"]])
    for person in people(bench, probe.nonce(f"sessions {moment}")):
        first, second = told["sessions"][person.name]
        expect.equal(f"{person.label} : session ouverte", "oui", "oui" if first["opened"] and second["opened"]
                     else f"non (code {first['status']}, {second['status']})")  # fmt: skip
        for label, one in (("première session", first), ("seconde session", second)):
            expect.equal(f"{person.label} : {label}", wanted(bench, person.team), got(one))
        same = first["home"] == second["home"]
        label = f"{person.label} : dossier personnel changé par la seconde session"
        expect.equal(label, "non", "non" if same else "oui")
    root = told["root"]
    expect.equal("root : session ouverte", "oui", "oui" if root["opened"] else f"non (code {root['status']})")
    expect.equal("root : session", NOTHING, got(root))
    expect.equal("root : dossier personnel changé", "non", "non" if root["same"] else "oui")


def wanted(bench: Bench, team: str | None) -> str:
    """What a session of a member must show."""
    if team is None:
        return NOTHING
    value = text(bench, "valeur_a" if team == text(bench, "groupe_a") else "valeur_b")
    return f"variable {value}, lien vers {SHARES}/{team}"


def got(session: dict[str, Any]) -> str:
    """What a session showed."""
    value, target = session["value"], session["target"]
    if value is None and target is None:
        return NOTHING
    seen = f"variable {'absente' if value is None else value or 'vide'}"
    seen += ", pas de lien" if target is None else f", lien vers {target}"
    return seen if target is None or session["entered"] else f"{seen}, où la session n'entre pas"


def people(bench: Bench, word: str) -> list[Person]:
    """Both groups, as main group and as one more, under both shells; and people of groups with similar names."""
    first, second = text(bench, "groupe_a"), text(bench, "groupe_b")
    name = word[-8:]
    return [
        Person(f"c{name}a", f"membre de {first} (bash)", BASH, first),
        Person(f"c{name}b", f"membre de {first}, groupe principal (dash)", DASH, first, primary=True),
        Person(f"c{name}c", f"membre de {second} (dash)", DASH, second),
        Person(f"c{name}d", f"membre de {second}, groupe principal (bash)", BASH, second, primary=True),
        Person(f"c{name}e", "personne d'aucun des deux groupes (bash)", BASH, others=lookalikes(bench, word)),
        Person(f"c{name}f", "personne d'aucun groupe (dash)", DASH),
    ]


def lookalikes(bench: Bench, word: str) -> tuple[str, ...]:
    """Groups made for the occasion whose names hold those of the branch's."""
    return f"{text(bench, 'groupe_a')}-{word[-4:]}", f"x{word[-4:]}-{text(bench, 'groupe_b')}"


def _sessions(bench: Bench, probe: ProbeClient, moment: str) -> Errand:
    word = probe.nonce(f"sessions {moment}")
    request = {
        "accounts": [one.data() for one in people(bench, word)],
        "groups": list(lookalikes(bench, word)),
        "wanted": [text(bench, "groupe_a"), text(bench, "groupe_b")],
        "variable": text(bench, "variable"),
        "link": text(bench, "lien"),
    }
    return runner.errand("remote_sessions", request)
