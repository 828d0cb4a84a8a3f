"""CP03-S4 and CP03-C3: the branch's shares reach each person's session on the workstation, and stay there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from graders.agency import LEG, NOTHING, READ, SHARES, WRITE, Person, person
from graders.check import check
from graders.cp09_directory.trial import Undo
from graders.errand import LATE, Errand, run_errand
from graders.expect import Expect, converge
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from graders.workstation import NODE
from labs.bench import Bench
from labs.deadline import Deadline

VISITORS = ("directrice", "technicien", "commerciale", "stagiaire")
"""Who opens a session: no two of them have the same rights everywhere, and one has none, so that an account that serves
others too does not pass, in any share."""
PLACE = "partages"
"""Folder of the personal folder where the shares are to be."""
RECOVERY_SECONDS = 400.0
"""As for the session itself (CP09-S4.b): winbind may believe for 300 s that an account is not there."""
REFUSAL_SECONDS = 150.0
"""How long a session that is refused is tried again: SSSD refuses everybody while it believes the controller away, as
it does when a slow one answers too late. Whether sessions open is not what is judged here (CP09-S4)."""
START_SECONDS = 300.0
"""How long sessions that open may be without their shares after a restart: srv starts at the same time as ws, and a
session that SSSD opens from its cache has no ticket before it has found the controller (at its second or third try)."""
END = "fin des sessions"
AT_ONCE = 2
"""Sessions at a time: each one mounts three shares, on a small machine."""
# Through PAM, as at the console: nobody is not root, so the password is asked for. What is read and
# written is told with the status of the program that tried; 124 is no answer in time (some shares are mounted then).
OPEN = """
printf '%s\\n' {password} | timeout 300 runuser -u nobody -- su -l {login} -c {visit} >"$d/{login}" 2>/dev/null ||
  echo "statut-$?" >>"$d/{login}" &
"""
VISIT = """
cd
echo {word}-ouverte
for s in {shares}; do
  mot=$(timeout 60 cat {place}/$s/{word}-$s.txt 2>/dev/null); echo "lecture $s $? $mot"
  timeout 30 sh -c "echo {word} >{place}/$s/{word}-{login}.txt" 2>/dev/null; echo "ecriture $s $?"
done
"""
TOLD = re.compile(r"(lecture|ecriture) (\w+) (\d+) ?(\S*)")
SILENT = "pas de réponse en une minute"
OWN, OTHER = "own", "other"
"""Who can see on srv a file that was written on `ws`: its author, or only people who have the share anyway."""
Cell = tuple[str, str]
"""Share, and login of who tries it."""


@check("CP03-S4.a", causes=("CP09-S4.a", "CP09-S3.b"), nodes=("ws", "srv", "dc"), seconds=900)
def check_resources(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """Dans sa session sur ws, chacun travaille dans les partages de srv, avec ses droits à lui.

    Quatre personnes ouvrent une session avec leur mot de passe. Dans leur dossier « partages », elles lisent un fichier
    que la sonde vient de déposer sur srv et en écrivent un, que la sonde retrouve sur srv.
    """
    visit = Visit(bench, probe, probe.nonce("resources"))
    undo("fichiers déposés dans les partages", visit.clean)
    expect.require(expect.equal("fichiers déposés sur srv par la sonde", "oui", visit.leave()))
    told = visit.opened(login, deadline, REFUSAL_SECONDS)
    if SILENT in told.values():
        told = visit.opened(login, deadline, REFUSAL_SECONDS)
    visit.compare(expect, told)


@check(
    "CP03-C3.a", needs=("CP03-S4.a",), causes=("CP09-S4.b",), nodes=("ws", "srv", "dc"), phase="reboot", seconds=1500
)
def check_resources_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """Après un redémarrage, chacun retrouve les partages dans sa session.

    Toutes les machines ont redémarré ensemble ; personne n'est intervenu.
    """
    visit = Visit(bench, probe, probe.nonce("resources after a restart"))
    undo("fichiers déposés dans les partages", visit.clean)
    left = converge(deadline.sooner(RECOVERY_SECONDS), visit.leave, lambda seen: seen == "oui", interval=3.0)
    expect.require(expect.equal("fichiers déposés sur srv par la sonde", "oui", left))
    told = visit.opened(login, deadline, RECOVERY_SECONDS)
    if not visit.good(told):
        told = converge(deadline.sooner(START_SECONDS), lambda: visit.opened(login, deadline, REFUSAL_SECONDS),
                        visit.good, interval=3.0)  # fmt: skip
    visit.compare(expect, told)


class Visit:
    """Files of one word: those that the probe leaves in the shares, and those that people write from `ws`."""

    def __init__(self, bench: Bench, probe: ProbeClient, word: str) -> None:
        self._bench, self._probe, self._word = bench, probe, word
        self._people = {who: person(bench, who) for who in VISITORS}
        self._left: set[str] = set()

    def leave(self) -> str:
        """Put a file into each share, as somebody who may; `oui`, or what went wrong."""
        acts = [[self._keeper(share).login, "write", self._path(share, share), self._word] for share in SHARES]
        told = self._use(acts)
        for act, one in zip(acts, told, strict=True):
            if one["state"] == "granted":
                self._left.add(act[2])
        return ", ".join(sorted({one["state"] for one in told if one["state"] != "granted"})) or "oui"

    def sessions(self, login: Login, deadline: Deadline) -> dict[Cell, str]:
        """What each visitor may do in each share, from a session of their own on `ws`; nothing for who had none.

        Raises ProbeError when a session neither opened nor was refused.
        """
        told = run_errand(login, self._errand(), deadline)
        if LATE in told:
            raise ProbeError("a session on ws was neither opened nor refused in time, or could not be ended")
        written = self._collect()
        return {
            cell: seen
            for login, one in zip(self._logins(), told.split(f"{self._word}-suivante")[1:], strict=True)
            for cell, seen in rights(login, one, self._word, written).items()
        }

    def opened(self, login: Login, deadline: Deadline, patience: float) -> dict[Cell, str]:
        """`sessions`, again until everybody has one, for `patience` seconds at most."""
        for _ in deadline.sooner(patience).ticks(3.0):
            told = self.sessions(login, deadline)
            if {who for _, who in told} == set(self._logins()):
                break
        return told

    def good(self, told: dict[Cell, str]) -> bool:
        return all(told.get((share, one.login)) == SHARES[share][who] for share, who, one in self._cells())

    def compare(self, expect: Expect, told: dict[Cell, str]) -> None:
        for share, who, one in self._cells():
            label = f"{share} : {one.login}, dans sa session sur {NODE}"
            expect.equal(label, SHARES[share][who], told.get((share, one.login), "pas de session"))

    def clean(self) -> None:
        """Take our files away, as their author, then as whoever may. Raises ProbeError when one stays."""
        pending = {self._path(share, share): self._keeper(share).login for share in SHARES}
        pending |= {self._path(share, one.login): one.login for share, _, one in self._cells()}
        for other in ("", *self._logins()):
            acts = [[other or author, "delete", path, ""] for path, author in pending.items()]
            told = self._use(acts)
            pending = {act[2]: pending[act[2]] for act, one in zip(acts, told, strict=True)
                       if one["state"] not in {"granted", "ENOENT"}}  # fmt: skip
            if not pending:
                return
        if stays := sorted(self._left & set(pending)):
            raise ProbeError(f"could not be removed from srv: {', '.join(stays)}")

    def _logins(self) -> list[str]:
        return [one.login for one in self._people.values()]

    def _cells(self) -> list[tuple[str, str, Person]]:
        return [(share, who, one) for who, one in self._people.items() for share in SHARES]

    def _errand(self) -> Errand:
        lines = ["d=$(mktemp -d)", """trap 'rm -rf "$d"' EXIT"""]
        for number, one in enumerate(self._people.values(), start=1):
            visit = VISIT.format(shares=" ".join(SHARES), place=PLACE, word=self._word, login=one.login)
            password = shlex.quote(text(self._bench, "mdp_agence"))
            lines.append(OPEN.replace("{visit}", shlex.quote(visit)).replace("{password}", password)
                         .replace("{login}", one.login))  # fmt: skip
            if number % AT_ONCE == 0 or number == len(self._people):
                lines.append("wait")
        lines += [f'echo; echo {self._word}-suivante; cat "$d/{login}"' for login in self._logins()]
        return Errand(NODE, "\n".join([*lines, f"echo; echo {shlex.quote(END)}"]), END)

    def _collect(self) -> dict[Cell, str]:
        """Which files have arrived on srv with our word, and for whom the probe found them there."""
        cells = [(share, one.login) for share, _, one in self._cells()]
        found: dict[Cell, str] = {}
        for seen, reader in ((OTHER, lambda share, _: self._keeper(share).login), (OWN, lambda _, login: login)):
            told = self._use([[reader(*cell), "read", self._path(*cell), ""] for cell in cells])
            found |= {cell: seen for cell, one in zip(cells, told, strict=True)
                      if one["state"] == "granted" and one["text"].strip() == self._word}  # fmt: skip
        self._left |= {self._path(*cell) for cell in found}
        return found

    def _use(self, acts: Sequence[Sequence[str]]) -> list[dict[str, str]]:
        password = text(self._bench, "mdp_agence")
        asked: dict[str, Any] = {"address": text(self._bench, "lan_srv"), "domain": text(self._bench, "netbios"),
                                 "people": dict.fromkeys(self._logins(), password),
                                 "acts": [list(act) for act in acts]}  # fmt: skip
        told = list(self._probe.call("smb.use", LEG, timeout=90, **asked))
        if any(one["state"] == "ETIMEDOUT" for one in told):  # beyond what one call tries again by itself
            told = list(self._probe.call("smb.use", LEG, timeout=90, **asked))
        return told

    def _keeper(self, share: str) -> Person:
        """A visitor who may write in the share."""
        return next(one for who, one in self._people.items() if SHARES[share][who] == WRITE)

    def _path(self, share: str, name: str) -> str:
        return f"{share}/{self._word}-{name}.txt"


def rights(login: str, told: str, word: str, written: dict[Cell, str]) -> dict[Cell, str]:
    """What somebody's session showed of each share; nothing when it did not open.

    `written`: files that the probe found on srv, and for whom. A write that stays on the workstation is none: where
    somebody has no right, an empty folder of their own is as good as no folder.

    >>> rights("lea", "mot-ouverte\\nlecture commun 0 mot\\necriture commun 1\\n", "mot", {})
    {('commun', 'lea'): 'lecture'}
    """
    seen: dict[str, dict[str, tuple[int, str]]] = {}
    for verb, share, status, found in TOLD.findall(told.rpartition(f"{word}-ouverte")[2]):
        seen.setdefault(share, {})[verb] = (int(status), found)
    return {(share, login): _right(tries, word, written.get((share, login), "")) for share, tries in seen.items()}


def _right(tries: dict[str, tuple[int, str]], word: str, arrived: str) -> str:
    (read, found), (write, _) = tries.get("lecture", (1, "")), tries.get("ecriture", (1, ""))
    if 124 in {read, write}:
        return SILENT
    reads = read == 0 and found == word
    if arrived == OTHER:
        return f"{WRITE}, sous un autre compte" if reads else "écriture sous un autre compte"
    if arrived:
        return WRITE if reads else "écriture sans lecture"
    if reads and write == 0:
        return "lecture ; ce qui est écrit n'arrive pas sur srv"
    return READ if reads else NOTHING
