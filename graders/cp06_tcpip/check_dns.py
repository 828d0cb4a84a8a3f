"""CP06-S2: configure, test and repair DNS."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from graders.check import check
from graders.expect import Expect, show
from graders.probe_client import ProbeClient
from graders.vantage import neighbour_mac, nonce, text
from labs.bench import Bench

Answer = dict[str, Any]
ZONES = {"lan": "LAN", "serveurs": "réseau des serveurs"}


@check("CP06-S2.a", causes=("CP06-S5.a",), nodes=("srv",))
def check_authority(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """srv fait autorité pour la zone de l'agence et ses deux zones inverses.

    Chaque enregistrement demandé est servi avec l'indicateur d'autorité, au LAN comme au réseau des serveurs.
    """
    srv, wanted = text(bench, "serveurs_srv"), _records(bench)
    questions = [[name, rdtype] for name, rdtype, _ in wanted]
    for leg in ZONES:
        probe.prefetch("dns.query", leg, server=srv, questions=questions, recursion=True)
    probe.prefetch("dns.query", "lan", server=srv, questions=[[text(bench, "domaine"), "SOA"]], transport="tcp")
    for leg, zone in ZONES.items():
        answers = probe.call("dns.query", leg, server=srv, questions=questions, recursion=True)
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
    tcp = probe.call("dns.query", "lan", server=srv, questions=[[text(bench, "domaine"), "SOA"]], transport="tcp")
    expect.equal("réponse en TCP", True, tcp[0]["answered"])


@check("CP06-S2.b", causes=("CP06-S2.a", "CP06-S5.a"), nodes=("srv", "rtr"))
def check_recursion(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """srv résout les noms d'Internet pour l'agence, et pour elle seule.

    Un nom d'Internet jamais demandé est résolu à travers le serveur du fournisseur ; un nom inconnu de l'agence
    n'existe pas ; depuis Internet, aucune résolution n'est offerte.
    """
    srv = text(bench, "serveurs_srv")
    for leg, zone in ZONES.items():
        name = f"{nonce()}.{text(bench, 'internet_zone')}"
        answer = probe.call("dns.query", leg, server=srv, questions=[[name, "A"]], recursion=True, window=6.0)[0]
        shown = show(_data(answer, "A")) if answer["answered"] else "pas de réponse"
        expect.true(
            f"{name}, depuis le {zone}",
            text(bench, "internet_web"),
            shown,
            answer["answered"] and _data(answer, "A") == [text(bench, "internet_web")],
        )
        seen = probe.call("dns.seen", nonce=name, window=1.0)
        expect.true(f"{name} demandé au serveur du fournisseur", "oui", "oui" if seen else "non", bool(seen))
    unknown = f"{nonce()}.{text(bench, 'domaine')}"
    answer = probe.call("dns.query", "lan", server=srv, questions=[[unknown, "A"]], recursion=True)[0]
    expect.equal(f"nom inconnu {unknown}", "NXDOMAIN", answer.get("rcode", "pas de réponse"))
    _expect_closed(bench, probe, expect)


def _expect_closed(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """No recursion for the Internet: neither at the router's address nor at srv's, whatever the firewall lets pass."""
    zone, source = text(bench, "internet_zone"), text(bench, "internet_web")
    by_router, by_server = f"{nonce()}.{zone}", f"{nonce()}.{zone}"
    wan_rtr, srv = text(bench, "wan_rtr"), text(bench, "serveurs_srv")
    shots = [
        {"id": name, "protocol": "udp", "source": source, "address": to, "port": 53, "payload": _wire(name).hex()}
        for name, to in ((by_router, wan_rtr), (by_server, srv))
    ]
    mac = neighbour_mac(bench, probe, "rtr", "wan", wan_rtr)
    results = probe.call("inject.send", origin="wan", via_mac=mac, shots=shots, watch=[])
    for name, to in ((by_router, wan_rtr), (by_server, srv)):
        resolved = [reply for reply in results[name]["replies"] if _answer_count(reply)]
        asked = probe.call("dns.seen", nonce=name, window=0.2)
        observed = "résolution faite" if resolved or asked else "aucune"
        expect.equal(f"résolution offerte à Internet par {to}", "aucune", observed)


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
    ]


def _data(answer: Answer, rdtype: str) -> list[str]:
    return sorted(record["data"] for record in answer.get("answers", []) if record["type"] == rdtype)


def _wire(name: str) -> bytes:
    """A recursive question for an A record, as it goes on the wire."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 0x5150, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\x01\0\x01"


def _answer_count(reply: str) -> int:
    kind, _, data = reply.partition(":")
    return int(data[12:16] or "0", 16) if kind == "udp" else 0
