"""CP09-S5: specify and implement a new management rule."""

from __future__ import annotations

import string
from typing import Any

from graders.agency import LEG, Entry, bind_name, first, person, read_directory
from graders.check import check
from graders.cp09_directory.trial import TICKETS, Trial, Undo, trial_account
from graders.expect import Expect
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, text
from labs.bench import Bench


@check("CP09-S5.a", causes=("CP09-S2.a", "CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=180)
def check_password_rules(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Le domaine refuse les mots de passe trop courts ou trop simples, et accepte les autres.

    La sonde essaie de donner au compte d'essai de Commerce un mot de passe d'un caractère de moins que la longueur
    demandée, puis un long sans chiffre ni majuscule, puis un de la longueur exacte.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    account = trial_account(directory, "commerce")
    expect.require(expect.equal("compte essai.commerce", "présent", "présent" if account else "absent"))
    assert account is not None
    length = number(bench, "mdp_longueur")
    word = probe.nonce("password rules")
    tries = {
        f"réinitialisation avec {length - 1} caractères": (exact(word, length - 1), "refusée"),
        "réinitialisation avec un long mot de passe en minuscules": (simple(word), "refusée"),
        f"réinitialisation avec {length} caractères": (exact(word[::-1], length), "acceptée"),
    }
    trial = Trial(bench, probe, undo)
    for label, (password, wanted) in tries.items():
        expect.equal(label, wanted, trial.answer(trial.give(account, password)))


@check("CP09-S5.d", causes=("CP09-S2.a", "CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=240)
def check_lockout(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Un compte se verrouille après le nombre d'essais demandé, ni avant ni après, et pour la durée demandée.

    La sonde se trompe de mot de passe une fois de moins que la limite : le bon est encore accepté. Elle se trompe
    ensuite autant de fois que la limite : le bon est refusé, le compte étant verrouillé. Elle lit la durée, puis
    déverrouille.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    account = trial_account(directory, "direction")
    expect.require(expect.equal("compte essai.direction", "présent", "présent" if account else "absent"))
    assert account is not None
    limit, usual = number(bench, "verrou_essais"), text(bench, "mdp_essai")
    trial = Trial(bench, probe, undo)
    expect.require(expect.equal("ticket de essai.direction", "obtenu", trial.ticket("essai.direction", usual)))
    wrong = [f"Faux-{probe.nonce(f'lockout {index}')}" for index in range(2 * limit)]
    first_tries, last_tries = [*wrong[: limit - 1], usual], wrong[limit : 2 * limit]
    user = bind_name(bench, "essai.direction")
    undo("verrou de essai.direction", lambda: trial.unlock("essai.direction", account))
    asked: dict[str, Any] = {"address": text(bench, "lan_dc"), "user": user}
    codes = probe.call("ldap.binds", LEG, timeout=60, passwords=first_tries, **asked)
    if None in codes:
        raise ProbeError("ldap.binds: the directory stopped answering")
    observed = "accepté" if codes[-1] == 0 else "refusé"
    expect.equal(f"bon mot de passe après {limit - 1} erreurs", "accepté", observed)
    if None in probe.call("ldap.binds", LEG, timeout=60, passwords=last_tries, **asked):
        raise ProbeError("ldap.binds: the directory stopped answering")
    state = trial.ticket("essai.direction", usual)
    expect.equal(f"ticket avec le bon mot de passe après {limit} erreurs", TICKETS["revoked"], state)
    found = lockout_duration(bench, probe, trial, account)
    expect.equal("durée du verrouillage, en minutes", number(bench, "verrou_minutes"), in_minutes(found))


def lockout_duration(bench: Bench, probe: ProbeClient, trial: Trial, account: Entry) -> str:
    """How long the account is locked, as its rules say: those made for some accounts (MS-ADTS 3.1.1.4.5.36,
    msDS-ResultantPSO, which only administrators read), else the domain's."""
    own = first(trial.read(account["dn"], ["msDS-ResultantPSO"]), "msds-resultantpso")
    if own:
        return first(trial.read(own, ["msDS-LockoutDuration"]), "msds-lockoutduration")
    reader: dict[str, Any] = {
        "user": bind_name(bench, person(bench, "commerciale").login),
        "password": text(bench, "mdp_agence"),
    }
    rules = probe.call("ldap.search", LEG, timeout=30, address=text(bench, "lan_dc"), base=text(bench, "base_dn"),
                       scope="base", attributes=["lockoutDuration"], **reader)  # fmt: skip
    return first(rules["entries"][0], "lockoutduration") if rules["entries"] else ""


def exact(word: str, length: int) -> str:
    """A complex password of that length: a capital, a digit and a sign, the rest from `word`."""
    return f"Q7-{(word * 2)[: length - 3]}"


def simple(word: str) -> str:
    """A long password in small letters only."""
    return "".join(string.ascii_lowercase[int(digit, 16)] for digit in word.removeprefix("n")) * 2


def in_minutes(duration: str) -> int | str:
    """A negative count of 100 ns (MS-ADTS 3.1.1.3.4) in minutes; the text itself when it is none.

    >>> in_minutes("-9000000000")
    15
    """
    return -int(duration) // 600_000_000 if duration.lstrip("-").isdigit() else duration
