"""A filtering policy as data: what must pass and what must not between two zones of a bench, in either IP family.

Refused flows are examples of "everything else": well-known services, and one port drawn per candidate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graders.vantage import six, toward_router
from labs.bench import Bench
from labs.variants import token

NAMES = {"lan": "LAN", "serveurs": "serveurs", "wan": "Internet", "invites": "invités", "siege": "siège",
         "personnel": "sans-fil du personnel"}  # fmt: skip
STATES = {"open": "passe", "arrived": "arrive, sans réponse", "refused": "refusé", "filtered": "refusé"}
CONTROL = "Internet vers l'adresse publique de rtr, ICMP"
"""Must pass: it shows that frames put on that card are received."""
PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""RFC 1918. Not `is_private`, which counts the addresses of documentation (RFC 5737) among them: our Internet's."""
RENEWAL, CLIENT_PORT = "udp/67", 68
"""A lease is renewed from the client's own port (RFC 2131, 4.1), which a rule may ask for."""
PATIENCE = 8.0
"""Seconds that a permitted flow may take; a refused one is watched for the matrix's own window."""


@dataclass(frozen=True)
class Rule:
    """Traffic between two zones: tcp/N, udp/N, or icmp. `drawn` adds the candidate's own port to what is refused."""

    origin: str
    to: str
    permitted: tuple[str, ...]
    refused: tuple[str, ...]
    drawn: bool = True


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
        return f"{NAMES[self.rule.origin]} vers {NAMES[self.rule.to]}, {called(self.service)}"


def flows(bench: Bench, rules: Iterable[Rule]) -> list[Flow]:
    """All flows to try for a candidate."""
    drawn = f"tcp/{drawn_port(bench)}"
    found = []
    for rule in rules:
        found += [Flow(rule, service, True) for service in rule.permitted]
        found += [Flow(rule, service, False) for service in (*rule.refused, *([drawn] if rule.drawn else []))]
    return found


def request(bench: Bench, chosen: Iterable[Flow], hosts: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of flow.matrix for these flows; `hosts` is the probe's own address in each zone but `wan`.

    The family is that of `hosts`.
    """
    somewhere = internet_host(bench, six(hosts))
    address = {**hosts, "wan": somewhere}
    return {
        "flows": [
            {
                "id": flow.id,
                "from": flow.rule.origin,
                "to": flow.rule.to,
                "address": address[flow.rule.to],
                "protocol": flow.service.partition("/")[0],
                "port": int(flow.service.partition("/")[2] or 0),
                **({"patience": PATIENCE} if flow.permitted else {}),
                **({"sport": CLIENT_PORT} if flow.service == RENEWAL else {}),
            }
            for flow in chosen
        ],
        "extra": {"wan": somewhere},
        "window": 3.0,
    }


def sources(seen: Mapping[str, Any], wanted: Mapping[str, tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Label, expected and observed source of flows; `wanted`: id -> label and source."""
    return [
        (label, expected, seen[flow_id]["source"] or "flux non arrivé") for flow_id, (label, expected) in wanted.items()
    ]


def from_internet(bench: Bench, hosts: Mapping[str, str], services: Iterable[str]) -> dict[str, Any]:
    """The parameters of inject.send for what must not enter from the Internet; `hosts` as in `request`."""
    source, router = internet_host(bench, six(hosts)), toward_router(bench, six(hosts))
    shots: list[dict[str, Any]] = [{"id": CONTROL, "protocol": "icmp", "source": source, "address": router["via"]}]
    for zone, host in hosts.items():
        for service in services:
            protocol, _, port = service.partition("/")
            label = f"Internet vers {NAMES[zone]}, {called(service)}"
            shots.append({"id": label, "protocol": protocol, "source": source, "address": host, "port": int(port or 0)})
    return {**router, "shots": shots, "watch": list(hosts)}


def compare_closed(request: Mapping[str, Any], seen: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, expected and observed of each shot of `from_internet`: only the control passes.

    What a machine other than the probe answers has passed too; a reset may be the router's own refusal.
    """
    rows = [(CONTROL, "passe", "passe" if seen[CONTROL]["replies"] else "refusé")]
    for shot in request["shots"]:
        if shot["id"] != CONTROL:
            told = seen[shot["id"]]
            passed = told["arrived"] or set(told["replies"]) - {"reset"}
            rows.append((shot["id"], "refusé", "passe" if passed else "refusé"))
    return rows


def called(service: str) -> str:
    """A service as it is written: TCP 22, ICMP.

    >>> called("udp/53")
    'UDP 53'
    """
    return service.upper().replace("/", " ")


def compare(chosen: Iterable[Flow], seen: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, what the policy says and what was seen, of each flow."""
    rows = []
    for flow in chosen:
        state = seen[flow.id]["state"]
        passed = state == "arrived" and flow.permitted and _untranslated(flow, seen[flow.id])
        rows.append((flow.label, "passe" if flow.permitted else "refusé", "passe" if passed else STATES[state]))
    return rows


def internet_host(bench: Bench, ipv6: bool = False) -> str:
    """An address of the fake Internet that no configuration names."""
    number = 100 + _draw(bench, "host") % 150
    return f"2001:db8:ffff::{number:x}:1" if ipv6 else f"203.0.113.{number}"


def drawn_port(bench: Bench) -> int:
    """A high port nobody knows in advance."""
    return 20000 + _draw(bench, "port") % 9000


def _untranslated(flow: Flow, seen: Mapping[str, Any]) -> bool:
    """A flow that reached the Internet with its private address: no answer can come back, which CP07-S2.a judges."""
    source = ipaddress.ip_address(seen["source"])
    return flow.rule.to == "wan" and any(source in network for network in PRIVATE)


def _draw(bench: Bench, purpose: str) -> int:
    return int.from_bytes(token(bench.session.file.seed, f"{bench.candidate.id}/flow/{purpose}", 8).encode(), "big")
