"""CP09-S1, with a second controller: it serves the domain as the first one does, and both tell the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from graders.agency import LEG, person, ticket
from graders.check import check
from graders.cp09_directory.check_controller import SERVICES, STATES, act, data, in_words
from graders.cp09_directory.check_sysvol import expect_copy
from graders.cp09_directory.pair import ADDRESSES, NEW, OLD, Pair, other
from graders.cp09_directory.trial import Undo
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

SITE = "Default-First-Site-Name._sites"
"""Of every domain that nobody gave another one."""
OF_THE_SITE = {f"_ldap._tcp.{SITE}": 389, f"_kerberos._tcp.{SITE}": 88, f"_ldap._tcp.{SITE}.dc._msdcs": 389}
ANSWER_SECONDS, REPLICATION_SECONDS = 30.0, 60.0
WARM_SECONDS = 300.0
"""After a join that is minutes old, copies take that long to begin where Samba's own programs are slow and it gives up
on them (`samba_kcc`, 40 s): not the candidate's doing."""
START_SECONDS = 240.0
"""How long after a restart of all machines at once replication may take to be there: Samba asks for what it missed when
it starts, and once more every five minutes when the other one did not answer then."""
CREATED, CHANGED, GONE = "créé", "modifié", "rien"


@check("CP09-S1.g", nodes=("dc", "dc2"), seconds=120)
def check_records(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les deux contrôleurs répondent au DNS, et leurs réponses mènent aux deux.

    La sonde demande à chacun, pour le domaine et pour le site, les enregistrements SRV des services (LDAP, Kerberos,
    catalogue global) : dc et dc2 y figurent. Chacun des deux noms a pour seule adresse celle de l'agence.
    """
    domain = text(bench, "domaine")
    for server in ADDRESSES:
        answers = probe.call("dns.query", LEG, **names(bench, server))
        for answer, controller in zip(answers, ADDRESSES, strict=False):
            expect.equal(f"{controller}.{domain} A, selon {server}", [text(bench, ADDRESSES[controller])],
                         data(answer, "A") if answer["answered"] else "pas de réponse")  # fmt: skip
        for answer, (name, port) in zip(answers[len(ADDRESSES) :], (SERVICES | OF_THE_SITE).items(), strict=True):
            wanted = sorted(f"{port} {controller}.{domain}" for controller in ADDRESSES)
            found = sorted({" ".join(one.lower().rstrip(".").split()[2:]) for one in data(answer, "SRV")})
            expect.true(f"{name}.{domain} SRV, selon {server}", show(wanted), show(found), set(wanted) <= set(found))


@check("CP09-S1.h", causes=("CP09-S1.g",), nodes=("dc2",), seconds=240)
def check_services(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline) -> None:
    """dc2 sert le domaine : tickets Kerberos, annuaire en LDAPS, partages SYSVOL et NETLOGON.

    Tout est demandé à dc2 seul. Une personne de l'agence obtient un ticket avec son mot de passe et seulement avec lui,
    puis un ticket pour les fichiers de dc2 ; elle lit SYSVOL et NETLOGON, et n'y écrit pas.
    """
    pair = Pair(bench, probe)
    expect_root(expect, pair, NEW, deadline.sooner(ANSWER_SECONDS))
    expect_ticket(expect, bench, probe, NEW)
    bad = probe.call("kerberos.obtain", LEG, timeout=50, **{
        **ticket(bench, person(bench, "technicien").login, probe.nonce("mauvais mot de passe, dc2")),
        "address": pair.address(NEW),
    })  # fmt: skip
    expect.equal("avec un mauvais mot de passe", STATES["wrong password"], in_words(bad))
    expect_shares(expect, pair, NEW)


@check("CP09-S1.c", causes=("CP09-S1.g", "CP09-S1.h"), nodes=("dc", "dc2"), seconds=900)
def check_replication(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline, undo: Undo) -> None:
    """Ce qui est créé, modifié ou supprimé sur un contrôleur l'est sur l'autre en moins d'une minute.

    La sonde crée un objet sur chaque contrôleur, dans l'unité du centre, et l'attend sur l'autre ; elle l'y modifie, et
    attend la modification au retour ; elle l'y supprime enfin, et attend qu'il disparaisse du premier.
    """
    pair = Pair(bench, probe)
    for name in ADDRESSES:
        expect_root(expect, pair, name, deadline.sooner(ANSWER_SECONDS))
    warm_up(pair, undo, deadline.sooner(WARM_SECONDS))
    replicate(expect, pair, undo, lambda: deadline.sooner(REPLICATION_SECONDS), "en moins d'une minute")


@check(
    "CP09-S1.j",
    needs=("CP09-S1.c", "CP09-S1.h"),
    causes=("CP09-S1.i",),
    nodes=("dc", "dc2"),
    phase="reboot",
    seconds=1500,
)
def check_second_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline, undo: Undo) -> None:
    """Après un redémarrage, dc2 sert encore le domaine et les deux contrôleurs se répliquent, sans intervention.

    Toutes les machines ont redémarré ensemble. La sonde obtient un ticket de dc2, y lit SYSVOL, et refait l'essai de
    réplication dans les deux sens ; un fichier déposé dans NETLOGON de dc2 arrive encore sur dc en deux minutes.
    """
    pair = Pair(bench, probe)
    asked = good(bench, NEW)
    told = converge(deadline.sooner(START_SECONDS), lambda: probe.call("kerberos.obtain", LEG, timeout=50, **asked),
                    lambda seen: seen["state"] == "granted", interval=3.0)  # fmt: skip
    expect.require(expect.equal("ticket de dc2 après le redémarrage", STATES["granted"], in_words(told)))
    who, domain = person(bench, "commerciale").login, text(bench, "domaine")
    acts = [[who, "list", f"sysvol/{domain}", ""], [who, "list", "netlogon", ""]]
    seen = converge(deadline.sooner(60.0), lambda: [act(one) for one in pair.files(NEW, acts)],
                    lambda found: found == ["accordée"] * 2, interval=3.0)  # fmt: skip
    expect.equal("lecture de SYSVOL et de NETLOGON sur dc2", ["accordée"] * 2, seen)
    for name in ADDRESSES:
        expect_root(expect, pair, name, deadline.sooner(60.0))
    replicate(expect, pair, undo, lambda: deadline.sooner(START_SECONDS), "après le redémarrage")
    expect_copy(pair, expect, deadline, undo)


def warm_up(pair: Pair, undo: Undo, deadline: Deadline) -> None:
    """Wait until an object of each controller is on the other one; nothing is judged, the trial itself comes after."""
    objects = {name: pair.scratch(f"objet d'attente de {name}") for name in ADDRESSES}
    for name, dn in objects.items():
        undo(f"objet d'attente créé sur {name}", partial(pair.forget, dn))
        pair.add(name, dn, {"objectClass": "contact", "description": CREATED})
    for name, dn in objects.items():
        converge(deadline, partial(pair.described, other(name), dn), lambda found: found == CREATED, interval=3.0)


def replicate(expect: Expect, pair: Pair, undo: Undo, moment: Callable[[], Deadline], within: str) -> None:
    """An object of each controller lives and dies on the other; `moment` gives the deadline of each wait."""
    objects = {name: pair.scratch(f"objet de {name}, {within}") for name in ADDRESSES}
    for name, dn in objects.items():
        undo(f"objet d'essai créé sur {name}", partial(pair.forget, dn))
        told = pair.add(name, dn, {"objectClass": "contact", "description": CREATED})
        expect.require(expect.equal(f"création d'un objet sur {name}", "accepté", pair.answer(told)))

    def expect_all(what: str, wanted: str, where: dict[str, str]) -> None:
        for name, dn in objects.items():
            look = partial(pair.described, where[name], dn)
            seen = converge(moment(), look, lambda found: found == wanted, interval=2.0)
            expect.equal(f"objet {what}, vu de {where[name]} {within}", wanted, seen)
        expect.require(expect.comparisons[-1].ok and expect.comparisons[-2].ok)

    away, home = {name: other(name) for name in objects}, {name: name for name in objects}
    expect_all("créé sur l'autre contrôleur", CREATED, away)
    for name, dn in objects.items():
        told = pair.change(away[name], dn, {"description": CHANGED})
        expect.require(expect.equal(f"modification de cet objet sur {away[name]}", "accepté", pair.answer(told)))
    expect_all("modifié sur l'autre contrôleur", CHANGED, home)
    for name, dn in objects.items():
        told = pair.delete(away[name], dn)
        expect.require(expect.equal(f"suppression de cet objet sur {away[name]}", "accepté", pair.answer(told)))
    expect_all("supprimé sur l'autre contrôleur", GONE, home)


def expect_root(expect: Expect, pair: Pair, name: str, deadline: Deadline) -> None:
    """The controller answers in LDAPS with the domain's naming context, else the check ends.

    It may be a moment before it does: its cable may just have been put back by another check.
    """
    told = converge(deadline, lambda: pair.root(name), lambda seen: seen["code"] == 0, interval=2.0)
    entry = told["entries"][0] if told["entries"] else {}
    named = (entry.get("defaultnamingcontext") or [f"pas de réponse ({told['reason']})"])[0]
    wanted = text(pair.bench, "base_dn")
    expect.require(expect.true(f"racine de l'annuaire de {name}, en LDAPS", wanted, named,
                               named.lower() == wanted.lower()))  # fmt: skip


def expect_ticket(expect: Expect, bench: Bench, probe: ProbeClient, name: str) -> None:
    """Somebody of the branch gets a ticket of that controller, then one for its files."""
    asked = good(bench, name)
    told = probe.call("kerberos.obtain", LEG, timeout=50, **asked)
    label = f"ticket de {name} pour {asked['user']}"
    expect.require(expect.true(label, STATES["granted"], in_words(told), told["state"] == "granted"))
    service = asked["services"][0]
    refusal = told["services"][service]
    expect.true(f"ticket pour le service {service}", "obtenu", refusal or "obtenu", not refusal)


def expect_shares(expect: Expect, pair: Pair, name: str) -> None:
    """The people of the domain read the system's shares there, and do not write to them."""
    who, domain = person(pair.bench, "commerciale").login, text(pair.bench, "domaine")
    mine = f"{pair.probe.nonce(f'partages de {name}')}.txt"
    written = [f"sysvol/{domain}/{mine}", f"netlogon/{mine}"]
    acts = [[who, "list", "sysvol", ""], [who, "list", "netlogon", ""]]
    acts += [[who, "write", path, "essai"] for path in written] + [[who, "delete", path, ""] for path in written]
    sysvol, netlogon, *refused = pair.files(name, acts)[:4]
    names_there = sysvol["text"].lower().split()
    seen = show(names_there) if sysvol["state"] == "granted" else act(sysvol)
    expect.true(f"dossiers de SYSVOL sur {name}", domain, seen, domain.lower() in names_there)
    expect.equal(f"lecture de NETLOGON sur {name}", "accordée", act(netlogon))
    for share, told in zip(("SYSVOL", "NETLOGON"), refused, strict=True):
        expect.equal(f"écriture dans {share} de {name}", "refusée", act(told))


def good(bench: Bench, name: str) -> dict[str, Any]:
    """Parameters of kerberos.obtain: somebody of the branch, with the password of the subject, at that controller."""
    who = ticket(bench, person(bench, "commerciale").login, text(bench, "mdp_agence"))
    return {**who, "address": text(bench, ADDRESSES[name]), "services": [f"cifs/{name}.{text(bench, 'domaine')}"]}


def names(bench: Bench, server: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """Parameters of dns.query: the addresses of both (and of `more` names), then the records of their services."""
    domain = text(bench, "domaine")
    questions = [[f"{name}.{domain}", "A"] for name in (OLD, NEW, *more)]
    questions += [[f"{name}.{domain}", "SRV"] for name in SERVICES | OF_THE_SITE]
    return {"server": text(bench, ADDRESSES[server]), "questions": questions, "recursion": True, "window": 10}
