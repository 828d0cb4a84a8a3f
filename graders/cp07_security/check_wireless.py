"""CP07-S6: keep wireless connections secure."""

from __future__ import annotations

import ipaddress
from typing import Any

from graders import flows, internet, wireless
from graders.check import check
from graders.expect import Expect, converge
from graders.flows import Rule
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import page_field, text
from graders.wireless import Undo
from labs.bench import Bench
from labs.deadline import Deadline

OUT = ("tcp/53", "tcp/80", "tcp/443", "udp/53", "icmp")
INNER = ("tcp/22", "tcp/80", "tcp/445", "udp/53", "icmp")
STAFF = (
    Rule("personnel", "lan", ("tcp/80", "tcp/445", "icmp"), (), drawn=False),
    Rule("personnel", "wan", OUT, ("tcp/25", "udp/161")),
)
PLACES = {"invites": "les invités", "wan": "Internet"}
GUESTS = (
    Rule("invites", "wan", OUT, ("tcp/25", "udp/161")),
    Rule("invites", "lan", (), INNER),
    Rule("lan", "invites", (), INNER),
)


@check("CP07-S6.a", nodes=("ap",), seconds=420)
def check_staff_network(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Avec la clé du sujet, et elle seule, un terminal rejoint le réseau sans fil du personnel et le LAN.

    Un terminal de la sonde s'associe par la radio, reçoit une adresse du LAN et y atteint une autre machine, et un
    second terminal ; il sort sur Internet comme le LAN, d'où rien n'administre ap. Avec une autre clé, ou sans clé, il
    est refusé.
    """
    internet.require(bench, probe)
    seen = wireless.join(bench, probe, "personnel", undo)
    wireless.expect_join(expect, "personnel", seen)
    address = seen["offers"][0]["address"]
    network = text(bench, "lan")
    inside = ipaddress.IPv4Address(address) in ipaddress.IPv4Network(network)
    expect.true("adresse reçue par la radio", f"du LAN, {network}", address, inside)
    for row in _reached(bench, probe, STAFF, {"lan": text(bench, "lan_controle"), "personnel": address}):
        expect.equal(*row)
    for row in _administration(bench, probe, "wan", ("wan_ap",)):
        expect.equal(*row)
    beside = wireless.join(bench, probe, "personnel", undo, leg="invites")
    wireless.expect_join(expect, "personnel", beside)
    other = beside["offers"][0]["address"]
    _require_two(address, other)
    met = probe.call("icmp.ping", "personnel", address=other)["received"]
    label = "un terminal du personnel, vu par un autre terminal du personnel"
    expect.equal(label, "joignable", "joignable" if met else "injoignable")
    probe.call("wifi.leave", timeout=20, radio="invites")
    expect.equal(*wireless.refuse(bench, probe, "personnel", probe.nonce("wrong key"), "autre clé"))
    expect.equal(*wireless.refuse(bench, probe, "personnel", None, "sans clé"))


@check("CP07-S6.b", nodes=("ap",), seconds=360)
def check_guest_network(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Les invités n'ont qu'Internet : ni le LAN, ni l'administration de ap, ni les autres invités.

    Deux terminaux de la sonde rejoignent le réseau des invités avec sa clé ; le premier reçoit l'adresse, le masque, la
    passerelle et le serveur DNS du sujet, ouvre un site d'Internet, n'atteint ni le LAN ni le second, qui répond
    pourtant à la passerelle ; avec une autre clé, il est refusé.
    """
    internet.require(bench, probe)
    seen = wireless.join(bench, probe, "invites", undo)
    wireless.expect_join(expect, "invites", seen)
    address = seen["offers"][0]["address"]
    expect.true("adresse reçue par un invité", *_in_the_pool(bench, address))
    for wish, given in _beyond(bench, probe, seen["mac"]).items():
        for one in given:
            expect.true(f"adresse offerte à un invité qui demande {wish}", *_in_the_pool(bench, one))
    for option in wireless.guest_lease(bench, seen["offers"][0]):
        expect.equal(*option)
    page = probe.call("http.get", "invites", url=f"http://{text(bench, 'internet_web')}/{probe.nonce('guest')}")
    expect.equal("adresse vue par un site web d'Internet", text(bench, "wan_ap"), page_field(page, "client"))
    hosts = {"lan": text(bench, "lan_controle"), "invites": address}
    for row in _reached(bench, probe, GUESTS, hosts):
        expect.equal(*row)
    for row in _administration(bench, probe, "invites", ("invites_passerelle", "lan_passerelle", "wan_ap")):
        expect.equal(*row)
    beside = wireless.join(bench, probe, "invites", undo, leg="personnel")
    wireless.expect_join(expect, "invites", beside)
    other = beside["offers"][0]["address"]
    expect.true("adresse reçue par l'autre invité", *_in_the_pool(bench, other))
    _require_two(address, other)
    for row in _neighbours(bench, probe, other):
        expect.equal(*row)
    probe.call("wifi.leave", timeout=20, radio="personnel")
    expect.equal(*wireless.refuse(bench, probe, "invites", probe.nonce("wrong key"), "autre clé"))


@check("CP07-S6.c", nodes=("ap",), seconds=60)
def check_security(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les deux réseaux sont annoncés avec la protection demandée, et rien d'autre n'est dans l'air.

    La sonde lit les balises : WPA2 ou WPA3, chiffrement AES (CCMP) seul, ni WPA d'origine, ni TKIP, ni WPS ; trames
    de gestion protégées sur le réseau du personnel ; canal du sujet ; aucun autre réseau.
    """
    names = {wireless.ssid(bench, who): who for who in wireless.NETWORKS}
    heard = wireless.in_the_air(probe)
    if not names.keys() <= {one["ssid"] for one in heard}:
        heard = wireless.in_the_air(probe, reuse=False)
    for name, who in names.items():
        found = [one for one in heard if one["ssid"] == name]
        expect.require(expect.equal(f"réseau {name}", "annoncé", "annoncé" if found else "non entendu"))
        for row in wireless.protections(bench, who, found):
            expect.equal(*row)
    others = sorted({one["ssid"] or f"(nom caché, {one['bssid']})" for one in heard if one["ssid"] not in names})
    expect.unseen("autres réseaux dans l'air", others)


@check("CP07-S6.d", needs=("CP07-S6.a", "CP07-S6.b"), nodes=("ap",), phase="reboot", seconds=420)
def check_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo, patience: Deadline) -> None:
    """Les deux réseaux sans fil rendent le même service après un redémarrage.

    Un terminal de la sonde rejoint chacun d'eux ; l'un atteint le LAN, l'autre Internet et pas le LAN, avec le masque,
    la passerelle et le serveur DNS du sujet.
    """
    for who in wireless.NETWORKS:
        converge(patience, lambda who=who: wireless.announced(bench, probe, who, reuse=False), bool)  # type: ignore[misc]
    staff = wireless.join(bench, probe, "personnel", undo)
    wireless.expect_join(expect, "personnel", staff)
    guest = wireless.join(bench, probe, "invites", undo)
    wireless.expect_join(expect, "invites", guest)
    for option in wireless.guest_lease(bench, guest["offers"][0]):
        expect.equal(*option)
    hosts = {"lan": text(bench, "lan_controle"), "personnel": staff["offers"][0]["address"],
             "invites": guest["offers"][0]["address"]}  # fmt: skip
    for row in _reached(bench, probe, (*STAFF, *GUESTS), hosts):
        expect.equal(*row)


def _reached(
    bench: Bench, probe: ProbeClient, rules: tuple[Rule, ...], hosts: dict[str, str]
) -> list[tuple[str, str, str]]:
    """Label, expected and observed of each flow."""
    chosen = flows.flows(bench, rules)
    return flows.compare(chosen, probe.call("flow.matrix", timeout=45, **flows.request(bench, chosen, hosts)))


def _require_two(address: str, other: str) -> None:
    """Raises ProbeError when both devices got one address: a server may keep nothing for who was only offered it."""
    if other == address:
        raise ProbeError(f"both devices were offered {address}: whether they reach each other cannot be seen")


def _in_the_pool(bench: Bench, address: str) -> tuple[str, str, bool]:
    """Expected, observed and verdict of an address given to a guest."""
    first, last = text(bench, "invites_plage_debut"), text(bench, "invites_plage_fin")
    inside = ipaddress.IPv4Address(first) <= ipaddress.IPv4Address(address) <= ipaddress.IPv4Address(last)
    return f"entre {first} et {last}", address, inside


def _beyond(bench: Bench, probe: ProbeClient, mac: str) -> dict[str, list[str]]:
    """What is offered to a guest who asks for the address before the pool, and for the one after it.

    A server grants what is its to give (RFC 2131, 4.3.1). A station speaks by its own MAC address only.
    """
    first, last = text(bench, "invites_plage_debut"), text(bench, "invites_plage_fin")
    wishes = [str(ipaddress.IPv4Address(first) - 1), str(ipaddress.IPv4Address(last) + 1)]
    return {
        wish: [
            offer["address"]
            for offer in probe.call("dhcp.discover", "invites", timeout=20, macs=[mac], requested=[wish])
        ]
        for wish in wishes
    }


def _administration(bench: Bench, probe: ProbeClient, leg: str, names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """No door of the access point is open to this leg, at none of these addresses (values)."""
    rows = []
    for name in names:
        address = text(bench, name)
        states = probe.call("tcp.connect", leg, address=address, ports=[22, 80, 443], window=4.0)
        open_ports = [port for port, state in states.items() if state == "open"]
        rows.append((f"administration de ap depuis {PLACES[leg]}, {address}", "fermée",
                     f"ouverte (TCP {', '.join(open_ports)})" if open_ports else "fermée"))  # fmt: skip
    return rows


def _neighbours(bench: Bench, probe: ProbeClient, other: str) -> list[tuple[str, str, str]]:
    """Two guests: both reach the gateway, and not each other."""
    gateway = text(bench, "invites_passerelle")
    rows: list[tuple[str, str, str]] = []
    seen: dict[str, Any] = probe.call("arp.who_has", "invites", addresses=[gateway, other])
    back = probe.call("arp.who_has", "personnel", addresses=[gateway])
    for place, answers in (("un invité", seen), ("l'autre invité", back)):
        rows.append((f"passerelle, vue par {place}", "répond", "répond" if answers[gateway] else "ne répond pas"))
    ping = probe.call("icmp.ping", "invites", address=other)
    reached = bool(seen[other]) or bool(ping["received"])
    rows.append(("un invité, vu par un autre invité", "injoignable", "joignable" if reached else "injoignable"))
    return rows
