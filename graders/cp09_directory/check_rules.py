"""CP09-S5: rules that the directory gives to workstations and to some of its people (group policies, PSO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graders.agency import Entry, first, person, read_directory
from graders.check import check
from graders.cp09_directory.check_policy import exact, expect_lockout, simple
from graders.cp09_directory.rules import (
    EVERYBODY,
    GRANTED,
    GREETED,
    NEIGHBOUR,
    OTHER_COMMAND,
    OTHERS,
    REFUSED,
    RULED,
    RULED_COMMAND,
    WITHOUT_PASSWORD,
    effects_on_ws,
    greeted_again,
    recovered,
    waited_for,
)
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.errand import Errand, run_errand
from graders.expect import Expect
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
RETURN_SECONDS = 240.0
"""Until the controller answers after its restart: ws itself may know people before, from what it kept."""
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


@check("CP09-S5.b", causes=("CP09-S2.d",), nodes=("ws", "dc"), seconds=400)
def check_right(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Sur ws, les personnes désignées lancent la commande par sudo.

    Chacune essaie vraiment, avec son mot de passe du domaine.
    """
    let_everybody_in(bench, probe, RULED)
    seen = effects_on_ws(bench, login, {RULED_COMMAND: RULED}, deadline)
    for who in RULED:
        name = person(bench, who).login
        expect.equal(f"{name} : releve-materiel", GRANTED, seen.of(name, RULED_COMMAND))


@check("CP09-S5.j", causes=("CP09-S2.d",), needs=("CP09-S5.b",), nodes=("ws", "dc"), seconds=600)
def check_nothing_else(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Sur ws, le droit ne va pas plus loin : mot de passe demandé, cette commande seule, personne d'autre.

    Chacun essaie vraiment, avec son mot de passe du domaine : la commande, la commande sans mot de passe, une autre, un
    programme placé à côté le temps de l'essai.
    """
    let_everybody_in(bench, probe, EVERYBODY)
    tried = {RULED_COMMAND: OTHERS, WITHOUT_PASSWORD: RULED, OTHER_COMMAND: EVERYBODY, NEIGHBOUR: RULED}
    labels = {
        RULED_COMMAND: "releve-materiel",
        WITHOUT_PASSWORD: "releve-materiel sans mot de passe",
        OTHER_COMMAND: "une autre commande",
        NEIGHBOUR: "un autre programme du même dossier",
    }
    seen = effects_on_ws(bench, login, tried, deadline)
    for kind, people in tried.items():
        for who in people:
            name = person(bench, who).login
            expect.equal(f"{name} : {labels[kind]}", REFUSED, seen.of(name, kind))


@check("CP09-S5.e", causes=("CP09-S2.d",), nodes=("ws", "dc"), seconds=420)
def check_message(bench: Bench, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le message de l'agence s'affiche à l'ouverture d'une session sur la console de ws, et non avant ; il vient d'une
    stratégie.

    Le contrôle ouvre une session de la commerciale, comme à la console, et lit ce qui s'affiche ; il lit aussi ce que
    la console affiche avant de demander un nom. Il vide ensuite /etc/motd, fait appliquer de nouveau les stratégies
    et ouvre une autre session.
    """
    label = f"message à l'ouverture de session : « {text(bench, 'message')} »"
    seen = effects_on_ws(bench, login, {}, deadline, greeting=True)
    expect.require(expect.equal(label, GREETED, seen.greeting))
    expect.equal("message donné par une stratégie", GREETED, greeted_again(bench, login, deadline))


@check("CP09-S5.g", nodes=("dc",), seconds=180)
def check_longer_passwords(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Les mots de passe de la direction sont plus longs ; ceux des autres suivent la règle du domaine.

    L'administrateur essaie de donner au compte d'essai de la direction un mot de passe trop court d'un caractère, puis
    un de la longueur exacte, puis un long sans chiffre ni majuscule ; au compte d'essai du commerce, un de la longueur
    du domaine. La règle est donnée au groupe ; elle vaut pour la directrice, et pas pour le technicien ni la
    commerciale.
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
    given = is_given_to_the_group(bench, probe, trial, accounts["direction"])
    expect.equal("règle de la direction donnée à GG_Direction", "oui", "oui" if given else "non")
    for who, asked in {"directrice": str(longer), "technicien": OF_THE_DOMAIN, "commerciale": OF_THE_DOMAIN}.items():
        name = person(bench, who).login
        expect.equal(f"longueur demandée à {name}", asked, length_of(bench, probe, trial, name))


@check("CP09-S5.h", nodes=("dc",), seconds=420)
def check_sooner_lockout(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Un compte de la direction se verrouille plus tôt, pour la durée demandée ; les autres, comme avant.

    La sonde se trompe de mot de passe pour le compte d'essai de la direction, puis pour celui du commerce : celui-ci se
    verrouille au nombre d'essais du domaine, ni avant ni après.
    """
    accounts = trial_accounts(bench, probe, expect)
    for unit, rule in {"direction": "direction", "commerce": "verrou"}.items():
        limit, minutes = number(bench, f"{rule}_essais"), number(bench, f"{rule}_minutes")
        expect_lockout(bench, probe, expect, undo, accounts[unit], limit, minutes)


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
    directory, problem = read_directory(bench, probe, deadline.sooner(RETURN_SECONDS))
    if not problem:
        there = SCRATCH.format(base=text(bench, "base_dn")).lower() in directory.units()
        expect.require(expect.equal("unité Centre, dans Agence", "présente", "présente" if there else "absente"))
    machine = directory.account("ws$")
    if problem or machine is None:
        raise ProbeError(f"the account of ws could not be read: {problem or 'it is not there'}")
    mover = Mover(bench, probe, machine)

    def put_back() -> None:
        mover.back()
        limit = Deadline.after(APPLIED_AGAIN_SECONDS)
        run_errand(login, APPLY_AGAIN, limit)
        seen = waited_for(bench, login, ("assistante",), limit, APPLIED_AGAIN_SECONDS,
                          lambda seen: seen.of(name, RULED_COMMAND) == GRANTED)  # fmt: skip
        if (told := seen.of(name, RULED_COMMAND)) != GRANTED:
            raise ProbeError(f"{name} has not got the command back: {told}")

    undo("place de ws dans l'annuaire, et ses règles", put_back)
    mover.leave()
    restart("ws")
    after = waited_for(bench, login, ("assistante",), deadline, APPLIED_SECONDS,
                       lambda seen: seen.of(name, RULED_COMMAND) == REFUSED)  # fmt: skip
    expect.equal(f"{name} : releve-materiel, ws hors de l'unité", REFUSED, after.of(name, RULED_COMMAND))


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


def let_everybody_in(bench: Bench, probe: ProbeClient, who: Sequence[str]) -> None:
    """Undo the locks that a candidate's own trial of the rules left: somebody who is locked out proves nothing here."""
    trial = Trial(bench, probe, lambda _what, _act: None)
    directory, _ = read_directory(bench, probe)
    for one in who:
        if account := directory.account(person(bench, one).login):
            trial.let_in(account)


def is_given_to_the_group(bench: Bench, probe: ProbeClient, trial: Trial, account: Entry) -> bool:
    """Whether the rule that holds for the account is given (msDS-PSOAppliesTo) to the management's group, or to one
    that has it among its members, and not to people one by one."""
    directory, _ = read_directory(bench, probe)
    rule = first(trial.read(account["dn"], ["msDS-ResultantPSO"]), "msds-resultantpso")
    held = trial.read(rule, ["msDS-PSOAppliesTo"]) if rule else {}
    given = {dn.lower() for dn in held.get("msds-psoappliesto", ())}
    management = str((directory.account("GG_Direction") or {"dn": "absent"})["dn"]).lower()
    groups = [one for one in directory.entries if one["dn"].lower() in given]
    return management in given or any(management in map(str.lower, one.get("member", ())) for one in groups)


def length_of(bench: Bench, probe: ProbeClient, trial: Trial, login: str) -> str:
    """The length that passwords of an account must have, by the rule made for some accounts that holds for it.

    See MS-ADTS 3.1.1.4.5.36 (msDS-ResultantPSO), which only administrators read.
    """
    directory, _ = read_directory(bench, probe)
    account = directory.account(login)
    rule = first(trial.read(account["dn"], ["msDS-ResultantPSO"]), "msds-resultantpso") if account else ""
    found = first(trial.read(rule, ["msDS-MinimumPasswordLength"]), "msds-minimumpasswordlength") if rule else ""
    return found or OF_THE_DOMAIN
