"""CP09-S2: manage the directory's objects."""

from __future__ import annotations

from graders.agency import (
    DISABLED,
    DOMAIN_LOCAL,
    GLOBAL,
    LEG,
    NEVER_EXPIRES,
    SECURITY,
    TEAMS,
    UNITS,
    Entry,
    Person,
    bind_name,
    everything,
    first,
    flags,
    parent,
    people,
    person,
    read_directory,
    search,
    ticket,
)
from graders.check import check
from graders.cp09_directory.check_controller import STATES, in_words
from graders.cp09_directory.trial import TICKETS, Trial, Undo
from graders.expect import Expect, show
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench

NEVER = -(2**63)
"""Of maxPwdAge, like 0: no age at all."""
GLOBAL_GROUPS = ("GG_Direction", "GG_Technique", "GG_Commerce", "GG_Assistance", "GG_Agence")


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("ldap.search", LEG, timeout=30, **everything(bench))
    leaver = person(bench, "partant")
    probe.prefetch("kerberos.obtain", LEG, timeout=50, **ticket(bench, leaver.login, text(bench, "mdp_agence")))


@check("CP09-S2.a", causes=("CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=120, early=_start)
def check_people(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Les unités d'organisation et les comptes de l'agence sont dans l'annuaire, à leur place.

    Une personne de l'agence lit l'annuaire en LDAPS : arborescence, comptes du tableau (prénom et nom avec leurs
    accents, nom de connexion, unité d'organisation), aucun mot de passe qui n'expire jamais, ni par le compte ni par la
    règle du domaine. Les comptes d'essai du centre obtiennent un ticket ; leur verrou est d'abord levé.
    """
    directory, problem = read_directory(bench, probe)
    label = "annuaire lu par une personne de l'agence"
    expect.require(expect.true(label, "oui", problem or "oui", not problem))
    agency = f"ou=agence,{text(bench, 'base_dn')}".lower()
    wanted = [agency, *(f"ou={name.lower()},{agency}" for name in UNITS)]
    missing = [dn for dn in wanted if dn not in directory.units()]
    expect.all_of("unités d'organisation", "toutes", missing, len(wanted))
    for one in people(bench):
        wrong = differences(one, directory.account(one.login), agency, bind_name(bench, one.login))
        expect.true(f"compte {one.login}", "conforme au tableau", show(wrong) if wrong else "conforme au tableau",
                    not wrong)  # fmt: skip
    for login, unit in (("essai.commerce", "Commerce"), ("essai.direction", "Direction")):
        found = parent((directory.account(login) or {"dn": ""})["dn"]).lower()
        expect.true(f"unité du compte {login}", unit, found or "compte absent", found == f"ou={unit.lower()},{agency}")
        exempt = state_of(directory.account(login)) & NEVER_EXPIRES
        expect.equal(f"{login}, « le mot de passe n'expire jamais »", "non", "oui" if exempt else "non")
        if account := directory.account(login):
            trial = Trial(bench, probe, undo)
            trial.let_in(account)
            # Not a simple bind: the one before is accepted there for an hour (Samba, "old password allowed period").
            found = trial.ticket(login, text(bench, "mdp_essai"))
            expect.equal(f"ticket de {login} avec le mot de passe donné", TICKETS["granted"], found)
    age = longest_age(bench, probe)
    expect.true("durée de vie des mots de passe du domaine", "limitée", "limitée" if age else "illimitée", bool(age))


@check("CP09-S2.b", causes=("CP09-S2.a", "CP09-S1.a"), nodes=("dc",))
def check_groups(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les groupes de l'agence ont l'étendue et les membres demandés, par imbrication.

    GG_Agence contient les groupes des trois services et personne en direct ; DL_Commun, de domaine local, contient
    GG_Agence.
    """
    directory, problem = read_directory(bench, probe)
    label = "annuaire lu par une personne de l'agence"
    expect.require(expect.true(label, "oui", problem or "oui", not problem))
    for name in (*GLOBAL_GROUPS, "DL_Commun"):
        found = directory.account(name)
        scope = DOMAIN_LOCAL if name == "DL_Commun" else GLOBAL
        expect.equal(f"étendue de {name}", _scope_name(scope | SECURITY), _scope(found))
        place = parent(found["dn"]).lower() if found else "groupe absent"
        unit = f"ou=groupes,ou=agence,{text(bench, 'base_dn')}".lower()
        expect.true(f"place de {name}", "OU=Groupes", place, place == unit)
        wanted = [one.lower() for one in members(bench, name)]
        expect.same_set(f"membres de {name}", wanted, directory.members(found or {}))


@check("CP09-S2.c", causes=("CP09-S1.d", "CP09-S1.a", "CP09-S2.a"), nodes=("dc",), seconds=120)
def check_leaver(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le compte de la personne partie est conservé, mais ne permet plus d'ouvrir de session.

    Le compte est désactivé dans l'annuaire, et son mot de passe n'obtient plus de ticket.
    """
    directory, problem = read_directory(bench, probe)
    label = "annuaire lu par une personne de l'agence"
    expect.require(expect.true(label, "oui", problem or "oui", not problem))
    leaver = person(bench, "partant")
    account = directory.account(leaver.login)
    state = "absent" if account is None else "désactivé" if state_of(account) & DISABLED else "actif"
    expect.equal(f"compte {leaver.login}", "désactivé", state)
    told = probe.call("kerberos.obtain", LEG, timeout=50, **ticket(bench, leaver.login, text(bench, "mdp_agence")))
    expect.equal(f"ticket demandé par {leaver.login}", STATES["revoked"], in_words(told))


def longest_age(bench: Bench, probe: ProbeClient) -> int:
    """maxPwdAge of the domain in units of 100 ns; 0: passwords never expire (MS-ADTS 3.1.1.4.5.17).

    Raises ProbeError when ordinary people may not read it.
    """
    told = search(bench, probe, scope="base", filter="(objectClass=*)", attributes=["maxPwdAge"])
    value = first(told["entries"][0] if told["entries"] else None, "maxpwdage")
    if not value.lstrip("-").isdigit():
        raise ProbeError(f"maxPwdAge of the domain could not be read: {told['reason'] or value!r}")
    return 0 if int(value) == NEVER else abs(int(value))


def state_of(account: Entry | None) -> int:
    """The bits of userAccountControl.

    Raises ProbeError when the directory hides it, as one does that keeps ordinary people out of the account
    restrictions (Pre-Windows 2000 Compatible Access, emptied): that is neither asked for nor forbidden.
    """
    if account is not None and not first(account, "useraccountcontrol"):
        raise ProbeError(f"userAccountControl of {first(account, 'samaccountname')} is not shown to ordinary people")
    return flags(account, "useraccountcontrol")


def differences(one: Person, account: Entry | None, agency: str, principal: str) -> list[str]:
    """What an account has that the subject's table does not, in words; empty when it is as it should be."""
    if account is None:
        return ["compte absent"]
    wrong = []
    unit = parent(account["dn"]).lower()
    if unit != f"ou={one.unit.lower()},{agency}":
        wrong.append(f"unité {unit}")
    if first(account, "userprincipalname").lower() != principal.lower():
        wrong.append(f"nom de connexion « {first(account, 'userprincipalname')} »")
    if first(account, "givenname") != one.first:
        wrong.append(f"prénom « {first(account, 'givenname')} »")
    if first(account, "sn") != one.last:
        wrong.append(f"nom « {first(account, 'sn')} »")
    if state_of(account) & NEVER_EXPIRES:
        wrong.append("mot de passe qui n'expire jamais")
    return wrong


def members(bench: Bench, group: str) -> list[str]:
    """The direct members that the subject asks for."""
    if group == "GG_Agence":
        return [f"GG_{team}" for team in TEAMS]
    if group == "DL_Commun":
        return ["GG_Agence"]
    return [one.login for one in people(bench) if group in one.groups]


def _scope(group: Entry | None) -> str:
    return "groupe absent" if group is None else _scope_name(flags(group, "grouptype"))


def _scope_name(bits: int) -> str:
    kind = "sécurité" if bits & SECURITY else "distribution"
    scope = {GLOBAL: "globale", DOMAIN_LOCAL: "domaine local"}.get(bits & (GLOBAL | DOMAIN_LOCAL), "universelle")
    return f"{scope}, {kind}"
