"""A Windows workstation: sessions by LogonUser, as the logon screen opens them, and the profile that comes with them.

Never run on a Windows: the unit tests give it what the documents of Windows say that it answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.agency import sid_of
from graders.probe_client import ProbeError
from graders.vantage import text
from graders.workstation import NODE, WRITTEN, Attempt, Row, Session
from labs.powershell import quoted

if TYPE_CHECKING:
    from graders.agency import Entry
    from graders.devices import Windows
    from labs.bench import Bench
    from labs.deadline import Deadline

REFUSALS = {
    1326: "compte ou mot de passe refusé",
    1327: "refusé par une restriction du compte",
    1328: "refusé à cette heure",
    1329: "refusé sur ce poste",
    1330: "mot de passe expiré",
    1331: "compte désactivé",
    1385: "ouverture de session locale non autorisée",
    1793: "compte expiré",
    1907: "mot de passe à changer",
    1909: "compte verrouillé",
}
"""Errors of LogonUser that are a no to this account (MS-ERREF 2.2)."""
CUT_OFF = {
    1311: "aucun contrôleur ne répond au poste",
    1355: "domaine inconnu du poste",
    1398: "horloges décalées",
    1787: "poste inconnu du domaine",
    1788: "relation d'approbation rompue",
    1789: "relation d'approbation rompue",
    1792: "service Netlogon arrêté",
}
"""Those that are a fault of the workstation or of the domain (MS-ERREF 2.2). Any other says nothing about either."""
SESSIONS_SECONDS, SETTINGS_SECONDS = 150.0, 40.0
"""The first session of an account makes its profile; the program is compiled there."""
FOLDER = Path(__file__).parent


class WindowsWorkstation:
    """Asked by PowerShell, as the grader's account."""

    def __init__(self, bench: Bench, windows: Windows) -> None:
        self._bench, self._windows = bench, windows
        self._asked = 0

    def sessions(self, account: str, passwords: Sequence[str], deadline: Deadline) -> list[Session]:
        return [session_of(told) for told in self._open([(account, one) for one in passwords], deadline, profile=True)]

    def strangers(self, entry: Entry, session: Session) -> list[str]:
        """The session's SID is that of the directory, which no account of the machine can have."""
        return [] if session["numéro"] == sid_of(entry) else [session["numéro"]]

    def settings(self) -> list[Row]:
        zone, name = text(self._bench, "fuseau_windows"), f"{NODE}.{text(self._bench, 'domaine')}"
        (told,) = self._windows.query(_program("settings.ps1", zone), SETTINGS_SECONDS)
        same = told["offsets"] == told["wanted"]
        return [
            ("fuseau horaire", zone, str(told["zone"]), same),
            (f"nom complet de {NODE}", name, told["name"].lower(), told["name"].lower() == name),
            ("paramètres régionaux du système", "fr-FR", str(told["locale"]), told["locale"] == "fr-FR"),
        ]

    def administrators(self, accounts: Sequence[str], password: str, deadline: Deadline) -> dict[str, Attempt]:
        told = self._open([(account, password) for account in accounts], deadline, profile=False)
        return {
            account: Attempt("non", "non") if one["error"] else Attempt("oui", "oui" if one["administrator"] else "non")
            for account, one in zip(accounts, told, strict=True)
        }

    def _open(self, people: Sequence[tuple[str, str]], deadline: Deadline, *, profile: bool) -> list[dict[str, Any]]:
        """What became of each. Raises ProbeError when one was neither opened nor refused."""
        self._asked += 1  # the same question again is another: what is known is not asked twice in a phase
        asked = {
            "number": self._asked,
            "domain": text(self._bench, "netbios"),
            "profile": profile,
            "people": [{"account": account, "password": password} for account, password in people],
        }
        seconds = max(1.0, min(SESSIONS_SECONDS, deadline.remaining))
        found = self._windows.query(_program("sessions.ps1", json.dumps(asked)), seconds)
        if len(found) != len(people):
            raise ProbeError(f"{len(people)} sessions were asked for on ws, {len(found)} answers came")
        for one in found:
            if one["error"] and one["error"] not in REFUSALS | CUT_OFF:
                raise ProbeError(f"a session on ws was neither opened nor refused: error {one['error']} of Windows")
        return found


def session_of(told: dict[str, Any]) -> Session:
    """One answer of sessions.ps1 as every workstation tells it."""
    if told["error"]:
        return {"problem": (REFUSALS | CUT_OFF)[told["error"]]}
    if told["profile"]:
        return {"problem": f"profil non créé (erreur {told['profile']})"}
    leaf = told["folder"].rpartition("\\")[2].upper()
    temporary = leaf == "TEMP" or leaf.startswith("TEMP.")
    return {
        "compte": told["name"],
        "numéro": told["sid"],
        "dossier": "" if temporary else told["folder"],
        "propriétaire": told["name"] if told["sid"] in told["full"] else ", ".join(told["full"]),
        "écriture": told["written"] or WRITTEN,
    }


def _program(name: str, data: str) -> str:
    """A program of this folder with its data, without its comments."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")).replace("@DATA@", quoted(data))
