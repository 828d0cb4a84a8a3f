"""CP07-S1 with two IP families: the same table for both, and what IPv6 needs of ICMPv6."""

from __future__ import annotations

from typing import Any

from graders import administration, flows
from graders.administration import Side
from graders.check import check
from graders.cp07_security import dual
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

SIDES = tuple(
    side
    for six in dual.FAMILIES.values()
    for side in (
        Side("lan", f"lan{six}_passerelle", f"lan{six}_controle"),
        Side("serveurs", f"serveurs{six}_passerelle", f"serveurs{six}_controle"),
        Side("serveurs", f"lan{six}_passerelle"),
        Side("serveurs", f"wan{six}_rtr"),
        Side("wan", f"wan{six}_rtr", f"wan{six}_fournisseur"),
    )
)
MATRIX_SECONDS = 40.0
COMPLAINTS = {"IPv4": "fragmentation nécessaire", "IPv6": "paquet trop grand"}
Row = tuple[str, str, str]


def _start(bench: Bench, probe: ProbeClient) -> None:
    for family in dual.FAMILIES:
        probe.prefetch("flow.matrix", timeout=MATRIX_SECONDS, **dual.matrix(bench, family))
        probe.prefetch("inject.send", **dual.from_internet(bench, family))


@check("CP07-S1.c", causes=("CP06-S5.e",), nodes=("rtr",), early=_start, seconds=240)
def check_both_families(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre les zones, seuls les flux prévus passent, en IPv4 comme en IPv6.

    La sonde essaie chaque flux dans les deux familles : ceux du tableau aboutissent, réponse comprise ; d'autres
    n'arrivent pas. Une adresse source usurpée n'est pas relayée. En IPv6, rien n'est traduit. Le message d'erreur
    qu'un routeur d'Internet envoie à propos d'un flux permis revient à l'émetteur : « fragmentation nécessaire » en
    IPv4, « paquet trop grand » en IPv6.
    """
    for row in [*_passages(bench, probe), *_enforced(bench, probe)]:
        expect.equal(*row)


@check("CP07-S1.d", causes=("CP06-S5.e",), nodes=("rtr",), seconds=300)
def check_management_of_both(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr ne s'administre que depuis le LAN, en IPv4 comme en IPv6, et n'offre rien d'autre.

    À chaque réseau, rtr répond au ping. SSH répond au LAN ; ailleurs, sur aucune des adresses de rtr. Les 10 000
    premiers ports TCP sont balayés de chaque côté, dans chaque famille, et rtr ne résout aucun nom.
    """
    for side in SIDES:  # one after another: each sweeps thousands of ports, and the router may be slow
        for row in administration.observe(bench, probe, [side]):
            expect.equal(*row)


@check("CP07-S1.e", needs=("CP07-S1.c",), nodes=("rtr",), phase="reboot", seconds=240)
def check_both_families_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le filtrage est le même après un redémarrage, en IPv4 comme en IPv6.

    La sonde essaie une seconde fois chaque flux, ce qui ne doit pas entrer, et l'administration de rtr.
    """
    rows = converge(
        patience, lambda: _passages(bench, probe), lambda rows: all(expected == seen for _, expected, seen in rows)
    )
    for row in [*rows, *_enforced(bench, probe), *administration.observe(bench, probe, SIDES, sweep=False)]:
        expect.equal(*row)


def _passages(bench: Bench, probe: ProbeClient) -> list[Row]:
    """Label, expected and observed of each flow of the table, and with which address some arrive."""
    rows: list[Row] = []
    for family in dual.FAMILIES:
        seen = probe.call("flow.matrix", timeout=MATRIX_SECONDS, **dual.matrix(bench, family))
        found = [*flows.compare(dual.chosen(bench), seen), *flows.sources(seen, dual.seen_as(bench, family))]
        rows += _named(family, found)
    return rows


def _enforced(bench: Bench, probe: ProbeClient) -> list[Row]:
    """Label, expected and observed of packets made by hand: what must not enter, forged sources, a complaint."""
    rows: list[Row] = []
    for family in dual.FAMILIES:
        entering, forged = dual.from_internet(bench, family), dual.spoofed(bench, family)
        for request in (entering, *forged):
            probe.prefetch("inject.send", **request)
        found = flows.compare_closed(entering, probe.call("inject.send", **entering))
        for request in forged:
            found += dual.compare_spoofed(request, probe.call("inject.send", **request))
        rows += _named(family, found)
    return [*rows, *(_too_big(bench, probe, family) for family in dual.FAMILIES)]


def _too_big(bench: Bench, probe: ProbeClient, family: str) -> Row:
    six = dual.FAMILIES[family]
    ends: dict[str, Any] = {"near": "lan", "far": "wan", "address": text(bench, f"internet_web{six}"), "port": 53}
    told = probe.call("pmtu.too_big", **ends, router=text(bench, f"wan{six}_fournisseur"))
    label = f"{family} : message « {COMPLAINTS[family]} » d'Internet pour un flux du LAN (UDP 53)"
    return label, "revient au LAN", "revient au LAN" if told["came"] else "perdu" if told["went"] else "flux non arrivé"


def _named(family: str, rows: list[Row]) -> list[Row]:
    return [(f"{family} : {label}", expected, observed) for label, expected, observed in rows]
