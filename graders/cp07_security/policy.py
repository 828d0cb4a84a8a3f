"""The filtering policy of the lab `reseau`, as its subject gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders import flows
from graders.flows import Flow, Rule
from graders.vantage import text, toward_router
from labs.bench import Bench
from labs.variants import render

OUTSIDE = ("tcp/53", "tcp/80", "tcp/443", "udp/53")
RULES = (
    Rule(
        "lan",
        "serveurs",
        ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53", "udp/67", "icmp"),
        ("tcp/445", "tcp/3389", "udp/161"),
    ),
    Rule("lan", "wan", (*OUTSIDE, "icmp"), ("tcp/23", "tcp/25", "udp/161")),
    Rule("serveurs", "wan", (*OUTSIDE, "icmp"), ("tcp/23", "tcp/25", "udp/161")),
    Rule("serveurs", "lan", ("icmp",), ("tcp/22", "tcp/445", "tcp/8000", "udp/53"), drawn=False),
)
ANSWERS = (22, 53, 80)
"""Ports that permitted flows from the LAN go to, so that their answers come from."""
FROM_INTERNET = ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53", "icmp")


def chosen(bench: Bench) -> list[Flow]:
    """All flows to try for a candidate."""
    return flows.flows(bench, RULES)


def request(bench: Bench) -> dict[str, Any]:
    """The parameters of flow.matrix for all of them, between the probe's own hosts."""
    return flows.request(bench, chosen(bench), _hosts(bench))


def from_internet(bench: Bench) -> dict[str, Any]:
    """The parameters of inject.send for what must not enter beside the publication."""
    return flows.from_internet(bench, _hosts(bench), FROM_INTERNET)


def bypass(bench: Bench) -> dict[str, Any]:
    """The parameters of inject.send for packets that go round a firewall, each with the sentence that names it."""
    return {**toward_router(bench), "shots": _shots(bench), "watch": ["lan", "serveurs"]}


def from_servers(bench: Bench) -> dict[str, Any]:
    """The parameters of inject.send from a server to the LAN: the ports of permitted answers open nothing."""
    source, host = render("{{ serveurs | host(77) }}", bench.values), text(bench, "lan_controle")
    shots = []
    for sport in ANSWERS:
        label = f"serveurs vers le LAN depuis le port source {sport}"
        shots.append(shot(label, "tcp", source, host, flows.drawn_port(bench), sport=sport))
        shots.append(shot(f"{label}, ACK hors connexion", "tcp", source, host, flows.drawn_port(bench), sport=sport,
                          flags="A"))  # fmt: skip
    card = {"via": text(bench, "serveurs_passerelle"), "mac": bench.node("rtr").mac("serveurs")}
    return {"origin": "serveurs", **card, "shots": shots, "watch": ["lan"]}


def compare_bypass(request: Mapping[str, Any], seen: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, expected and observed: nothing arrives, nor gets an answer."""
    rows = []
    for one in request["shots"]:
        told = seen[one["id"]]
        through = told["arrived"] or "syn-ack" in told["replies"]
        rows.append((one["id"], "refusé", "passe" if through else "refusé"))
    return rows


def shot(label: str, protocol: str, source: str, address: str, port: int, **more: Any) -> dict[str, Any]:
    """A packet of inject.send."""
    return {"id": label, "protocol": protocol, "source": source, "address": address, "port": port, **more}


def _shots(bench: Bench) -> list[dict[str, Any]]:
    outside, wan_rtr = flows.internet_host(bench), text(bench, "wan_rtr")
    zones = {"LAN": ("lan", "lan_controle"), "réseau des serveurs": ("serveurs", "serveurs_controle")}
    shots = [
        shot("connexion SSH directe à srv", "tcp", outside, text(bench, "serveurs_srv"), 22),
        shot(f"connexion SSH à {wan_rtr} depuis le port source 53", "tcp", outside, wan_rtr, 22, sport=53),
        shot("connexion SSH à l'adresse LAN de rtr", "tcp", outside, text(bench, "lan_passerelle"), 22),
    ]
    for zone, (_, name) in zones.items():
        host = text(bench, name)
        for sport in (53, 80, 443):
            label = f"ACK hors connexion vers le {zone}, port source {sport}"
            shots.append(shot(label, "tcp", outside, host, flows.drawn_port(bench), sport=sport, flags="A"))
        shots.append(shot(f"connexion vers le {zone} depuis le port source 53", "tcp", outside, host, 22, sport=53))
        label = f"datagramme UDP vers le {zone} depuis le port source 53"
        shots.append(shot(label, "udp", outside, host, flows.drawn_port(bench), sport=53))
    for zone, other in (("LAN", "réseau des serveurs"), ("réseau des serveurs", "LAN")):
        network, _ = zones[zone]
        source, host = render(f"{{{{ {network} | host(77) }}}}", bench.values), text(bench, zones[other][1])
        for service in ("TCP 22", "TCP 80", "ICMP"):
            protocol, _, port = service.lower().partition(" ")
            label = f"adresse usurpée du {zone}, {service} vers le {other}"
            shots.append(shot(label, protocol, source, host, int(port or 0)))
    return shots


def _hosts(bench: Bench) -> dict[str, str]:
    return {zone: text(bench, f"{zone}_controle") for zone in ("lan", "serveurs")}
