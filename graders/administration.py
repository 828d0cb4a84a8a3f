"""What the branch's router offers by itself to the networks around it: the ping, its administration, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from graders import flows
from graders.probe_client import ProbeError
from graders.vantage import text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

SSH = 22
ADMINISTRATORS = "lan"
SWEPT, SWEEP_SECONDS = 10_000, 30.0
"""TCP ports looked at from each network, and how long that may take."""
SWEEP = "scan.tcp_ports"
NOBODY = "administration.invalid"


class Side(NamedTuple):
    """A network that tries the router at one of its addresses; `address` and `host` are names of values.

    `host`, the probe's own address there, is given where the address is the router's in that very network: all that
    it offers is looked at. Elsewhere the administration is: somebody may know any of its addresses.
    """

    leg: str
    address: str
    host: str = ""


def start(bench: Bench, probe: ProbeClient, sides: Sequence[Side], *, sweep: bool = True) -> None:
    """Begin what `observe` asks for: of the sweeps only the first, since two would share what a router answers in."""
    first = True
    for side in sides:
        for name, asked in _questions(bench, side, sweep=sweep):
            if name != SWEEP or first:
                probe.prefetch(name, side.leg, **asked)
            first = first and name != SWEEP


def observe(
    bench: Bench, probe: ProbeClient, sides: Sequence[Side], *, sweep: bool = True
) -> list[tuple[str, str, str]]:
    """Label, expected and observed; the ports are swept only when asked.

    Raises ProbeError when a sweep did not come to its end.
    """
    start(bench, probe, sides, sweep=sweep)
    rows = []
    for side in sides:
        where = f"{flows.NAMES[side.leg]} vers {text(bench, side.address)}"
        for name, asked in _questions(bench, side, sweep=sweep):
            seen = probe.call(name, side.leg, **asked)
            rows.append(_row(where, side.leg, name, seen))
    return rows


def _questions(bench: Bench, side: Side, *, sweep: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Probes and their parameters."""
    address = text(bench, side.address)
    yield "tcp.connect", {"address": address, "ports": [SSH]}
    if side.host:
        yield "icmp.ping", {"address": address}
        yield "dns.query", {"server": address, "questions": [[NOBODY, "A"]], "recursion": True}
    if side.host and sweep:
        card = {"mac": bench.node("rtr").mac(side.leg)}
        limits = {"last": SWEPT, "window": SWEEP_SECONDS, "timeout": SWEEP_SECONDS + 5}
        yield SWEEP, {"source": text(bench, side.host), "address": address, **card, **limits}


def _row(where: str, leg: str, name: str, seen: Any) -> tuple[str, str, str]:
    permitted = leg == ADMINISTRATORS
    match name:
        case "tcp.connect":
            return f"{where}, TCP {SSH}", _passes(permitted), _passes(seen[str(SSH)] == "open")
        case "icmp.ping":
            return f"{where}, ping", _passes(True), _passes(seen["received"] > 0)
        case "dns.query":
            return f"{where}, question DNS (UDP 53)", _passes(False), _passes(seen[0]["answered"])
    if not seen["complete"]:
        raise ProbeError(f"the scan from {leg} ended after {seen['sent']} ports")
    wanted = [SSH] if permitted else []
    label = f"{where}, ports TCP ouverts parmi les {SWEPT} premiers"
    return label, ", ".join(map(str, wanted)) or "aucun", ", ".join(map(str, seen["open"])) or "aucun"


def _passes(yes: bool) -> str:
    return "passe" if yes else "refusé"
