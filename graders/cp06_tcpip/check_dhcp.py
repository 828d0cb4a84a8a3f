"""CP06-S1: configure, test and repair DHCP. DISCOVER only: the probe never takes a lease."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from graders.check import check
from graders.cp06_tcpip import pool
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

ONE: dict[str, Any] = {"count": 1, "window": 16.0, "linger": 9.0}
"""Servers look for three seconds whether somebody has the address already, and hear nobody meanwhile (dnsmasq(8),
no-ping): what asks for more addresses comes after it, or a second server would be too busy to be seen."""
QUICK: dict[str, Any] = {"count": 1, "window": 9.0, "linger": 1.0}
SILENCE: dict[str, Any] = {"count": 2, "window": 9.0, "linger": 9.0}
FIXED = ("lan_passerelle", "lan_poste", "lan_imprimante", "lan_controle")


def _start_one(_bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "lan", **ONE)
    probe.prefetch("dhcp.discover", "serveurs", **SILENCE)


def _start_crowd(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "lan", timeout=40, after=ONE, **_crowd(bench))
    probe.prefetch("dhcp.discover", "lan", after=ONE, **_printer(bench))


def _start_relay(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "lan", after=ONE, **QUICK)
    probe.prefetch("dhcp.relayed", **_relayed(bench))


@check("CP06-S1.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), early=_start_one)
def check_one_server(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le LAN reçoit par DHCP une configuration complète, d'un seul serveur.

    Une machine inconnue du LAN reçoit une offre : adresse de la plage, masque, passerelle, serveur DNS, domaine et
    durée du bail demandés. Le réseau des serveurs ne reçoit aucune offre.
    """
    offers = probe.call("dhcp.discover", "lan", **ONE)
    _expect_one_server(offers, expect)
    offer = offers[0]
    lan = ipaddress.IPv4Network(text(bench, "lan"))
    inside = ipaddress.IPv4Address(offer["address"]) in lan
    expect.true("adresse offerte", f"dans {lan}", offer["address"], inside)
    expect.equal("masque (option 1)", str(lan.netmask), offer["mask"])
    expect.equal("passerelle (option 3)", [text(bench, "lan_passerelle")], offer["routers"])
    expect.equal("serveur DNS (option 6)", [text(bench, "serveurs_srv")], offer["dns"])
    expect.equal("domaine (option 15)", text(bench, "domaine"), offer["domain"].lower().removesuffix("."))
    expect.equal("durée du bail en secondes (option 51)", number(bench, "bail_secondes"), offer["lease"])
    elsewhere = probe.call("dhcp.discover", "serveurs", **SILENCE)
    expect.unseen("serveurs DHCP qui répondent sur le réseau des serveurs", servers_of(elsewhere))


@check("CP06-S1.b", causes=("CP06-S1.a",), nodes=("rtr", "srv"), early=_start_crowd, seconds=120)
def check_pool(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """La plage DHCP est celle du plan, et respecte les adresses réservées.

    Des machines inconnues, qui demandent chacune une adresse hors de la plage, en reçoivent une de la plage, jamais une
    adresse fixe ; parmi d'autres, qui en demandent les premières et les dernières adresses, une au moins à chaque bout
    obtient la sienne ; l'imprimante reçoit toujours la même.
    """
    for row in pool.observe(bench, probe, "lan", "lan_plage", _crowd(bench)):
        expect.equal(*row)
    printer = probe.call("dhcp.discover", "lan", **_printer(bench))
    addresses = {offer["address"] for offer in printer}
    expect.same_set("adresse offerte à l'imprimante", [text(bench, "lan_imprimante")], addresses)


@check("CP06-S1.c", causes=("CP06-S1.a",), nodes=("rtr", "srv"), early=_start_relay)
def check_relay(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les demandes DHCP du LAN passent par le relais de rtr, jusqu'à srv.

    L'offre est remise par la carte LAN de rtr et porte l'adresse du relais. Que le serveur est bien srv se voit à
    l'adresse du serveur dans l'offre, ou bien à ceci : srv répond à une demande relayée que la sonde lui adresse, et
    rtr remet la réponse sur le LAN.
    """
    relay, srv = text(bench, "lan_passerelle"), text(bench, "serveurs_srv")
    offers = probe.call("dhcp.discover", "lan", **QUICK)
    expect.require(expect.true("offre sur le LAN", "au moins une", str(len(offers)), bool(offers)))
    card = bench.node("rtr").mac("lan")
    expect.contains("carte qui remet l'offre (carte LAN de rtr)", card, [offer["frame_source"] for offer in offers])
    delivered = [offer for offer in offers if offer["frame_source"] == card]
    expect.contains("adresse du relais dans l'offre (giaddr)", relay, [offer["relay"] for offer in delivered])
    through = probe.call("dhcp.relayed", **_relayed(bench))["offers"]
    names = [offer["server"] for offer in delivered]
    proved = srv in names or bool(through)
    expect.true("serveur qui fait l'offre", srv, srv if proved else show(names), proved)


@check("CP06-S1.d", needs=("CP06-S1.a",), nodes=("rtr", "srv"), phase="reboot", seconds=120)
def check_dhcp_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le LAN reçoit encore une configuration par DHCP après un redémarrage.

    Serveur et relais démarrent seuls avec leurs machines, et nul autre ne répond.
    """
    offers = converge(patience, lambda: probe.call("dhcp.discover", "lan", **ONE), bool)
    _expect_one_server(offers, expect)
    relay = text(bench, "lan_passerelle")
    expect.contains("adresse du relais dans l'offre (giaddr)", relay, [offer["relay"] for offer in offers])
    expect.equal("passerelle (option 3)", [text(bench, "lan_passerelle")], offers[0]["routers"])
    expect.equal("serveur DNS (option 6)", [text(bench, "serveurs_srv")], offers[0]["dns"])


def servers_of(offers: Sequence[dict[str, Any]]) -> list[str]:
    """Who made offers: the server's address, and the card that sent them."""
    return sorted({f"{offer['server']} ({offer['frame_source']})" for offer in offers})


def _expect_one_server(offers: Sequence[dict[str, Any]], expect: Expect) -> None:
    servers = servers_of(offers)
    expect.require(expect.true("offre sur le LAN", "au moins une", str(len(offers)), bool(offers)))
    expect.require(expect.unseen("serveurs DHCP qui répondent sur le LAN, après le premier", servers[1:]))


def _crowd(bench: Bench) -> dict[str, Any]:
    return pool.crowd(bench, "lan", "lan_plage", FIXED)


def _relayed(bench: Bench) -> dict[str, Any]:
    ends = {"server": text(bench, "serveurs_srv"), "relay": text(bench, "lan_passerelle")}
    return {"server_leg": "serveurs", "client_leg": "lan", **ends}


def _printer(bench: Bench) -> dict[str, Any]:
    return {"macs": [text(bench, "imprimante_mac")], "window": 9.0, "linger": 1.0}
