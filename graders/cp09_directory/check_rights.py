"""CP09-S3: administer levels of rights."""

from __future__ import annotations

from typing import Any

from graders.agency import (
    ADMINISTRATOR,
    LEG,
    NOTHING,
    READ,
    SHARES,
    STAFF,
    WRITE,
    Directory,
    Entry,
    bind_name,
    first,
    person,
    read_directory,
    sid_of,
)
from graders.check import check
from graders.cp09_directory.check_controller import act
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.expect import Expect, show
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench

PRIVILEGED = {512: "Admins du domaine", 519: "Administrateurs de l'entreprise", 518: "Administrateurs du schéma"}
"""RID -> name of the group (MS-ADTS 6.1.1.6)."""
VISITS_SECONDS = 160


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("smb.use", LEG, timeout=VISITS_SECONDS, **_visits(bench, probe))


@check("CP09-S3.a", causes=("CP09-S2.a", "CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=180)
def check_delegation(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """L'assistance réinitialise les mots de passe de l'unité Commerce, et ceux-là seulement.

    Avec le compte de l'assistante, la sonde change le mot de passe du compte d'essai de Commerce, qui obtient alors un
    ticket avec le nouveau ; elle essaie la même chose sur celui de Direction, dont le mot de passe reste le même. Une
    personne qui n'est pas de l'assistance n'y arrive pas non plus dans Commerce.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    helper = person(bench, "assistante").login
    trial = Trial(bench, probe, undo)
    for unit, allowed in (("commerce", True), ("direction", False)):
        account = trial_account(directory, unit)
        label = f"compte essai.{unit}"
        expect.require(expect.true(label, "présent", "présent" if account else "absent", bool(account)))
        assert account is not None
        new = trial.new_password(f"delegation {unit}")
        told = trial.reset(account, new, bind_name(bench, helper), text(bench, "mdp_agence"))
        wanted = "acceptée" if allowed else "refusée"
        observed = trial.answer(told)
        expect.true(f"réinitialisation de essai.{unit} par {helper}", wanted, observed,
                    observed == wanted)  # fmt: skip
        label = f"ticket de essai.{unit} avec le mot de passe que l'assistante a voulu donner"
        expect.equal(label, "obtenu" if allowed else "refusé", trial.ticket(f"essai.{unit}", new))
    account, other = trial_account(directory, "commerce"), person(bench, "stagiaire").login
    assert account is not None
    told = trial.reset(account, trial.new_password("delegation to others"), bind_name(bench, other),
                       text(bench, "mdp_agence"))  # fmt: skip
    expect.equal(f"réinitialisation de essai.commerce par {other}", "refusée", trial.answer(told))


@check("CP09-S3.b", causes=("CP09-S1.d", "CP09-S1.a", "CP09-S2.b"), nodes=("srv", "dc"), seconds=360, early=_start)
def check_shares(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Chacun lit, écrit, ou ne voit rien, sur chaque partage de srv, comme dans le tableau.

    Cinq personnes essaient vraiment, chacune avec son mot de passe : écrire un fichier, puis lire celui d'une personne
    qui en a le droit et, pour qui n'a pas celui d'écrire, le remplacer. srv reconnaît aussi le compte d'essai de
    Commerce à un mot de passe que seul l'annuaire connaît.
    """
    trial = Trial(bench, probe, undo)
    for who in ("stagiaire", "assistante"):
        login = person(bench, who).login
        expect.equal(
            f"ticket de {login}, qui n'a droit à rien", "obtenu", trial.ticket(login, text(bench, "mdp_agence"))
        )
    asked = _visits(bench, probe)
    visits = probe.call("smb.use", LEG, timeout=VISITS_SECONDS, **asked)
    told = dict(zip(map(tuple, asked["acts"]), visits, strict=True))
    for share, rights in SHARES.items():
        for who, right in rights.items():
            login = person(bench, who).login
            written = told[_write(bench, probe, share, who)]
            read = told[_read(bench, probe, share, who)]
            observed = granted(written, read, _word(probe, share))
            expect.equal(f"{share} : {login}", right, observed)
            if right != WRITE:
                replaced = told[_replace(bench, probe, share, who)]
                expect.equal(f"{share} : écriture de {login} dans le fichier d'un autre", "refusée", act(replaced))
    _expect_of_the_domain(bench, probe, expect, trial)


def _expect_of_the_domain(bench: Bench, probe: ProbeClient, expect: Expect, trial: Trial) -> None:
    """srv lets in whom the directory lets in: an account of its own could not know a password given a moment ago."""
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    account = trial_account(directory, "commerce")
    expect.require(expect.equal("compte essai.commerce", "présent", "présent" if account else "absent"))
    assert account is not None
    login, new, wrong = "essai.commerce", trial.new_password("shares"), probe.nonce("wrong share")
    told = trial.answer(trial.give(account, new))
    expect.require(expect.equal(f"réinitialisation de {login}", "acceptée", told))
    tries = (("son nouveau mot de passe", new, "accordée"), ("un mauvais mot de passe", wrong, "refusée"))
    for label, password, wanted in tries:
        seen = probe.call("smb.use", LEG, timeout=80, address=text(bench, "lan_srv"), domain=text(bench, "netbios"),
                          people={login: password}, acts=[[login, "list", "", ""]],
                          again=password == new)[0]  # fmt: skip
        expect.equal(f"liste des partages de srv par {login}, avec {label}", wanted, act(seen))


@check("CP09-S3.c", causes=("CP09-S2.a", "CP09-S1.a"), nodes=("dc",))
def check_privileged(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Aucune personne de l'agence n'est administrateur du domaine.

    Les groupes privilégiés, lus avec leurs groupes imbriqués, ne contiennent que le compte d'administrateur d'origine
    et, sur un contrôleur Windows, celui du centre.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    for rid, name in PRIVILEGED.items():
        _expect_alone(expect, name, directory, directory.by_rid(rid), "")
    builtin = next((one for one in directory.entries if sid_of(one) == "S-1-5-32-544"), None)
    windows = bench.node("dc").model.windows
    _expect_alone(expect, "Administrateurs", directory, builtin, windows.user if windows else "")


def _expect_alone(expect: Expect, name: str, directory: Directory, group: Entry | None, centre: str) -> None:
    wanted = "personne d'autre que l'administrateur d'origine"
    found = ["groupe introuvable"] if group is None else strangers(directory, group, centre)
    expect.equal(f"membres de « {name} »", wanted, show(found) if found else wanted)


def strangers(directory: Directory, group: Entry, centre: str = "") -> list[str]:
    """Who is in a privileged group beside the built-in administrator and the account `centre`.

    The promotion of a Windows server makes its local administrators, the grader among them, BUILTIN's of the domain.
    """
    found = [one for one in directory.everybody_in(group) if not sid_of(one).endswith(f"-{ADMINISTRATOR}")]
    names = sorted(first(one, "samaccountname") or one["dn"] for one in found)
    return [name for name in names if not centre or name.lower() != centre.lower()]


def granted(written: dict[str, str], read: dict[str, str], word: str) -> str:
    """The right that a person showed; what happened instead when the server answered neither yes nor no."""
    states = tuple("refused" if one["state"] == "logon refused" else one["state"] for one in (written, read))
    if states == ("granted", "granted") and read["text"] == word:
        return WRITE
    if states == ("refused", "granted") and read["text"] == word:
        return READ
    if states == ("refused", "refused"):
        return NOTHING
    return f"écriture : {act(written)} ; lecture : {act(read)}"


def _word(probe: ProbeClient, share: str) -> str:
    return probe.nonce(f"share {share}")


def _owner(share: str) -> str:
    """Who leaves the file that the others try to read: the last one who may write."""
    return [who for who, right in SHARES[share].items() if right == WRITE][-1]


def _path(probe: ProbeClient, share: str, who: str) -> str:
    return f"{share}/{_word(probe, share)}-{who}.txt"


def _write(bench: Bench, probe: ProbeClient, share: str, who: str) -> tuple[str, str, str, str]:
    return (person(bench, who).login, "write", _path(probe, share, who), _word(probe, share))


def _read(bench: Bench, probe: ProbeClient, share: str, who: str) -> tuple[str, str, str, str]:
    return (person(bench, who).login, "read", _path(probe, share, _owner(share)), "")


def _replace(bench: Bench, probe: ProbeClient, share: str, who: str) -> tuple[str, str, str, str]:
    return (person(bench, who).login, "write", _path(probe, share, _owner(share)), "remplacé")


def _visits(bench: Bench, probe: ProbeClient) -> dict[str, Any]:
    """Everybody writes a file, then reads the one of somebody entitled; who may not write puts another in its place.

    In the end each deletes their own.
    """
    cells = [(share, who) for share, rights in SHARES.items() for who in rights]
    acts = [_write(bench, probe, share, who) for share, who in cells]
    acts += [_read(bench, probe, share, who) for share, who in cells]
    acts += [_replace(bench, probe, share, who) for share, who in cells if SHARES[share][who] != WRITE]
    acts += [(person(bench, who).login, "delete", _path(probe, share, who), "") for share, who in cells]
    return {
        "address": text(bench, "lan_srv"),
        "domain": text(bench, "netbios"),
        "people": {person(bench, who).login: text(bench, "mdp_agence") for who in STAFF},
        "acts": [list(act) for act in acts],
    }
