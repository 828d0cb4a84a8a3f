"""CP06-S4 and CP06-D1: administer VLANs; bring a new network into service from end to end."""

from __future__ import annotations

import ipaddress
from typing import Any

from graders import administration, flows, internet
from graders.administration import Side
from graders.check import check
from graders.cp06_tcpip import ospf, pool
from graders.cp06_tcpip.check_dhcp import servers_of
from graders.expect import Expect, converge, show
from graders.flows import Rule
from graders.probe_client import ProbeClient
from graders.vantage import number, page_field, text
from labs.bench import Bench
from labs.deadline import Deadline

GATEWAYS = {"invites": "invites_passerelle", "siege": "siege_rtr"}
"""Leg on a VLAN of the trunk -> the value that is the router's address there."""
INNER = ("tcp/22", "tcp/80", "tcp/445", "udp/53", "icmp")
RULES = (
    Rule("lan", "siege", ("tcp/80", "tcp/443", "icmp"), ("tcp/22", "tcp/53", "tcp/445", "udp/53", "udp/161")),
    Rule("siege", "lan", ("tcp/22", "icmp"), ("tcp/80", "tcp/445", "udp/161")),
    Rule("invites", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53", "icmp"), ("tcp/22", "tcp/25", "udp/161")),
    Rule("invites", "lan", (), INNER),
    Rule("invites", "siege", (), INNER),
    Rule("lan", "invites", (), INNER),
    Rule("lan", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53", "icmp"), ("tcp/25", "udp/161")),
)
HOSTS = {"lan": "lan_controle", "siege": "siege_hote", "invites": "invites_controle"}
UNTRANSLATED = {
    "lan-siege-tcp/80": ("adresse source d'un flux du LAN, vue du siège", "lan_controle"),
    "siege-lan-tcp/22": ("adresse source d'un flux du siège, vue du LAN", "siege_hote"),
}
SIDES = (
    Side("lan", "lan_passerelle", "lan_controle"),
    Side("invites", "invites_passerelle", "invites_controle"),
    Side("invites", "lan_passerelle"),
    Side("invites", "wan_rtr"),
    Side("siege", "siege_rtr", "siege_pair"),
    Side("wan", "wan_rtr", "wan_fournisseur"),
)
LEASE: dict[str, Any] = {"count": 1, "window": 16.0, "linger": 9.0}
FIXED = ("invites_passerelle", "invites_controle")


def _start_vlan(bench: Bench, probe: ProbeClient) -> None:
    for leg, addresses in _asked(bench).items():
        probe.prefetch("arp.who_has", leg, addresses=addresses)
    for leg, name in GATEWAYS.items():
        probe.prefetch("icmp.ping", leg, address=text(bench, name))


def _start_guest(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "invites", **LEASE)
    probe.prefetch("dhcp.discover", "invites", timeout=40, after=LEASE, **_crowd(bench))


@check("CP06-S4.a", nodes=("rtr",), early=_start_vlan)
def check_vlan(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Chaque VLAN du lien agrégé mène à rtr, et les VLAN restent séparés.

    Dans le VLAN des invités et dans celui du siège, rtr, et lui seul, répond pour son adresse, et au ping. Les trames
    d'un VLAN n'atteignent pas les machines d'un autre réseau. Le VLAN qui n'est pas utilisé reste muet.
    """
    seen = {leg: probe.call("arp.who_has", leg, addresses=asked) for leg, asked in _asked(bench).items()}
    for leg, name in GATEWAYS.items():
        address = text(bench, name)
        label = f"machines qui répondent pour {address} dans le VLAN {number(bench, f'vlan_{leg}')}"
        expect.equal(label, 1, len(seen[leg][address]))
        # A Linux router answers ARP for any of its addresses on any of its cards: the way back tells the right one.
        received = probe.call("icmp.ping", leg, address=address)["received"]
        label = f"ping de {address} depuis le VLAN {number(bench, f'vlan_{leg}')}"
        expect.equal(label, "répond", "répond" if received else "ne répond pas")
    for leg in GATEWAYS:
        for zone, neighbour in _neighbours(bench, leg).items():
            label = f"machine du réseau {flows.NAMES[zone]} joignable par diffusion depuis le réseau {flows.NAMES[leg]}"
            expect.equal(label, "non", "oui" if seen[leg][neighbour] else "non")
    unused = sorted(address for address, macs in seen["libre"].items() if macs)
    label = f"adresses de rtr qui répondent dans le VLAN {number(bench, 'vlan_libre')}, non utilisé"
    expect.unseen(label, unused, "aucune")


@check("CP06-S4.b", causes=("CP06-S4.a", "CP06-S5.b"), nodes=("rtr",), seconds=180)
def check_flows_between_vlans(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre le LAN, les invités, le siège et Internet, seuls les flux prévus passent.

    La sonde essaie chaque flux entre ses propres machines : ceux du tableau aboutissent, réponse comprise et sans
    traduction entre le LAN et le siège ; d'autres n'arrivent pas. rtr ne s'administre que depuis le LAN et n'offre
    rien d'autre que le ping. Ce que le LAN pouvait faire avant, il le peut encore.
    """
    ospf.settle(bench, probe, ospf.NEIGHBOUR_SECONDS)
    for row in [*_passages(bench, probe), *administration.observe(bench, probe, SIDES)]:
        expect.equal(*row)


@check("CP06-S4.c", needs=("CP06-S4.b",), nodes=("rtr",), phase="reboot", seconds=240)
def check_flows_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le filtrage entre les réseaux est le même après un redémarrage.

    La sonde essaie une seconde fois chaque flux du tableau, ce qui ne doit pas passer, et l'administration de rtr.
    """
    ospf.settle(bench, probe, 2 * ospf.NEIGHBOUR_SECONDS)
    rows = converge(
        patience,
        lambda: [*_passages(bench, probe), *administration.observe(bench, probe, SIDES, sweep=False)],
        lambda rows: all(expected == observed for _, expected, observed in rows),
    )
    for row in rows:
        expect.equal(*row)


@check("CP06-D1.a", causes=("CP06-S4.a",), nodes=("rtr",), early=_start_guest, seconds=120)
def check_guest_network(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le réseau des invités rend le service prévu, de bout en bout.

    Une machine qui s'y branche reçoit une configuration complète, d'un seul serveur ; d'autres demandent les adresses
    du bout et du dehors de la plage. La première résout un nom d'Internet auprès du serveur du fournisseur et ouvre un
    site, qui la voit sous l'adresse publique de l'agence.
    """
    internet.require(bench, probe)
    offers = probe.call("dhcp.discover", "invites", **LEASE)
    expect.require(expect.true("offre chez les invités", "au moins une", str(len(offers)), bool(offers)))
    others = servers_of(offers)[1:]
    expect.require(expect.unseen("serveurs DHCP qui répondent aux invités, après le premier", others))
    _expect_offer(bench, expect, offers[0])
    for row in pool.observe(bench, probe, "invites", "invites_plage", _crowd(bench)):
        expect.equal(*row)
    for row in _internet(bench, probe, "live"):
        expect.equal(*row)


@check("CP06-D1.b", needs=("CP06-D1.a",), nodes=("rtr",), phase="reboot", seconds=120)
def check_guest_network_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le réseau des invités rend encore ce service après un redémarrage.

    Une machine y reçoit une adresse, et ouvre un site d'Internet par son nom.
    """
    internet.require(bench, probe)
    offers = converge(patience, lambda: probe.call("dhcp.discover", "invites", **LEASE), bool)
    expect.require(expect.true("offre chez les invités", "au moins une", str(len(offers)), bool(offers)))
    _expect_offer(bench, expect, offers[0])
    rows = converge(patience, lambda: _internet(bench, probe, "reboot"), lambda rows: all(a == b for _, a, b in rows))
    for row in rows:
        expect.equal(*row)


def _asked(bench: Bench) -> dict[str, list[str]]:
    """Leg -> the addresses that are asked for there by ARP."""
    own = [text(bench, name) for name in ("lan_passerelle", *GATEWAYS.values())]
    asked = {leg: [text(bench, name), *_neighbours(bench, leg).values()] for leg, name in GATEWAYS.items()}
    return {**asked, "libre": own}


def _neighbours(bench: Bench, leg: str) -> dict[str, str]:
    """Zone -> the probe's host there, for the zones that a broadcast in `leg` must not reach."""
    hosts = {"lan": "lan_controle", "invites": "invites_controle", "siege": "siege_pair"}
    return {zone: text(bench, name) for zone, name in hosts.items() if zone != leg}


def _crowd(bench: Bench) -> dict[str, Any]:
    return pool.crowd(bench, "invites", "invites_plage", FIXED)


def _passages(bench: Bench, probe: ProbeClient) -> list[tuple[str, str, str]]:
    """Label, expected and observed of every flow between two networks."""
    hosts = {zone: text(bench, name) for zone, name in HOSTS.items()}
    chosen = flows.flows(bench, RULES)
    seen = probe.call("flow.matrix", timeout=30, **flows.request(bench, chosen, hosts))
    wanted = {flow: (label, text(bench, name)) for flow, (label, name) in UNTRANSLATED.items()}
    entering = flows.from_internet(bench, hosts, INNER)
    entered = probe.call("inject.send", **entering)
    left = probe.call("inject.send", **_from_siege(bench))
    return [
        *flows.compare(chosen, seen),
        *flows.sources(seen, wanted),
        *flows.compare_closed(entering, entered),
        *((shot, "refusé", "passe" if left[shot]["arrived"] else "refusé") for shot in left),
    ]


def _from_siege(bench: Bench) -> dict[str, Any]:
    """Frames put on rtr's card: the head office's own router has no route here for such packets."""
    shots = []
    for zone, address, services in (
        ("wan", flows.internet_host(bench), ("tcp/22", "tcp/80", "icmp")),
        ("invites", text(bench, "invites_controle"), (*INNER, f"tcp/{flows.drawn_port(bench)}")),
    ):
        for service in services:
            protocol, _, port = service.partition("/")
            label = f"siège vers {flows.NAMES[zone]}, {flows.called(service)}"
            shots.append({"id": label, "protocol": protocol, "source": text(bench, "siege_hote"), "address": address,
                          "port": int(port or 0)})  # fmt: skip
    card = {"via": text(bench, "siege_rtr"), "mac": bench.node("rtr").mac("siege")}
    return {"origin": "siege", **card, "shots": shots, "watch": ["wan", "invites"]}


def _expect_offer(bench: Bench, expect: Expect, offer: dict[str, Any]) -> None:
    network = ipaddress.IPv4Network(text(bench, "invites"))
    first, last = text(bench, "invites_plage_debut"), text(bench, "invites_plage_fin")
    inside = ipaddress.IPv4Address(first) <= ipaddress.IPv4Address(offer["address"]) <= ipaddress.IPv4Address(last)
    expect.true("adresse offerte aux invités", f"entre {first} et {last}", offer["address"], inside)
    expect.equal("masque (option 1)", str(network.netmask), offer["mask"])
    expect.equal("passerelle (option 3)", [text(bench, "invites_passerelle")], offer["routers"])
    expect.equal("serveur DNS (option 6)", [text(bench, "internet_dns")], offer["dns"])
    expect.equal("durée du bail en secondes (option 51)", number(bench, "bail_secondes"), offer["lease"])


def _internet(bench: Bench, probe: ProbeClient, purpose: str) -> list[tuple[str, str, str]]:
    """Label, expected and observed: a name and a page of the Internet, from the guests."""
    name = f"{probe.nonce(f'guest {purpose}')}.{text(bench, 'internet_zone')}"
    asked = [[name, "A"]]
    answer = probe.call(
        "dns.query", "invites", server=text(bench, "internet_dns"), questions=asked, recursion=True, window=6.0
    )[0]
    found = [record["data"] for record in answer["answers"] if record["type"] == "A"] if answer["answered"] else []
    page = probe.call("http.get", "invites", url=f"http://{text(bench, 'internet_web')}/{probe.nonce(purpose)}")
    return [
        (f"{name}, demandé au serveur du fournisseur", text(bench, "internet_web"), show(found)),
        ("adresse vue par un site web d'Internet", text(bench, "wan_rtr"), page_field(page, "client")),
    ]
