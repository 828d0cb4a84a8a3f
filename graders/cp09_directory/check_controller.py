"""CP09-S1: install and watch a domain controller."""

from __future__ import annotations

import calendar
import time
from typing import Any

from graders.agency import LEG, READERS, first, person, reader, ticket
from graders.check import check
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

CLOCK_SECONDS = 5.0
REGISTERED_SECONDS = 60.0
"""A controller that starts registers its addresses by itself; Samba's program is given 20 s for it."""
SERVICES = {"_ldap._tcp": 389, "_kerberos._tcp": 88, "_kerberos._udp": 88, "_gc._tcp": 3268,
            "_ldap._tcp.dc._msdcs": 389}  # fmt: skip
STATES = {"granted": "ticket obtenu", "wrong password": "mot de passe refusé", "unknown": "compte inconnu",
          "revoked": "compte désactivé ou verrouillé", "expired": "mot de passe expiré", "skew": "horloge décalée",
          "unreachable": "pas de réponse"}  # fmt: skip
TURNED_AWAY = {"wrong password", "unknown", "revoked", "expired"}
"""States that are about one account, not about the service."""


def in_words(told: dict[str, Any]) -> str:
    """What kerberos.obtain saw, as the candidate reads it."""
    return STATES.get(told["state"], told["reason"] or "autre réponse")


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dns.query", LEG, **_names(bench))
    probe.prefetch("ldap.search", LEG, timeout=30, **_root(bench))
    probe.prefetch("kerberos.obtain", LEG, timeout=50, **_good(bench))
    probe.prefetch("kerberos.obtain", LEG, timeout=50, **_bad(bench, probe))
    probe.prefetch("smb.use", LEG, timeout=50, **_system_shares(bench, probe, READERS[0]))


@check("CP09-S1.a", nodes=("dc",), early=_start)
def check_domain(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """dc sert le domaine : enregistrements DNS, annuaire chiffré, horloge.

    La sonde demande à dc les enregistrements qui mènent à ses services, puis la racine de l'annuaire en LDAPS. L'heure
    que l'annuaire donne est celle de la sonde, à cinq secondes près.
    """
    dc = f"dc.{text(bench, 'domaine')}"
    answers = probe.call("dns.query", LEG, **_names(bench))
    expect.equal(f"{dc} A", [text(bench, "lan_dc")], data(answers[0], "A"))
    for answer, (name, port) in zip(answers[1:], SERVICES.items(), strict=True):
        wanted = f"{port} {dc}"
        found = [" ".join(one.lower().split()[2:]) for one in data(answer, "SRV")]
        expect.true(f"{name}.{text(bench, 'domaine')} SRV", wanted, show(found), wanted in found)
    told = probe.call("ldap.search", LEG, timeout=30, **_root(bench))
    root = told["entries"][0] if told["entries"] else {"dn": ""}
    named = first(root, "defaultnamingcontext") or f"pas de réponse ({told['reason']})"
    same = named.lower() == text(bench, "base_dn").lower()
    expect.require(expect.true("racine de l'annuaire, en LDAPS", text(bench, "base_dn"), named, same))
    offset = clock_offset(first(root, "currenttime"), told["before"], told["after"])
    shown = "inconnue" if offset is None else f"{offset:.0f} s d'écart"
    expect.true("horloge de dc", f"{CLOCK_SECONDS:g} s d'écart au plus", shown,
                offset is not None and offset <= CLOCK_SECONDS)  # fmt: skip


@check("CP09-S1.d", causes=("CP09-S1.a",), nodes=("dc",), seconds=120)
def check_tickets(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Une personne de l'agence obtient un ticket Kerberos avec son mot de passe, et seulement avec lui.

    Avec son mot de passe, la sonde obtient un ticket, puis un autre pour les fichiers de dc. Avec un mauvais mot de
    passe, elle n'obtient rien.
    """
    good = probe.call("kerberos.obtain", LEG, timeout=50, **_good(bench))
    label = f"ticket pour {person(bench, 'commerciale').login}"
    expect.require(expect.true(label, STATES["granted"], in_words(good), good["state"] == "granted"))
    service = _good(bench)["services"][0]
    refusal = good["services"][service]
    expect.true(f"ticket pour le service {service}", "obtenu", refusal or "obtenu", not refusal)
    bad = probe.call("kerberos.obtain", LEG, timeout=50, **_bad(bench, probe))
    expect.equal("avec un mauvais mot de passe", STATES["wrong password"], in_words(bad))


@check("CP09-S1.e", causes=("CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=120)
def check_system_shares(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les partages SYSVOL et NETLOGON de dc sont lus par les personnes du domaine, qui n'y écrivent pas.

    Une personne de l'agence liste les deux partages et les stratégies du domaine ; elle essaie d'y déposer un fichier.
    """
    told = probe.call("smb.use", LEG, timeout=50, **_system_shares(bench, probe, reader(bench, probe)))
    sysvol, policies, netlogon, written, written_too = told[:5]
    names = sysvol["text"].lower().split()
    seen = show(names) if sysvol["state"] == "granted" else act(sysvol)
    expect.true("dossiers de SYSVOL", text(bench, "domaine"), seen, text(bench, "domaine").lower() in names)
    both = "deux stratégies au moins"
    expect.true("stratégies dans SYSVOL", both, policies["text"] or act(policies), policies["text"].count("{") > 1)
    expect.equal("lecture de NETLOGON", "accordée", act(netlogon))
    expect.equal("écriture dans SYSVOL", "refusée", act(written))
    expect.equal("écriture dans NETLOGON", "refusée", act(written_too))


@check("CP09-S1.f", needs=("CP09-S1.a",), causes=("CP09-S1.d",), nodes=("dc",), phase="reboot", seconds=300)
def check_controller_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Après un redémarrage, dc sert encore le domaine, seul et sans intervention.

    La sonde obtient à nouveau un ticket Kerberos, et le DNS mène encore à l'annuaire : à la seule adresse de dc,
    quand il a inscrit les siennes.
    """
    told = converge(patience, lambda: _anybody(bench, probe), lambda seen: seen["state"] == "granted", interval=3.0)
    expect.equal("ticket après le redémarrage", STATES["granted"], in_words(told))
    dc = f"dc.{text(bench, 'domaine')}"
    wanted = f"389 {dc}"

    def ask() -> list[str]:
        answers = probe.call("dns.query", LEG, **_names(bench))
        return [" ".join(one.lower().split()[2:]) for one in data(answers[1], "SRV")]

    found = converge(patience, ask, lambda seen: wanted in seen, interval=2.0)
    expect.true(f"_ldap._tcp.{text(bench, 'domaine')} SRV", wanted, show(found), wanted in found)
    right = [text(bench, "lan_dc")]
    for _ in Deadline.after(REGISTERED_SECONDS).ticks(5.0):
        addresses = data(probe.call("dns.query", LEG, **_names(bench))[0], "A")
        if addresses != right:
            break
    expect.equal(f"{dc} A, une minute plus tard", right, addresses)


def clock_offset(told: str, before: float, after: float) -> float | None:
    """Seconds between a directory's currentTime (GeneralizedTime, whole seconds) and the moment it was asked.

    >>> clock_offset("19700101000110.0Z", 60.2, 60.9)
    9.1
    """
    try:
        moment = calendar.timegm(time.strptime(told[:14], "%Y%m%d%H%M%S"))
    except ValueError:
        return None
    return round(max(0.0, before - (moment + 1), moment - after), 3)


def _names(bench: Bench) -> dict[str, Any]:
    domain = text(bench, "domaine")
    questions = [[f"dc.{domain}", "A"], *([f"{name}.{domain}", "SRV"] for name in SERVICES)]
    return {"server": text(bench, "lan_dc"), "questions": questions, "recursion": True, "window": 10}


def _root(bench: Bench) -> dict[str, Any]:
    return {"address": text(bench, "lan_dc"), "base": "", "scope": "base",
            "attributes": ["defaultNamingContext", "currentTime"]}  # fmt: skip


def _good(bench: Bench) -> dict[str, Any]:
    who = person(bench, "commerciale").login
    return {**ticket(bench, who, text(bench, "mdp_agence")), "services": [f"cifs/dc.{text(bench, 'domaine')}"]}


def _anybody(bench: Bench, probe: ProbeClient) -> dict[str, Any]:
    """A ticket for the first of the branch who gets in."""
    for who in READERS:
        asked = ticket(bench, person(bench, who).login, text(bench, "mdp_agence"))
        told = probe.call("kerberos.obtain", LEG, timeout=50, **asked)
        if told["state"] not in TURNED_AWAY:
            break
    return dict(told)


def _bad(bench: Bench, probe: ProbeClient) -> dict[str, Any]:
    return ticket(bench, person(bench, "commerciale").login, probe.nonce("wrong password"))


def _system_shares(bench: Bench, probe: ProbeClient, reading: str) -> dict[str, Any]:
    who, domain = person(bench, reading).login, text(bench, "domaine")
    name = f"{probe.nonce('system shares')}.txt"
    acts = [
        [who, "list", "sysvol", ""],
        [who, "list", f"sysvol/{domain}/Policies", ""],
        [who, "list", "netlogon", ""],
        [who, "write", f"sysvol/{domain}/{name}", "essai"],
        [who, "write", f"netlogon/{name}", "essai"],
        [who, "delete", f"sysvol/{domain}/{name}", ""],
        [who, "delete", f"netlogon/{name}", ""],
    ]
    return {"address": text(bench, "lan_dc"), "domain": text(bench, "netbios"),
            "people": {who: text(bench, "mdp_agence")}, "acts": acts}  # fmt: skip


def act(told: dict[str, str]) -> str:
    """What smb.use saw of one act, as the candidate reads it."""
    return {"granted": "accordée", "refused": "refusée", "logon refused": "refusée"}.get(told["state"], told["state"])


def data(answer: dict[str, Any], rdtype: str) -> list[str]:
    """The records of one type in an answer of dns.query."""
    return sorted(record["data"] for record in answer.get("answers", []) if record["type"] == rdtype)
