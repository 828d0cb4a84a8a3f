"""CP09-D1 and CP09-S4: the new controller holds alone, and the workstation finds the one that is left."""

from __future__ import annotations

from collections.abc import Callable

from graders.agency import LEG, Directory, first, person, search
from graders.cables import Cables
from graders.check import check
from graders.cp09_directory.check_controller import SERVICES, act, data
from graders.cp09_directory.check_member import ACCOUNT, expect_session
from graders.cp09_directory.check_second import ANSWER_SECONDS, OF_THE_SITE, expect_root, expect_ticket, names
from graders.cp09_directory.pair import ADDRESSES, NEW, OLD, Pair, other
from graders.cp09_directory.trial import TICKETS, Trial, Undo, trial_account
from graders.devices import Windows
from graders.expect import Expect, converge, show
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from graders.workstation import Session, Workstation, workstation_of
from labs.bench import Bench
from labs.deadline import Deadline

Asked = Callable[[str], Windows]
ROLES = {
    "maître de schéma": "CN=Schema,CN=Configuration,{base}",
    "maître de nommage de domaine": "CN=Partitions,CN=Configuration,{base}",
    "émulateur PDC": "{base}",
    "maître RID": "CN=RID Manager$,CN=System,{base}",
    "maître d'infrastructure": "CN=Infrastructure,{base}",
    "maître de la zone DNS du domaine": "CN=Infrastructure,DC=DomainDnsZones,{base}",
    "maître de la zone DNS de la forêt": "CN=Infrastructure,DC=ForestDnsZones,{base}",
}
"""Role -> the object whose fSMORoleOwner names its holder (MS-ADTS 3.1.1.1.11)."""
FAILOVER_SECONDS = 420.0
"""How long a workstation may take to open a session with the controller that is left: winbind believes for 300 s that a
controller, or an account that was asked for at the wrong moment, is not there (smb.conf(5), winbind cache time)."""
RESOLUTION_SECONDS = 45.0
OF_FILES = "getent -s files ahostsv4 %s | awk '{print $1}' | sort -u"
"""Addresses that ws knows without asking anybody: written down there, a name leads somewhere without any controller."""
LOOKUP = "timeout 20 getent ahostsv4 %s | awk '{print $1}' | sort -u"
ZONE = {"intranet": "lan_intranet", "messagerie": "lan_courrier"}
"""Names of the branch's services in the zone -> the value with their address. Each lives for five seconds only."""
LATE = {"problem": "ni ouverte ni refusée à temps"}


@check("CP09-D1.b", causes=("CP09-S1.c", "CP09-S1.h"), nodes=("dc", "dc2"), seconds=240)
def check_roles(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """dc2 détient les cinq rôles de maître d'opérations et ceux des deux zones DNS, selon les deux contrôleurs.

    L'administrateur lit, sur chaque contrôleur, qui détient chaque rôle.
    """
    pair = Pair(bench, probe)
    for name in ADDRESSES:
        for role, place in ROLES.items():
            entry, problem = pair.read(name, place.format(base=text(bench, "base_dn")), "fSMORoleOwner")
            holder = holder_of(first(entry, "fsmoroleowner"))
            expect.equal(f"{role}, selon {name}", NEW, problem or holder)


@check("CP09-S4.c", causes=("CP09-S1.g", "CP09-S1.h", "CP09-S1.c"), nodes=("ws", "dc", "dc2"), seconds=240)
def check_resolution(bench: Bench, login: Login, expect: Expect, cables: Cables, deadline: Deadline) -> None:
    """ws trouve les noms du domaine quel que soit le contrôleur qui manque.

    Le câble d'un contrôleur est débranché : ws cherche l'adresse d'un service de l'agence, comme ses programmes le
    font. Puis celui de l'autre contrôleur, et un autre service.
    """
    for name, service in zip((NEW, OLD), ZONE, strict=True):
        wanted = [text(bench, ZONE[service])]
        cables.pull(name, "lan")
        found = look_up(login, f"{service}.{text(bench, 'domaine')}", wanted, deadline.sooner(RESOLUTION_SECONDS))
        cables.plug(name, "lan")
        expect.equal(f"{service}.{text(bench, 'domaine')}, cherché par ws sans {name}", wanted, found)
        written = login("ws").run(OF_FILES, f"{service}.{text(bench, 'domaine')}").stdout.split()
        expect.none(f"adresse de {service} écrite dans les fichiers de ws", written, "aucune")


@check("CP09-S4.d", needs=("CP09-S1.c", "CP09-S4.c"), nodes=("ws", "dc", "dc2"), seconds=900)
def check_session_on_first(
    bench: Bench, probe: ProbeClient, login: Login, windows: Asked, expect: Expect, cables: Cables, deadline: Deadline,
    undo: Undo
) -> None:  # fmt: skip
    """Sans dc2, une personne du domaine ouvre encore une session sur ws.

    Le câble de dc2 est débranché. La sonde donne par dc un mot de passe jamais utilisé au compte d'essai de Commerce :
    la session s'ouvre sur ws avec lui, et ne s'ouvre pas avec l'ancien.
    """
    cables.pull(NEW, "lan")
    session_without(NEW, bench, probe, workstation_of(bench, login, windows), expect, deadline, undo)


@check(
    "CP09-D1.a",
    causes=("CP09-S1.g", "CP09-S1.h", "CP09-S1.c", "CP09-S1.i", "CP09-S4.c"),
    nodes=("ws", "dc", "dc2"),
    seconds=900,
)
def check_relief(
    bench: Bench, probe: ProbeClient, login: Login, windows: Asked, expect: Expect, cables: Cables, deadline: Deadline,
    undo: Undo
) -> None:  # fmt: skip
    """Sans dc, tout continue : tickets, DNS, annuaire, SYSVOL de dc2, et sessions sur ws.

    Le câble de dc est débranché. La sonde demande à dc2 un ticket, les enregistrements du domaine, les noms des
    services de l'agence, l'annuaire en LDAPS et les fichiers de SYSVOL ; elle donne par lui un mot de passe jamais
    utilisé au compte d'essai de Commerce, avec lequel une session s'ouvre sur ws. Le câble est remis à la fin.
    """
    pair = Pair(bench, probe)
    cables.pull(OLD, "lan")
    expect_root(expect, pair, NEW, deadline.sooner(ANSWER_SECONDS))
    expect_ticket(expect, bench, probe, NEW)
    domain, who = text(bench, "domaine"), person(bench, "commerciale").login
    answers = probe.call("dns.query", LEG, **names(bench, NEW, tuple(ZONE)))[len(ADDRESSES) :]
    for (name, value), answer in zip(ZONE.items(), answers, strict=False):
        expect.equal(f"{name}.{domain} A, selon dc2", [text(bench, value)], data(answer, "A"))
    for answer, (name, port) in zip(answers[len(ZONE) :], (SERVICES | OF_THE_SITE).items(), strict=True):
        wanted = f"{port} {NEW}.{domain}"
        found = [" ".join(one.lower().rstrip(".").split()[2:]) for one in data(answer, "SRV")]
        expect.true(f"{name}.{domain} SRV, selon dc2", wanted, show(found), wanted in found)
    read = pair.files(
        NEW, [[who, "read", "netlogon/ouverture.cmd", ""], [who, "tree", f"sysvol/{domain}/Policies", ""]]
    )
    script, word = read[0], text(bench, "jeton_script")
    expect.true("script d'ouverture de session lu sur dc2", word, script["text"] or act(script), word in script["text"])
    expect.equal("lecture des stratégies sur dc2", "accordée", act(read[1]))
    session_without(OLD, bench, probe, workstation_of(bench, login, windows), expect, deadline, undo)


def session_without(
    cut: str, bench: Bench, probe: ProbeClient, station: Workstation, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """A session on ws with a password that the controller which is left has just been given."""
    left = other(cut)
    trial = Trial(bench, probe, undo, ADDRESSES[left])
    told = search(bench, probe, address=text(bench, ADDRESSES[left]))
    account = trial_account(Directory(told["entries"]), "commerce")
    expect.require(expect.true(f"compte {ACCOUNT}, selon {left}", "présent", "présent" if account else
                               told["reason"] or "absent", account is not None))  # fmt: skip
    assert account is not None
    new, usual = trial.new_password(f"session sans {cut}"), text(bench, "mdp_essai")
    answer = trial.answer(trial.give(account, new))
    expect.require(expect.equal(f"réinitialisation de {ACCOUNT} par {left}", "acceptée", answer))
    expect.equal(f"ticket de {left} avec ce mot de passe", TICKETS["granted"], trial.ticket(ACCOUNT, new))
    opened = converge(deadline.sooner(FAILOVER_SECONDS), lambda: session(station, new, deadline),
                      lambda seen: "numéro" in seen, interval=5.0)  # fmt: skip
    expect_session(expect, opened)
    expect.equal("compte ou numéro connu de ws sans le domaine", "rien", show(station.strangers(account, opened)))
    refused = station.sessions(ACCOUNT, [usual], deadline)[0]
    expect.equal("session avec l'ancien mot de passe", "refusée", "ouverte" if "numéro" in refused else "refusée")


def session(station: Workstation, password: str, deadline: Deadline) -> Session:
    """What became of a session; LATE when it was neither opened nor refused: the workstation looks for a controller."""
    try:
        return station.sessions(ACCOUNT, [password], deadline)[0]
    except ProbeError:
        return LATE


def look_up(login: Login, name: str, wanted: list[str], deadline: Deadline) -> list[str]:
    """Addresses of a name as programs of ws find them; asked again until they are those that are wanted."""
    return converge(deadline, lambda: list(login("ws").run(LOOKUP, name).stdout.split()), lambda seen: seen == wanted,
                    interval=3.0)  # fmt: skip


def holder_of(dn: str) -> str:
    """The controller that an fSMORoleOwner names, in small letters.

    >>> holder_of("CN=NTDS Settings,CN=DC2,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=a")
    'dc2'
    """
    parts = dn.split(",")
    settings = parts[0].lower() == "cn=ntds settings" and len(parts) > 1
    return parts[1].partition("=")[2].lower() if settings else dn or "personne"
