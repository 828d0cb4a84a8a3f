"""A DHCP pool as its clients see it: all of it is given, and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graders.vantage import text
from labs.variants import mac_address

if TYPE_CHECKING:
    from labs.bench import Bench

EDGE = 6
"""Addresses asked for at each end: a machine of the candidate's may hold some of them."""
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


def compare(
    bench: Bench, pool: str, asked: dict[str, Any], offers: Sequence[dict[str, Any]]
) -> list[tuple[str, str, str]]:
    """Label, expected and observed: everybody is served, in the pool, and both its ends are given."""
    first, last = _ends(bench, pool)
    number = len(asked["requested"])
    served = len({offer["mac"] for offer in offers})
    outside = sorted({o["address"] for o in offers if not first <= ipaddress.IPv4Address(o["address"]) <= last})
    given = {offer["address"] for offer in offers}
    rows = [
        ("machines inconnues qui reçoivent une offre", str(number), str(served)),
        (f"adresses offertes hors de la plage {first} à {last}", "aucune", ", ".join(outside) or "aucune"),
    ]
    for where, edge in (("début", asked["requested"][:EDGE]), ("fin", asked["requested"][EDGE : 2 * EDGE])):
        found = given.intersection(edge)
        label = f"{where} de la plage, demandé par {EDGE} machines ({edge[0]} et ses voisines)"
        rows.append((label, "offert", "offert" if found else "jamais offert"))
    return rows


def _ends(bench: Bench, pool: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    return ipaddress.IPv4Address(text(bench, f"{pool}_debut")), ipaddress.IPv4Address(text(bench, f"{pool}_fin"))
