"""CP06-S1: configure, test and repair DHCP. DISCOVER only: the probe never takes a lease."""

from __future__ import annotations

import ipaddress
from typing import Any

from graders.check import check
from graders.expect import Expect
from graders.probe_client import ProbeClient
from graders.vantage import number, text
from labs.bench import Bench

ONE: dict[str, Any] = {"count": 1, "window": 9.0, "linger": 3.5}
SILENCE: dict[str, Any] = {"count": 2, "window": 6.0, "linger": 6.0}
CROWD: dict[str, Any] = {"count": 20, "window": 28.0, "linger": 1.0}


def _start_one(_bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "lan", **ONE)
    probe.prefetch("dhcp.discover", "serveurs", **SILENCE)


def _start_crowd(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("dhcp.discover", "lan", timeout=40, **CROWD)
    probe.prefetch("dhcp.discover", "lan", **_printer(bench))


@check("CP06-S1.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), early=_start_one)
def check_one_server(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le LAN reçoit par DHCP une configuration complète, d'un seul serveur.

    Une machine inconnue du LAN reçoit une offre : adresse de la plage, masque, passerelle, serveur DNS, domaine et
    durée du bail demandés. Le réseau des serveurs ne reçoit aucune offre.
    """
    offers = probe.call("dhcp.discover", "lan", **ONE)
    servers = sorted({f"{offer['server']} ({offer['frame_source']})" for offer in offers})
    expect.require(expect.equal("serveurs DHCP qui répondent sur le LAN", 1, len(servers)))
    offer = offers[0]
    _expect_in_pool(bench, expect, [offer])
    lan = ipaddress.ip_network(text(bench, "lan"))
    expect.equal("masque (option 1)", str(lan.netmask), offer["mask"])
    expect.equal("passerelle (option 3)", [text(bench, "lan_passerelle")], offer["routers"])
    expect.equal("serveur DNS (option 6)", [text(bench, "serveurs_srv")], offer["dns"])
    expect.equal("domaine (option 15)", text(bench, "domaine"), offer["domain"].lower().removesuffix("."))
    expect.equal("durée du bail en secondes (option 51)", number(bench, "bail_secondes"), offer["lease"])
    elsewhere = probe.call("dhcp.discover", "serveurs", **SILENCE)
    expect.equal("offres reçues sur le réseau des serveurs", 0, len(elsewhere))


@check("CP06-S1.b", causes=("CP06-S1.a",), nodes=("rtr", "srv"), early=_start_crowd)
def check_pool(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """La plage DHCP respecte les adresses réservées.

    Vingt machines inconnues reçoivent chacune une adresse de la plage, jamais une adresse fixe ; l'imprimante reçoit
    toujours la sienne.
    """
    offers = probe.call("dhcp.discover", "lan", timeout=40, **CROWD)
    served = {offer["mac"] for offer in offers}
    expect.require(expect.equal("machines inconnues qui reçoivent une offre", CROWD["count"], len(served)))
    _expect_in_pool(bench, expect, offers)
    printer = probe.call("dhcp.discover", "lan", **_printer(bench))
    addresses = {offer["address"] for offer in printer}
    expect.same_set("adresse offerte à l'imprimante", [text(bench, "lan_imprimante")], addresses)


@check("CP06-S1.c", causes=("CP06-S1.a",), nodes=("rtr", "srv"))
def check_relay(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les demandes DHCP du LAN passent par le relais de rtr, jusqu'à srv.

    L'offre est remise par la carte LAN de rtr et porte l'adresse du relais. Que le serveur est bien srv se voit à
    l'adresse du serveur dans l'offre, ou bien à ceci : srv répond à une demande relayée que la sonde lui adresse, et
    rtr remet la réponse sur le LAN.
    """
    relay, srv = text(bench, "lan_passerelle"), text(bench, "serveurs_srv")
    probe.prefetch("dhcp.relayed", server_leg="serveurs", client_leg="lan", server=srv, relay=relay)
    offers = probe.call("dhcp.discover", "lan", count=1, window=9.0, linger=0.2)
    expect.require(expect.true("offre sur le LAN", "au moins une", str(len(offers)), bool(offers)))
    expect.equal("carte qui remet l'offre (carte LAN de rtr)", bench.node("rtr").mac("lan"), offers[0]["frame_source"])
    expect.equal("adresse du relais dans l'offre (giaddr)", relay, offers[0]["relay"])
    through = probe.call("dhcp.relayed", server_leg="serveurs", client_leg="lan", server=srv, relay=relay)
    proved = offers[0]["server"] == srv or bool(through["offers"])
    expect.true("serveur qui fait l'offre", srv, srv if proved else offers[0]["server"] or "inconnu", proved)


def _printer(bench: Bench) -> dict[str, Any]:
    return {"macs": [text(bench, "imprimante_mac")], "window": 9.0, "linger": 1.0}


def _expect_in_pool(bench: Bench, expect: Expect, offers: list[dict[str, Any]]) -> None:
    first = ipaddress.IPv4Address(text(bench, "lan_plage_debut"))
    last = ipaddress.IPv4Address(text(bench, "lan_plage_fin"))
    outside = [o["address"] for o in offers if not first <= ipaddress.IPv4Address(o["address"]) <= last]
    expect.all_of("adresses offertes dans la plage", f"toutes entre {first} et {last}", outside, len(offers))
