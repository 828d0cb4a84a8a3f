"""CP06-S2: configure, test and repair DNS."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from graders import internet
from graders.check import check
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient
from graders.vantage import text, toward_router
from labs.bench import Bench
from labs.deadline import Deadline
from labs.variants import render

Answer = dict[str, Any]
ZONES = {"lan": "LAN", "serveurs": "réseau des serveurs"}


def _start_authority(bench: Bench, probe: ProbeClient) -> None:
    for leg in ZONES:
        probe.prefetch("dns.query", leg, **_authority(bench))
    probe.prefetch("dns.query", "lan", **_over_tcp(bench))


def _start_recursion(bench: Bench, probe: ProbeClient) -> None:
    for leg in ZONES:
        probe.prefetch("dns.query", leg, **_recursive(bench, _internet_name(bench, probe, leg)))
    probe.prefetch("dns.query", "lan", **_recursive(bench, _unknown_name(bench, probe)))
    probe.prefetch("inject.send", **_from_internet(bench, probe))
    probe.prefetch("inject.send", **_foreign_neighbour(bench, probe))


@check("CP06-S2.a", causes=("CP06-S5.a",), nodes=("srv",), early=_start_authority)
def check_authority(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """srv fait autorité pour la zone de l'agence et ses deux zones inverses.

    Chaque enregistrement demandé est servi avec l'indicateur d'autorité, au LAN comme au réseau des serveurs.
    """
    wanted = _records(bench)
    for leg, zone in ZONES.items():
        answers = probe.call("dns.query", leg, **_authority(bench))
        answered = [answer for answer in answers if answer["answered"]]
        label = f"questions auxquelles srv répond, depuis le {zone}"
        expect.require(expect.equal(label, len(wanted), len(answered)))
        for (name, rdtype, value), answer in zip(wanted, answers, strict=True):
            found = _data(answer, rdtype)
            ok = value in found if value else bool(found)
            label = f"{name} {rdtype}, depuis le {zone}"
            expect.true(label, value or "un enregistrement", show(found) if found else answer["rcode"], ok)
        plain = [f"{a['name']} {a['type']}" for a in answers if "aa" not in a["flags"]]
        expect.all_of(f"réponses faisant autorité, depuis le {zone}", "toutes", plain, len(answers))
    tcp = probe.call("dns.query", "lan", **_over_tcp(bench))
    answer = tcp[0] if tcp[0]["answered"] else {}
    expect.true("enregistrement SOA de la zone, en TCP", "servi avec l'indicateur d'autorité", _what(answer),
                bool(_data(answer, "SOA")) and "aa" in answer["flags"])  # fmt: skip


@check("CP06-S2.b", causes=("CP06-S2.a", "CP06-S5.a"), nodes=("srv", "rtr"), early=_start_recursion)
def check_recursion(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """srv résout les noms d'Internet pour l'agence, et pour elle seule.

    Un nom d'Internet jamais demandé est résolu à travers le serveur du fournisseur ; un nom inconnu de l'agence
    n'existe pas ; depuis Internet, aucune résolution n'est offerte.
    """
    internet.require(bench, probe)
    web = text(bench, "internet_web")
    for leg, zone in ZONES.items():
        name = _internet_name(bench, probe, leg)
        answer = probe.call("dns.query", leg, **_recursive(bench, name))[0]
        found = _data(answer, "A")
        expect.true(f"{name}, depuis le {zone}", web, show(found) if found else _what(answer), found == [web])
        seen = probe.call("dns.seen", nonce=name, window=0.5)
        expect.true(f"{name} demandé au serveur du fournisseur", "oui", "oui" if seen else "non", bool(seen))
    unknown = _unknown_name(bench, probe)
    answer = probe.call("dns.query", "lan", **_recursive(bench, unknown))[0]
    expect.equal(f"nom inconnu {unknown}", "NXDOMAIN", _what(answer))
    _expect_closed(bench, probe, expect)


@check("CP06-S2.c", causes=("CP06-S2.a",), nodes=("srv",))
def check_transfer(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """srv ne transfère ses zones à personne.

    Une machine quelconque du LAN, puis du réseau des serveurs, demande le transfert de chaque zone (AXFR).
    """
    zones = [text(bench, "domaine"), *_reverse_zones(bench)]
    alive = probe.call("dns.query", "lan", server=text(bench, "serveurs_srv"), questions=[[zones[0], "SOA"]],
                       window=8.0)[0]  # fmt: skip
    expect.require(expect.equal(f"{zones[0]} SOA", "une réponse", "une réponse" if alive["answered"] else "rien"))
    for leg, where in ZONES.items():
        for zone in zones:
            answer = probe.call("dns.transfer", leg, server=text(bench, "serveurs_srv"), zone=zone)
            observed = f"{answer['records']} enregistrement(s)" if answer["records"] else "refusé"
            expect.equal(f"transfert de {zone}, depuis le {where}", "refusé", observed)


@check("CP06-S2.e", needs=("CP06-S2.a",), nodes=("srv",), phase="reboot", seconds=120)
def check_dns_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """srv sert encore la zone de l'agence après un redémarrage.

    Le service démarre seul avec la machine.
    """
    name, wanted = f"srv.{text(bench, 'domaine')}", text(bench, "serveurs_srv")

    def ask() -> list[Answer]:
        return [probe.call("dns.query", leg, **_recursive(bench, name))[0] for leg in ZONES]

    answers = converge(patience, ask, lambda seen: all(_data(answer, "A") == [wanted] for answer in seen))
    for zone, answer in zip(ZONES.values(), answers, strict=True):
        found = _data(answer, "A")
        expect.true(f"{name} A, depuis le {zone}", wanted, show(found) if found else _what(answer), found == [wanted])


def _expect_closed(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """No recursion for the Internet: neither at the router's address nor at srv's, whatever the firewall lets pass."""
    results = probe.call("inject.send", **_from_internet(bench, probe))
    for name, to in _closed_names(bench, probe).items():
        resolved = [reply for reply in results[name]["replies"] if _answer_count(reply)]
        asked = probe.call("dns.seen", nonce=name, window=0.0)
        observed = "résolution faite" if resolved or asked else "aucune"
        expect.equal(f"résolution offerte à Internet par {to}", "aucune", observed)
    probe.call("inject.send", **_foreign_neighbour(bench, probe))
    asked = probe.call("dns.seen", nonce=_foreign_name(bench, probe), window=1.0)
    label = "résolution faite par srv lui-même pour une adresse étrangère à l'agence"
    expect.equal(label, "aucune", "faite" if asked else "aucune")


def _authority(bench: Bench) -> dict[str, Any]:
    questions = [[name, rdtype] for name, rdtype, _ in _records(bench)]
    return {"server": text(bench, "serveurs_srv"), "questions": questions, "recursion": True}


def _over_tcp(bench: Bench) -> dict[str, Any]:
    questions = [[text(bench, "domaine"), "SOA"]]
    return {"server": text(bench, "serveurs_srv"), "questions": questions, "transport": "tcp"}


def _recursive(bench: Bench, name: str) -> dict[str, Any]:
    return {"server": text(bench, "serveurs_srv"), "questions": [[name, "A"]], "recursion": True, "window": 6.0}


def _internet_name(bench: Bench, probe: ProbeClient, purpose: str) -> str:
    return f"{probe.nonce(purpose)}.{text(bench, 'internet_zone')}"


def _unknown_name(bench: Bench, probe: ProbeClient) -> str:
    return f"{probe.nonce('unknown')}.{text(bench, 'domaine')}"


def _closed_names(bench: Bench, probe: ProbeClient) -> dict[str, str]:
    """A name to ask from the Internet -> the address it is asked to."""
    targets = (text(bench, "wan_rtr"), text(bench, "serveurs_srv"))
    return {_internet_name(bench, probe, f"from the Internet to {target}"): target for target in targets}


def _from_internet(bench: Bench, probe: ProbeClient) -> dict[str, Any]:
    shots = [
        {
            "id": name,
            "protocol": "udp",
            "source": text(bench, "internet_web"),
            "address": target,
            "port": 53,
            "payload": _wire(name).hex(),
        }
        for name, target in _closed_names(bench, probe).items()
    ]
    return {**toward_router(bench), "shots": shots, "watch": []}


def _foreign_name(bench: Bench, probe: ProbeClient) -> str:
    return _internet_name(bench, probe, "foreign neighbour")


def _foreign_neighbour(bench: Bench, probe: ProbeClient) -> dict[str, Any]:
    """A question put on srv's own card with an Internet address as its source: no firewall of rtr stands before it.

    The answer leaves through rtr; what tells is whether srv asked the provider.
    """
    source, server = text(bench, "internet_web"), text(bench, "serveurs_srv")
    payload = _wire(_foreign_name(bench, probe)).hex()
    shot = {"id": "foreign", "protocol": "udp", "source": source, "address": server, "port": 53, "payload": payload}
    return {"origin": "serveurs", "via": server, "mac": bench.node("srv").mac("serveurs"), "shots": [shot], "watch": []}


def _what(answer: Answer) -> str:
    return str(answer.get("rcode", "pas de réponse"))


def _records(bench: Bench) -> list[tuple[str, str, str]]:
    """Name, type and value of each record of the subject; an empty value means: any."""
    domain = text(bench, "domaine")
    rtr, srv, ws = f"rtr.{domain}", f"srv.{domain}", f"ws.{domain}"
    names = {"lan_passerelle": rtr, "serveurs_passerelle": rtr, "lan_poste": ws, "serveurs_srv": srv}
    reverse = [(ipaddress.ip_address(text(bench, value)).reverse_pointer, "PTR", name) for value, name in names.items()]
    return [
        (rtr, "A", text(bench, "lan_passerelle")),
        (srv, "A", text(bench, "serveurs_srv")),
        (ws, "A", text(bench, "lan_poste")),
        (f"intranet.{domain}", "CNAME", srv),
        (domain, "MX", f"10 {srv}"),
        (domain, "TXT", f'"{text(bench, "jeton_dns")}"'),
        (domain, "NS", ""),
        (domain, "SOA", ""),
        *reverse,
        *((zone, rdtype, "") for zone in _reverse_zones(bench) for rdtype in ("NS", "SOA")),
    ]


def _reverse_zones(bench: Bench) -> list[str]:
    return [render(f"{{{{ {name} | reverse_zone }}}}", bench.values) for name in ZONES]


def _data(answer: Answer, rdtype: str) -> list[str]:
    return sorted(record["data"] for record in answer.get("answers", []) if record["type"] == rdtype)


def _wire(name: str) -> bytes:
    """A recursive question for an A record, as it goes on the wire."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 0x5150, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\x01\0\x01"


def _answer_count(reply: str) -> int:
    kind, _, data = reply.partition(":")
    return int(data[12:16] or "0", 16) if kind == "udp" else 0
