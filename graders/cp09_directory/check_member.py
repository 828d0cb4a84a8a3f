"""CP09-S4: join a client and its entities."""

from __future__ import annotations

from collections.abc import Callable

from graders.agency import LEG, read_directory
from graders.check import check
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.devices import Windows
from graders.expect import Expect, converge, show
from graders.login import Login
from graders.probe_client import ProbeClient
from graders.vantage import text
from graders.workstation import WRITTEN, Session, elsewhere, plain, workstation_of
from labs.bench import Bench
from labs.deadline import Deadline

Asked = Callable[[str], Windows]
ACCOUNT = "essai.commerce"
RECOVERY_SECONDS = 400.0
"""How long after a restart of all the machines at once: winbind believes for 300 s that an account is not there, when
it was asked while the controller was still starting (smb.conf(5), winbind cache time)."""


@check("CP09-S4.a", causes=("CP09-S1.d", "CP09-S1.a", "CP09-S2.a"), nodes=("ws", "dc"), seconds=240)
def check_session(
    bench: Bench, probe: ProbeClient, login: Login, windows: Asked, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """Une personne du domaine ouvre une session sur ws avec son mot de passe, dans un dossier personnel à elle.

    La sonde donne dans l'annuaire un mot de passe jamais utilisé au compte d'essai de Commerce : la session s'ouvre
    sur ws avec lui, et ne s'ouvre pas avec l'ancien. ws est connu de l'annuaire et du DNS.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    machine = directory.account("ws$")
    expect.equal("compte de l'ordinateur ws", "présent", "présent" if machine else "absent")
    name = f"ws.{text(bench, 'domaine')}"
    answer = probe.call("dns.query", LEG, server=text(bench, "lan_dc"), questions=[[name, "A"]], window=10)[0]
    found = sorted(one["data"] for one in answer.get("answers", []) if one["type"] == "A")
    expect.equal(f"{name} A", [text(bench, "lan_poste")], found)
    account = trial_account(directory, "commerce")
    expect.require(expect.equal(f"compte {ACCOUNT}", "présent", "présent" if account else "absent"))
    assert account is not None
    trial = Trial(bench, probe, undo)
    new = trial.new_password("session")
    told = trial.answer(trial.give(account, new))
    expect.require(expect.equal(f"réinitialisation de {ACCOUNT} par l'administrateur", "acceptée", told))
    station = workstation_of(bench, login, windows)
    opened, refused = station.sessions(ACCOUNT, [new, text(bench, "mdp_essai")], deadline)
    expect_session(expect, opened)
    expect.equal("compte ou numéro connu de ws sans le domaine", "rien", show(station.strangers(account, opened)))
    expect.equal("session avec l'ancien mot de passe", "refusée", "ouverte" if "numéro" in refused else "refusée")


@check("CP09-S4.b", needs=("CP09-S4.a",), nodes=("ws", "dc"), phase="reboot", seconds=600)
def check_session_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, windows: Asked, expect: Expect, deadline: Deadline
) -> None:
    """Après un redémarrage, une personne du domaine ouvre encore une session sur ws.

    Toutes les machines ont redémarré ensemble. Le mot de passe est celui du compte d'essai.
    """
    del probe
    usual, station = [text(bench, "mdp_essai")], workstation_of(bench, login, windows)
    opened = converge(deadline.sooner(RECOVERY_SECONDS), lambda: station.sessions(ACCOUNT, usual, deadline)[0],
                      lambda seen: "numéro" in seen, interval=3.0)  # fmt: skip
    expect_session(expect, opened)


def expect_session(expect: Expect, opened: Session) -> None:
    """The session is of the account, in a folder of its own where it may write."""
    label = f"session de {ACCOUNT} sur ws"
    observed = opened.get("problem", "ouverte")
    expect.require(expect.true(label, "ouverte", observed, "problem" not in opened))
    expect.equal("compte de la session", ACCOUNT, plain(opened["compte"]))
    expect.equal("propriétaire du dossier personnel", ACCOUNT, plain(opened.get("propriétaire", "")))
    home = opened.get("dossier", "")
    expect.true("dossier personnel", "un dossier à part", home or "rien", elsewhere(home))
    expect.equal("fichier écrit dans ce dossier", WRITTEN, opened.get("écriture", ""))
