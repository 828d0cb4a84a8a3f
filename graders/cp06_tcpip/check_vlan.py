"""CP06-S4 and CP06-D1: administer VLANs; bring a new network into service from end to end."""

from __future__ import annotations

import ipaddress
from typing import Any

from graders import flows
from graders.check import check
from graders.cp06_tcpip import ospf
from graders.expect import Expect, converge, show
from graders.flows import Rule
from graders.probe_client import ProbeClient
from graders.vantage import number, page_field, text
from labs.bench import Bench
from labs.deadline import Deadline

GATEWAYS = {"invites": "invites_passerelle", "siege": "siege_rtr"}
"""Leg on a VLAN of the trunk -> the value that is the router's address there."""
INNER = ("tcp/22", "tcp/80", "tcp/445", "udp/53")
RULES = (
    Rule("lan", "siege", ("tcp/80", "tcp/443"), ("tcp/22", "tcp/445", "udp/161")),
    Rule("siege", "lan", ("tcp/22",), ("tcp/80", "tcp/445", "udp/161")),
    Rule("invites", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/22", "tcp/25", "udp/161")),
    Rule("invites", "lan", (), INNER),
    Rule("invites", "siege", (), INNER),
    Rule("lan", "invites", (), INNER),
    Rule("siege", "invites", (), INNER),
    Rule("lan", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/25", "udp/161")),
)
HOSTS = {"lan": "lan_controle", "siege": "siege_hote", "invites": "invites_controle"}
ADMINISTERED = (("lan", "lan_passerelle"), ("invites", "invites_passerelle"), ("invites", "lan_passerelle"),
                ("invites", "wan_rtr"), ("siege", "siege_rtr"), ("wan", "wan_rtr"))  # fmt: skip
"""Legs that try to administer rtr, at which of its addresses: a guest may know any of them. Only the LAN may."""
LEASE: dict[str, Any] = {"count": 1, "window": 9.0, "linger": 2.0}
SSH = 22


def _start_vlan(bench: Bench, probe: ProbeClient) -> None:
    for leg, addresses in _asked(bench).items():
        probe.prefetch("arp.who_has", leg, addresses=addresses)


def _start_guest(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "invites", **LEASE)


@check("CP06-S4.a", nodes=("rtr",), early=_start_vlan)
def check_vlan(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Chaque VLAN du lien agrégé mène à rtr, et les VLAN restent séparés.

    Dans le VLAN des invités et dans celui du siège, rtr, et lui seul, répond pour son adresse. Les trames d'un VLAN
    n'atteignent pas les machines d'un autre réseau. Le VLAN qui n'est pas utilisé reste muet.
    """
    seen = {leg: probe.call("arp.who_has", leg, addresses=asked) for leg, asked in _asked(bench).items()}
    for leg, name in GATEWAYS.items():
        address = text(bench, name)
        label = f"machines qui répondent pour {address} dans le VLAN {number(bench, f'vlan_{leg}')}"
        expect.equal(label, 1, len(seen[leg][address]))
    for leg in GATEWAYS:
        for zone, neighbour in _neighbours(bench, leg).items():
            label = f"machine du réseau {flows.NAMES[zone]} joignable par diffusion depuis le réseau {flows.NAMES[leg]}"
            expect.equal(label, "non", "oui" if seen[leg][neighbour] else "non")
    unused = sorted(address for address, macs in seen["libre"].items() if macs)
    label = f"adresses de rtr qui répondent dans le VLAN {number(bench, 'vlan_libre')}, non utilisé"
    expect.none(label, unused, "aucune")


@check("CP06-S4.b", needs=("CP06-S4.a",), causes=("CP06-S5.b",), nodes=("rtr",), seconds=150)
def check_flows_between_vlans(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre le LAN, les invités, le siège et Internet, seuls les flux prévus passent.

    La sonde essaie chaque flux entre ses propres machines : ceux du tableau aboutissent, réponse comprise ; d'autres
    n'arrivent pas. rtr ne s'administre que depuis le LAN. Ce que le LAN pouvait faire avant, il le peut encore.
    """
    ospf.settle(bench, probe, ospf.NEIGHBOUR_SECONDS)
    seen = probe.call("flow.matrix", timeout=30, **_matrix(bench))
    for row in flows.compare(flows.flows(bench, RULES), seen):
        expect.equal(*row)
    for leg, name in ADMINISTERED:
        probe.prefetch("tcp.connect", leg, address=text(bench, name), ports=[SSH])
    for leg, name in ADMINISTERED:
        address = text(bench, name)
        state = probe.call("tcp.connect", leg, address=address, ports=[SSH])[str(SSH)]
        wanted = "passe" if leg == "lan" else "refusé"
        expect.equal(f"{flows.NAMES[leg]} vers {address}, TCP {SSH}", wanted, "passe" if state == "open" else "refusé")


@check("CP06-D1.a", needs=("CP06-S4.a",), nodes=("rtr",), early=_start_guest)
def check_guest_network(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le réseau des invités rend le service prévu, de bout en bout.

    Une machine qui s'y branche reçoit une configuration complète, d'un seul serveur ; elle résout un nom d'Internet
    auprès du serveur du fournisseur et ouvre un site, qui la voit sous l'adresse publique de l'agence.
    """
    offers = probe.call("dhcp.discover", "invites", **LEASE)
    servers = sorted({f"{offer['server']} ({offer['frame_source']})" for offer in offers})
    expect.require(expect.equal("serveurs DHCP qui répondent aux invités", 1, len(servers)))
    _expect_offer(bench, expect, offers[0])
    for row in _internet(bench, probe, "live"):
        expect.equal(*row)


@check("CP06-D1.b", needs=("CP06-D1.a",), nodes=("rtr",), phase="reboot", seconds=120)
def check_guest_network_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le réseau des invités rend encore ce service après un redémarrage.

    Une machine y reçoit une adresse, et ouvre un site d'Internet par son nom.
    """
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


def _matrix(bench: Bench) -> dict[str, Any]:
    hosts = {zone: text(bench, name) for zone, name in HOSTS.items()}
    return flows.request(bench, flows.flows(bench, RULES), hosts)


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
