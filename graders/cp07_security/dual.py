"""The filtering policy of the lab `supervision`, as its subject gives it: one table for both IP families."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.cp07_security.policy import shot
from graders.flows import Flow, Rule
from graders.vantage import number, stranger, text, toward_router
from labs.bench import Bench
from labs.variants import render

FAMILIES = {"IPv4": "", "IPv6": "6"}
"""Family -> what the names of its values have in the middle: lan_controle, lan6_controle."""
ZONES = ("lan", "serveurs")
OUTSIDE = ("tcp/53", "tcp/80", "tcp/443", "udp/53", "icmp")
FROM_INTERNET = ("tcp/22", "tcp/53", "tcp/80", "udp/53", "icmp")
CONTROL = "témoin"
Row = tuple[str, str, str]


def rules(bench: Bench) -> tuple[Rule, ...]:
    """The table of the subject."""
    printing = f"tcp/{number(bench, 'port_imprimante')}"
    return (
        Rule("lan", "serveurs", ("tcp/22", "tcp/53", "tcp/443", "udp/53", "icmp"), ("tcp/25", "tcp/445", "udp/161")),
        Rule("lan", "wan", OUTSIDE, ("tcp/22", "tcp/25", "udp/161")),
        Rule("serveurs", "lan", ("tcp/80", printing, "icmp"), ("tcp/22", "tcp/445", "udp/53")),
        Rule("serveurs", "wan", ("tcp/25", *OUTSIDE), ("tcp/22", "tcp/8080", "udp/161")),
    )


def chosen(bench: Bench) -> list[Flow]:
    """All flows to try, in each family."""
    return flows.flows(bench, rules(bench))


def hosts(bench: Bench, family: str) -> dict[str, str]:
    """Zone -> the probe's own address there."""
    return {zone: text(bench, f"{zone}{FAMILIES[family]}_controle") for zone in ZONES}


def matrix(bench: Bench, family: str) -> dict[str, Any]:
    """The parameters of flow.matrix."""
    return flows.request(bench, chosen(bench), hosts(bench, family))


def from_internet(bench: Bench, family: str) -> dict[str, Any]:
    """The parameters of inject.send for what must not enter, from no port either that answers come from.

    In IPv6, the head office's server reaches only mon, and its DNS only: mon itself answers what comes through.
    """
    request = flows.from_internet(bench, hosts(bench, family), FROM_INTERNET)
    outside, port = flows.internet_host(bench, family == "IPv6"), flows.drawn_port(bench)
    for zone, host in hosts(bench, family).items():
        where = f"d'Internet vers {flows.NAMES[zone]}, depuis le port source"
        for sport in (53, 80, 443):
            request["shots"].append(shot(f"TCP {where} {sport}", "tcp", outside, host, port, sport=sport))
            request["shots"].append(shot(f"ACK hors connexion {where} {sport}", "tcp", outside, host, port, sport=sport,
                                         flags="A"))  # fmt: skip
        request["shots"].append(shot(f"UDP {where} 53", "udp", outside, host, port, sport=53))
    if family == "IPv6":
        source, who = text(bench, "siege_dns6"), "serveur DNS du siège vers"
        elsewhere, monitoring = hosts(bench, family)["serveurs"], text(bench, "serveurs6_mon")
        request["shots"] += [
            shot(f"{who} une autre machine que mon, TCP 53", "tcp", source, elsewhere, 53),
            shot(f"{who} mon, TCP 22", "tcp", source, monitoring, 22),
            shot(f"{who} mon, ICMP", "icmp", source, monitoring, 0),
        ]
    return request


def seen_as(bench: Bench, family: str) -> dict[str, tuple[str, str]]:
    """Flow -> label and source with which it must arrive: translated toward the Internet in IPv4, never in IPv6.

    Every flow to the Internet: one that is not translated arrives there, and gets no answer.
    """
    host = hosts(bench, family)
    public = {zone: text(bench, "wan_rtr") if family == "IPv4" else host[zone] for zone in ZONES}
    wanted = {
        flow.id: (f"adresse source, {flow.label}", public[flow.rule.origin])
        for flow in chosen(bench)
        if flow.permitted and flow.rule.to == "wan"
    }
    return {**wanted, "lan-serveurs-tcp/22": ("adresse source d'un flux du LAN, vue des serveurs", host["lan"])}


def spoofed(bench: Bench, family: str) -> list[dict[str, Any]]:
    """Parameters of inject.send, one a network: packets whose source does not belong to where they come from.

    From inside, one whose source belongs there goes along, as a control.
    """
    here = {zone: _somebody(bench, zone, family) for zone in ZONES}
    ipv6, reached = family == "IPv6", hosts(bench, family)
    outside, far = flows.internet_host(bench, ipv6), stranger(bench, f"spoof {family}", ipv6)
    requests: list[dict[str, Any]] = []
    for zone, other, services in (("lan", "serveurs", ("tcp/22", "icmp")), ("serveurs", "lan", ("tcp/80", "icmp"))):
        shots = []
        for service in services:
            protocol, _, port = service.partition("/")
            label = (
                f"d'Internet vers {flows.NAMES[other]}, adresse usurpée ({flows.NAMES[zone]}), {flows.called(service)}"
            )
            shots.append(shot(label, protocol, here[zone], reached[other], int(port or 0)))
        requests.append({**toward_router(bench, ipv6), "watch": [other], "shots": shots})
    for zone, other, near in (("lan", "serveurs", 22), ("serveurs", "lan", 80)):
        router = text(bench, f"{zone}{FAMILIES[family]}_passerelle")
        card = {"origin": zone, "via": router, "mac": bench.node("rtr").mac(zone)}
        shots = []
        for to, target, tried in (("wan", outside, 80), (other, reached[other], near)):
            label = f"{flows.NAMES[zone]} vers {flows.NAMES[to]}, TCP {tried}"
            sources = {
                f"{CONTROL} : {label}": here[zone],
                f"{label}, adresse usurpée ({flows.NAMES[other]})": here[other],
            }
            if to == "wan":
                sources[f"{label}, adresse étrangère à l'agence"] = far
            shots += [shot(name, "tcp", source, target, tried) for name, source in sources.items()]
        requests.append({**card, "watch": ["wan", other], "shots": shots})
    return requests


def compare_spoofed(request: dict[str, Any], seen: dict[str, Any]) -> list[Row]:
    """Label, expected and observed: only the control arrives."""
    rows = []
    for one in request["shots"]:
        expected = "passe" if one["id"].startswith(CONTROL) else "refusé"
        rows.append((one["id"], expected, "passe" if seen[one["id"]]["arrived"] else "refusé"))
    return rows


def _somebody(bench: Bench, zone: str, family: str) -> str:
    """An address of a network that is no machine's."""
    return render(f"{{{{ {zone}{FAMILIES[family]} | host(77) }}}}", bench.values)
