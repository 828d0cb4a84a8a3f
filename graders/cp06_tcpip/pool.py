"""A DHCP pool as its clients see it: all of it is given, and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graders.vantage import text
from labs.variants import mac_address

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

EDGE = 6
"""Addresses asked for at each end: a machine of the candidate's may hold some of them."""
MANY: dict[str, Any] = {"count": 200, "window": 28.0, "linger": 1.0}
"""Machines that ask for no address in particular, so that a server that chooses for itself shows all of its pool."""
TEMPTING = (2, 10, 40, 60, 80, 90, 205, 220, 240, 254)
"""Hosts of the network that are asked for too, when they are outside of the pool."""


def crowd(bench: Bench, network: str, pool: str, fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters of dhcp.discover: machines that ask for the ends of `pool`, then others for what is not in it.

    `network`, `pool` (the value's name before `_debut` and `_fin`) and `fixed` are names of values. Servers grant the
    address that a client asks for when it is theirs to give (RFC 2131, 4.3.1). Those that ask for an end are always
    the same: a server that keeps an offer for a while keeps it for them.
    """
    first, last = _ends(bench, pool)
    subnet = ipaddress.IPv4Network(text(bench, network))
    edges = [str(first + step) for step in range(EDGE)] + [str(last - step) for step in range(EDGE)]
    beside = [first - 1, last + 1, first - 2, last + 2, first - 10, last + 10, *(subnet[host] for host in TEMPTING)]
    outside = [text(bench, name) for name in fixed]
    outside += [str(one) for one in beside if not first <= one <= last and str(one) not in outside]
    name = (bench.session.file.seed, bench.candidate.id, "pool", network)
    macs = [mac_address(*name, str(index)) for index in range(len(edges))]
    return {"macs": macs, "count": len(outside), "requested": edges + outside, "window": 28.0, "linger": 1.0}


def observe(bench: Bench, probe: ProbeClient, leg: str, pool: str, asked: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Label, expected and observed, for the crowd `asked` on the probe's leg.

    A server need not grant what a client asks for (systemd-networkd's does not look at it): when nobody's wish was
    granted, many more ask.
    """
    offers = probe.call("dhcp.discover", leg, timeout=40, **asked)
    wishes = dict(zip(asked["macs"], asked["requested"], strict=False))
    granted = any(wishes.get(offer["mac"]) == offer["address"] for offer in offers)
    more = [] if granted or not offers else probe.call("dhcp.discover", leg, timeout=40, **MANY)
    return compare(bench, pool, asked, offers, more)


def compare(
    bench: Bench,
    pool: str,
    asked: dict[str, Any],
    offers: Sequence[dict[str, Any]],
    more: Sequence[dict[str, Any]] = (),
) -> list[tuple[str, str, str]]:
    """Label, expected and observed: everybody is served, in the pool, and both its ends are given.

    `more`: offers to others, who asked for nothing in particular.
    """
    first, last = _ends(bench, pool)
    number = len(asked["requested"])
    served = len({offer["mac"] for offer in offers})
    given = {offer["address"] for offer in [*offers, *more]}
    outside = sorted(address for address in given if not first <= ipaddress.IPv4Address(address) <= last)
    rows = [
        ("machines inconnues qui reçoivent une offre", str(number), str(served)),
        (f"adresses offertes hors de la plage {first} à {last}", "aucune", ", ".join(outside) or "aucune"),
    ]
    for where, edge in (("début", asked["requested"][:EDGE]), ("fin", asked["requested"][EDGE : 2 * EDGE])):
        found = given.intersection(edge)
        label = f"{where} de la plage ({edge[0]} et ses voisines)"
        rows.append((label, "offert", "offert" if found else "jamais offert"))
    return rows


def _ends(bench: Bench, pool: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    return ipaddress.IPv4Address(text(bench, f"{pool}_debut")), ipaddress.IPv4Address(text(bench, f"{pool}_fin"))
