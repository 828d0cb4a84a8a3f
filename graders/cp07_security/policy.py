"""The filtering policy of the subject as data: what must pass and what must not between two zones.

Refused flows are examples of "everything else": well-known services, and one port drawn per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from graders.vantage import text
from labs.bench import Bench
from labs.variants import token

Zone = Literal["lan", "serveurs", "wan"]
NAMES = {"lan": "LAN", "serveurs": "serveurs", "wan": "Internet"}
PATIENCE = 8.0
"""Seconds that a permitted flow may take; a refused one is watched for the matrix's own window."""


@dataclass(frozen=True)
class Rule:
    """Traffic between two zones."""

    origin: Zone
    to: Zone
    permitted: tuple[str, ...]
    refused: tuple[str, ...]


RULES = (
    Rule("lan", "serveurs", ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53"), ("tcp/445", "tcp/3389", "udp/161")),
    Rule("lan", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/23", "tcp/25", "udp/161")),
    Rule("serveurs", "wan", ("tcp/53", "tcp/80", "tcp/443", "udp/53"), ("tcp/23", "tcp/25")),
    Rule("serveurs", "lan", (), ("tcp/22", "tcp/445", "tcp/8000", "udp/53")),
)
FROM_INTERNET = ("tcp/22", "tcp/53", "tcp/80", "tcp/8000", "udp/53", "icmp")


@dataclass(frozen=True)
class Flow:
    """One flow to try, and whether it must pass."""

    rule: Rule
    service: str
    permitted: bool

    @property
    def id(self) -> str:
        return f"{self.rule.origin}-{self.rule.to}-{self.service}"

    @property
    def label(self) -> str:
        protocol, _, port = self.service.partition("/")
        return f"{NAMES[self.rule.origin]} vers {NAMES[self.rule.to]}, {protocol.upper()} {port}"


def flows(bench: Bench) -> list[Flow]:
    """All flows to try for a candidate."""
    drawn = f"tcp/{drawn_port(bench)}"
    found = []
    for rule in RULES:
        refused = rule.refused if rule.origin == "serveurs" and rule.to == "lan" else (*rule.refused, drawn)
        found += [Flow(rule, service, True) for service in rule.permitted]
        found += [Flow(rule, service, False) for service in refused]
    return found


def request(bench: Bench, chosen: list[Flow]) -> dict[str, Any]:
    """The parameters of flow.matrix for these flows, between the probe's own hosts."""
    somewhere = internet_host(bench)
    hosts = {"lan": text(bench, "lan_controle"), "serveurs": text(bench, "serveurs_controle"), "wan": somewhere}
    return {
        "flows": [
            {
                "id": flow.id,
                "from": flow.rule.origin,
                "to": flow.rule.to,
                "address": hosts[flow.rule.to],
                "protocol": flow.service.partition("/")[0],
                "port": int(flow.service.partition("/")[2]),
                **({"patience": PATIENCE} if flow.permitted else {}),
            }
            for flow in chosen
        ],
        "extra": {"wan": somewhere},
        "window": 3.0,
    }


def internet_host(bench: Bench) -> str:
    """An address of the fake Internet that no configuration names."""
    return f"203.0.113.{100 + _draw(bench, 'host') % 150}"


def drawn_port(bench: Bench) -> int:
    """A high port nobody knows in advance."""
    return 20000 + _draw(bench, "port") % 9000


def _draw(bench: Bench, purpose: str) -> int:
    return int.from_bytes(token(bench.session.file.seed, f"{bench.candidate.id}/flow/{purpose}", 8).encode(), "big")
