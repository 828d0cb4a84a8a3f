"""The filtering policy of the lab `reseau`, as its subject gives it."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.flows import Flow, Rule
from graders.vantage import text
from labs.bench import Bench

RULES = (
    Rule("lan", "serveurs", ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53"), ("tcp/445", "tcp/3389", "udp/161")),
    Rule("lan", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/23", "tcp/25", "udp/161")),
    Rule("serveurs", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/23", "tcp/25")),
    Rule("serveurs", "lan", (), ("tcp/22", "tcp/445", "tcp/8000", "udp/53"), drawn=False),
)
FROM_INTERNET = ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53", "icmp")


def chosen(bench: Bench) -> list[Flow]:
    """All flows to try for a candidate."""
    return flows.flows(bench, RULES)


def request(bench: Bench) -> dict[str, Any]:
    """The parameters of flow.matrix for all of them, between the probe's own hosts."""
    hosts = {zone: text(bench, f"{zone}_controle") for zone in ("lan", "serveurs")}
    return flows.request(bench, chosen(bench), hosts)
