"""CP09-S5: specify and implement a new management rule."""

from __future__ import annotations

import string

from graders.agency import LEG, Entry, bind_name, first, read_directory, search
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
    expect_lockout(bench, probe, expect, undo, account, number(bench, "verrou_essais"), number(bench, "verrou_minutes"))


def expect_lockout(
    bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo, account: Entry, limit: int, minutes: int
) -> None:
    """The test account is locked after `limit` wrong passwords, neither before nor after, for so many minutes."""
    login, usual = first(account, "samaccountname"), text(bench, "mdp_essai")
    trial = Trial(bench, probe, undo)
    trial.let_in(account)
    expect.require(expect.equal(f"ticket de {login}", "obtenu", trial.ticket(login, usual)))
    undo(f"verrou de {login}", lambda: trial.unlock(login, account))
    seen = still_accepted(bench, probe, login, limit - 1)
    expect.equal(f"{login}, bon mot de passe après {limit - 1} erreurs", "accepté", seen)
    still_accepted(bench, probe, login, limit)
    state = trial.ticket(login, usual)
    expect.equal(f"{login}, ticket avec le bon mot de passe après {limit} erreurs", TICKETS["revoked"], state)
    found = lockout_duration(bench, probe, trial, account)
    expect.equal(f"{login}, durée du verrouillage, en minutes", minutes, in_minutes(found))


def still_accepted(bench: Bench, probe: ProbeClient, login: str, errors: int) -> str:
    """Whether the account's password is accepted after so many wrong ones. Raises ProbeError when nothing answers."""
    wrong = [f"Faux-{probe.nonce(f'{login} {errors} {index}')}" for index in range(errors)]
    codes = probe.call("ldap.binds", LEG, timeout=60, address=text(bench, "lan_dc"), user=bind_name(bench, login),
                       passwords=[*wrong, text(bench, "mdp_essai")])  # fmt: skip
    if None in codes:
        raise ProbeError("ldap.binds: the directory stopped answering")
    return "accepté" if codes[-1] == 0 else "refusé"


def lockout_duration(bench: Bench, probe: ProbeClient, trial: Trial, account: Entry) -> str:
    """How long the account is locked, as its rules say: those made for some accounts (MS-ADTS 3.1.1.4.5.36,
    msDS-ResultantPSO, which only administrators read), else the domain's."""
    own = first(trial.read(account["dn"], ["msDS-ResultantPSO"]), "msds-resultantpso")
    if own:
        return first(trial.read(own, ["msDS-LockoutDuration"]), "msds-lockoutduration")
    rules = search(bench, probe, scope="base", filter="(objectClass=*)", attributes=["lockoutDuration"])
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
