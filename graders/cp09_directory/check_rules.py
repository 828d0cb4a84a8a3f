"""CP09-S5: rules that the directory gives to workstations and to some of its people (group policies, PSO)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.agency import Entry, first, person, read_directory
from graders.check import check
from graders.cp09_directory.check_policy import exact, expect_lockout, simple, still_accepted
from graders.cp09_directory.rules import (
    EVERYBODY,
    GRANTED,
    GREETED,
    OTHER_COMMAND,
    OTHERS,
    REFUSED,
    RULED,
    RULED_COMMAND,
    WITHOUT_PASSWORD,
    effects_on_ws,
    recovered,
)
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.errand import Errand, run_errand
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient, ProbeError
from graders.probes.ldap import above
from graders.vantage import number, text
from graders.workstation import NODE
from labs.bench import Bench
from labs.deadline import Deadline

if TYPE_CHECKING:
    from graders.login import Login
    from graders.reboot import Restart

APPLIED_SECONDS = 400.0
"""How long after its start the workstation may take to apply its rules: more than the subject gives, and than winbind
believes that an account is not there (smb.conf(5), winbind cache time)."""
APPLIED_AGAIN_SECONDS = 75.0
# Samba's client does not by itself apply again a policy that it has withdrawn and that has not changed since.
APPLY_AGAIN = Errand(NODE, "timeout 60 samba-gpupdate --force; echo regles-appliquees", "regles-appliquees")
OF_THE_DOMAIN = "celle du domaine"
UNIT, SCRATCH = "OU=Postes,OU=Agence,{base}", "OU=Centre,OU=Agence,{base}"


@check("CP09-S2.d", nodes=("dc",), seconds=60)
def check_unit(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """L'ordinateur ws est dans l'unité d'organisation des postes.

    Une personne de l'agence lit l'annuaire.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    unit = UNIT.format(base=text(bench, "base_dn"))
    observed = "présente" if unit.lower() in directory.units() else "absente"
    expect.equal("unité d'organisation Postes, dans Agence", "présente", observed)
    machine = directory.account("ws$")
    found = above(machine["dn"]) if machine else "absent"
    expect.true("place du compte de l'ordinateur ws", unit, found, found.lower() == unit.lower())


@check("CP09-S5.b", causes=("CP09-S2.d",), nodes=("ws", "dc"), seconds=600)
def check_right(bench: Bench, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Sur ws, seules les personnes désignées lancent la commande par sudo, avec leur mot de passe, et elle seule.

    Chacun essaie vraiment, avec son mot de passe du domaine : la commande, la commande sans mot de passe, une autre.
    """
    seen = effects_on_ws(bench, login, EVERYBODY, deadline, greeting=False)
    for who in RULED:
        name = person(bench, who).login
        expect.equal(f"{name} : releve-materiel", GRANTED, seen.of(name, RULED_COMMAND))
        expect.equal(f"{name} : releve-materiel sans mot de passe", REFUSED, seen.of(name, WITHOUT_PASSWORD))
        expect.equal(f"{name} : une autre commande", REFUSED, seen.of(name, OTHER_COMMAND))
    for who in OTHERS:
        name = person(bench, who).login
        expect.equal(f"{name} : releve-materiel", REFUSED, seen.of(name, RULED_COMMAND))
        expect.equal(f"{name} : une autre commande", REFUSED, seen.of(name, OTHER_COMMAND))


@check("CP09-S5.e", causes=("CP09-S2.d",), nodes=("ws", "dc"), seconds=240)
def check_message(bench: Bench, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le message de l'agence s'affiche à l'ouverture d'une session sur la console de ws.

    Le contrôle ouvre une session de la commerciale, comme à la console, et lit ce qui s'affiche.
    """
    seen = effects_on_ws(bench, login, (), deadline)
    expect.equal(f"message à l'ouverture de session : « {text(bench, 'message')} »", GREETED, seen.greeting)


@check("CP09-S5.g", nodes=("dc",), seconds=180)
def check_longer_passwords(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Les mots de passe de la direction sont plus longs ; ceux des autres suivent la règle du domaine.

    L'administrateur essaie de donner au compte d'essai de la direction un mot de passe trop court d'un caractère, puis
    un de la longueur exacte, puis un long sans chiffre ni majuscule ; au compte d'essai du commerce, un de la longueur
    du domaine. La règle vaut aussi pour la directrice, et pas pour le technicien ni la commerciale.
    """
    accounts = trial_accounts(bench, probe, expect)
    longer, usual = number(bench, "direction_longueur"), number(bench, "mdp_longueur")
    tries = [
        ("direction", longer - 1, "refusée"),
        ("direction", longer, "acceptée"),
        ("commerce", usual, "acceptée"),
        ("commerce", usual - 1, "refusée"),
    ]
    trial = Trial(bench, probe, undo)
    for unit, length, wanted in tries:
        told = trial.answer(trial.give(accounts[unit], exact(probe.nonce(f"{unit} {length}"), length)))
        expect.equal(f"essai.{unit}, réinitialisation avec {length} caractères", wanted, told)
    told = trial.answer(trial.give(accounts["direction"], simple(probe.nonce("direction simple"))))
    expect.equal("essai.direction, réinitialisation avec un long mot de passe en minuscules", "refusée", told)
    for who, asked in {"directrice": str(longer), "technicien": OF_THE_DOMAIN, "commerciale": OF_THE_DOMAIN}.items():
        name = person(bench, who).login
        expect.equal(f"longueur demandée à {name}", asked, length_of(bench, probe, trial, name))


@check("CP09-S5.h", nodes=("dc",), seconds=300)
def check_sooner_lockout(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Un compte de la direction se verrouille plus tôt, pour la durée demandée ; les autres non.

    La sonde se trompe de mot de passe pour le compte d'essai de la direction, puis autant de fois pour celui du
    commerce, qui doit rester ouvert.
    """
    accounts = trial_accounts(bench, probe, expect)
    limit = number(bench, "direction_essais")
    expect_lockout(bench, probe, expect, undo, accounts["direction"], limit, number(bench, "direction_minutes"))
    trial, name = Trial(bench, probe, undo), "essai.commerce"
    undo(f"verrou de {name}", lambda: trial.unlock(name, accounts["commerce"]))
    accepted = still_accepted(bench, probe, name, limit)
    expect.equal(f"{name}, bon mot de passe après {limit} erreurs", "accepté", accepted)


@check("CP09-S5.i", needs=("CP09-S5.b",), causes=("CP09-S2.d",), nodes=("ws", "dc"), phase="reboot", seconds=900)
def check_right_after_reboot(bench: Bench, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Après un redémarrage, la commande est encore permise aux personnes désignées, et à elles seules.

    Toutes les machines ont redémarré ensemble. Deux personnes essaient, l'une désignée, l'autre non.
    """
    named, other = person(bench, "assistante").login, person(bench, "commerciale").login
    seen = recovered(bench, login, ("assistante", "commerciale"), deadline)
    expect.equal(f"{named} : releve-materiel", GRANTED, seen.of(named, RULED_COMMAND))
    expect.equal(f"{other} : releve-materiel", REFUSED, seen.of(other, RULED_COMMAND))


@check("CP09-S5.f", causes=("CP09-S2.d",), needs=("CP09-S5.b",), nodes=("ws", "dc"), phase="reboot", seconds=1800,
       disturbing=True)  # fmt: skip
def check_scope(
    bench: Bench, probe: ProbeClient, login: Login, restart: Restart, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """Le droit vient de l'annuaire : ws le perd hors de son unité, en redémarrant, sans que personne intervienne.

    L'administrateur déplace l'ordinateur ws dans une unité sans règle et ws redémarre seul : la commande n'est plus
    permise. L'ordinateur est remis à sa place et les règles sont demandées de nouveau.
    """
    name = person(bench, "assistante").login
    before = recovered(bench, login, ("assistante",), deadline).of(name, RULED_COMMAND)
    expect.require(expect.equal(f"{name} : releve-materiel, avant le déplacement de ws", GRANTED, before))
    directory, problem = read_directory(bench, probe)
    machine = directory.account("ws$")
    if problem or machine is None:
        raise ProbeError(f"the account of ws could not be read: {problem or 'it is not there'}")
    mover = Mover(bench, probe, machine)

    def put_back() -> None:
        mover.back()
        limit = Deadline.after(APPLIED_AGAIN_SECONDS)
        run_errand(login, APPLY_AGAIN, limit)
        told = effects_on_ws(bench, login, ("assistante",), limit, greeting=False, tries=1).of(name, RULED_COMMAND)
        if told != GRANTED:
            raise ProbeError(f"{name} has not got the command back: {told}")

    undo("place de ws dans l'annuaire, et ses règles", put_back)
    mover.leave()
    restart("ws")
    after = converge(
        deadline.sooner(APPLIED_SECONDS),
        lambda: effects_on_ws(bench, login, ("assistante",), deadline, greeting=False, tries=1).of(name, RULED_COMMAND),
        lambda seen: seen == REFUSED,
        interval=5.0,
    )
    expect.equal(f"{name} : releve-materiel, ws hors de l'unité", REFUSED, after)


class Mover:
    """Moves the account of ws to the centre's unit and back, as the domain's administrator."""

    def __init__(self, bench: Bench, probe: ProbeClient, machine: Entry) -> None:
        self._trial = Trial(bench, probe, lambda _what, _act: None)
        self._name, self._unit = str(machine["dn"]).removesuffix(above(machine["dn"])), above(machine["dn"])
        self._scratch = SCRATCH.format(base=text(bench, "base_dn"))

    def leave(self) -> None:
        """Raises ProbeError when the directory does not accept it, as `back` does."""
        self._move(self._unit, self._scratch)

    def back(self) -> None:
        """Nothing happens when it never left."""
        if self._trial.read(f"{self._name}{self._scratch}", ["cn"]):
            self._move(self._scratch, self._unit)

    def _move(self, old: str, new: str) -> None:
        told = self._trial.move(f"{self._name}{old}", new)
        if told["code"] != 0:
            raise ProbeError(f"{self._name}{old} could not be moved to {new}: {told['reason']}")


def trial_accounts(bench: Bench, probe: ProbeClient, expect: Expect) -> dict[str, Entry]:
    """The centre's test accounts, by unit."""
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    found = {unit: trial_account(directory, unit) for unit in ("direction", "commerce")}
    for unit, account in found.items():
        expect.require(expect.equal(f"compte essai.{unit}", "présent", "présent" if account else "absent"))
    return {unit: account for unit, account in found.items() if account}


def length_of(bench: Bench, probe: ProbeClient, trial: Trial, login: str) -> str:
    """The length that passwords of an account must have, by the rule made for some accounts that holds for it.

    See MS-ADTS 3.1.1.4.5.36 (msDS-ResultantPSO), which only administrators read.
    """
    directory, _ = read_directory(bench, probe)
    account = directory.account(login)
    rule = first(trial.read(account["dn"], ["msDS-ResultantPSO"]), "msds-resultantpso") if account else ""
    found = first(trial.read(rule, ["msDS-MinimumPasswordLength"]), "msds-minimumpasswordlength") if rule else ""
    return found or OF_THE_DOMAIN
