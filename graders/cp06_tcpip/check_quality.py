"""CP06-C2: the service level is back after the work."""

from __future__ import annotations

from typing import Any

from graders.check import check
from graders.expect import Expect
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench

PACKETS: dict[str, Any] = {"count": 200, "every": 0.03, "window": 3.0}
KEPT = 199
"""One packet of two hundred may be lost: less than 1 %."""
LARGE: dict[str, Any] = {"count": 10, "every": 0.1, "window": 3.0, "size": 1472}
"""1472 bytes of data make a packet of 1500: what a page or a file is carried in."""
LARGE_KEPT = 9
"""A size that does not pass loses them all; losses at random are counted on the small ones."""
SLOW_SECONDS = 0.5
QUESTIONS = 20


def _start(bench: Bench, probe: ProbeClient) -> None:
    """Both ways at once, but not with the other checks' measurements: they would cause the losses themselves."""
    for leg, target in _ways(bench):
        probe.prefetch("icmp.ping", leg, address=target, **PACKETS)
        probe.prefetch("icmp.ping", leg, address=target, **LARGE)


@check("CP06-C2.a", causes=("CP06-S5.a", "CP06-S2.a"), nodes=("rtr", "srv"), seconds=90)
def check_quality(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le réseau rend un service stable : ni perte, ni lenteur, ni paquet de grande taille arrêté.

    Deux cents échos dans chaque sens à travers rtr (moins de 1 % de perte), dix de la taille maximale (une perte au
    plus), vingt questions DNS : ils aboutissent.
    """
    _start(bench, probe)
    for leg, target in _ways(bench):
        small = probe.call("icmp.ping", leg, address=target, **PACKETS)
        expect.within(f"échos revenus de {target}, sur {PACKETS['count']}", KEPT, PACKETS["count"], small["received"])
        median = sorted(small["seconds"])[len(small["seconds"]) // 2] if small["seconds"] else None
        expect.within(f"temps d'aller-retour médian vers {target}, en secondes", 0, SLOW_SECONDS, median)
        large = probe.call("icmp.ping", leg, address=target, **LARGE)
        expect.within(f"échos de 1500 octets revenus de {target}, sur {LARGE['count']}", LARGE_KEPT, LARGE["count"],
                      large["received"])  # fmt: skip
    name = f"srv.{text(bench, 'domaine')}"
    asked = probe.call("dns.query", "lan", server=text(bench, "serveurs_srv"), questions=[[name, "A"]] * QUESTIONS)
    found = [[one["data"] for one in answer.get("answers", []) if one["type"] == "A"] for answer in asked]
    resolved = found.count([text(bench, "serveurs_srv")])
    expect.equal(f"questions DNS qui donnent l'adresse de srv, sur {QUESTIONS}", QUESTIONS, resolved)


def _ways(bench: Bench) -> list[tuple[str, str]]:
    """Leg and target, in both directions across the router."""
    return [("lan", text(bench, "serveurs_controle")), ("serveurs", text(bench, "lan_controle"))]
