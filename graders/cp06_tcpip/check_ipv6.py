"""CP06-S5 in IPv6: addresses, forwarding, and what the router announces."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.check import check
from graders.cp06_tcpip.routing import Row
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient
from graders.vantage import stranger, text
from labs.bench import Bench
from labs.deadline import Deadline

NEWCOMER: dict[str, Any] = {"window": 12.0}
QUIET = {"serveurs": "serveurs6_passerelle", "wan": "wan6_rtr"}
"""Legs where rtr announces nothing, and its address there."""
ANSWERS, SILENT = "répond", "ne répond pas"


def _start(bench: Bench, probe: ProbeClient) -> None:
    for _, leg, target, _ in _paths(bench):
        probe.prefetch("icmp.traceroute", leg, address=target)


@check("CP06-S5.e", nodes=("rtr", "mon", "ws"), early=_start)
def check_ipv6_routing(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr relie les réseaux en IPv6, et mon et ws ont leur adresse et leur route.

    Depuis le LAN et depuis le réseau des serveurs, chaque chemin passe par l'adresse IPv6 prévue de rtr et revient ; un
    poste atteint un site d'Internet en IPv6 ; rtr répond aux adresses d'Internet par sa route par défaut.
    """
    for row in _routes(bench, probe):
        expect.equal(*row)


def _start_announcements(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("ndp.newcomer", "lan", **_newcomer(bench))
    for leg in QUIET:
        probe.prefetch("ndp.routers", leg)


@check("CP06-S5.f", causes=("CP06-S5.e",), nodes=("rtr",), early=_start_announcements)
def check_router_announcements(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Une machine qui se branche sur le LAN se configure seule en IPv6 ; rtr n'annonce rien ailleurs.

    La sonde joue une machine inconnue : elle forme son adresse avec le préfixe annoncé, prend rtr pour routeur et
    atteint un site d'Internet. Sur le réseau des serveurs et du côté d'Internet, aucune annonce, même demandée.
    """
    for row in _announced(bench, probe):
        expect.equal(*row)
    for leg, name in QUIET.items():
        heard = probe.call("ndp.routers", leg)
        label = f"routeurs qui s'annoncent en IPv6, réseau {flows.NAMES[leg]}"
        expect.unseen(label, [one["router"] for one in heard])
        # A silence tells something only where rtr is heard.
        alive = probe.call("icmp.ping", leg, address=text(bench, name))["received"]
        expect.equal(f"témoin : {text(bench, name)}, ping", ANSWERS, ANSWERS if alive else SILENT)


@check("CP06-S5.g", needs=("CP06-S5.e",), nodes=("rtr", "mon", "ws"), phase="reboot", seconds=150)
def check_ipv6_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le routage et les annonces IPv6 fonctionnent encore après un redémarrage.

    Les mêmes chemins sont suivis une seconde fois, et une machine inconnue se configure de nouveau sur le LAN.
    """
    rows = converge(
        patience,
        lambda: [*_routes(bench, probe), *_announced(bench, probe)],
        lambda rows: all(row.ok for row in rows),
    )
    for row in rows:
        expect.equal(*row)


def _routes(bench: Bench, probe: ProbeClient) -> list[Row]:
    """Each path hop by hop, both ways; a site of the Internet from the LAN; the default route of rtr."""
    _start(bench, probe)
    rows = []
    for label, leg, target, expected in _paths(bench):
        hops = probe.call("icmp.traceroute", leg, address=target)
        rows.append(Row(label, " → ".join(expected), " → ".join(" ou ".join(hop) or "?" for hop in hops)))
    site = text(bench, "internet_web6")
    received = probe.call("icmp.ping", "lan", address=site)["received"]
    rows.append(Row(f"{site} (Internet), ping depuis le LAN", ANSWERS, ANSWERS if received else SILENT))
    router = text(bench, "wan6_rtr")
    source, mac = stranger(bench, "echo6", ipv6=True), bench.node("rtr").mac("wan")
    received = probe.call("icmp.echo_from", "wan", source=source, address=router, mac=mac)["received"]
    label = f"route par défaut de rtr (écho vers {router} depuis une adresse d'Internet)"
    rows.append(Row(label, ANSWERS, ANSWERS if received else SILENT))
    return rows


def _paths(bench: Bench) -> list[tuple[str, str, str, list[str]]]:
    """Label, leg, target and expected hops of each path."""
    lan, servers = text(bench, "lan6_passerelle"), text(bench, "serveurs6_passerelle")
    mon, ws = text(bench, "serveurs6_mon"), text(bench, "lan6_poste")
    far = text(bench, "serveurs6_controle")
    return [
        ("chemin IPv6 du LAN vers le réseau des serveurs", "lan", far, [lan, far]),
        ("chemin IPv6 du LAN vers mon", "lan", mon, [lan, mon]),
        ("chemin IPv6 du réseau des serveurs vers ws", "serveurs", ws, [servers, ws]),
    ]


def _newcomer(bench: Bench) -> dict[str, Any]:
    return {"target": text(bench, "internet_web6"), **NEWCOMER}


def _announced(bench: Bench, probe: ProbeClient) -> list[Row]:
    """What a newcomer on the LAN was told, and how far it came with it."""
    told = probe.call("ndp.newcomer", "lan", timeout=30, **_newcomer(bench))
    routers = [one for one in told["routers"] if one["lifetime"]]
    prefixes = {one["prefix"] for router in routers for one in router["prefixes"] if one["autonomous"] and one["valid"]}
    reached = ANSWERS if told["received"] else SILENT
    if told["address"] and not told["received"]:
        reached = f"{SILENT} (adresse formée : {told['address']})"
    return [
        Row("routeurs annoncés au LAN", bench.node("rtr").mac("lan"), show(sorted({one["mac"] for one in routers}))),
        Row("préfixes annoncés au LAN pour former une adresse", text(bench, "lan6"), show(sorted(prefixes))),
        Row(f"{text(bench, 'internet_web6')} (Internet), ping de cette machine", ANSWERS, reached),
    ]
