"""CP06-S5: configure, test and repair a router that learns its routes (OSPF, RFC 2328)."""

from __future__ import annotations

from graders import flows
from graders.check import check
from graders.cp06_tcpip import ospf
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

FOLLOW_SECONDS = 30.0
"""How long a route may take to appear or to disappear, as the subject says."""
TRIAL, OWN = "essai", "reseau"
"""Static protocols of the head office's router: a prefix that no plan names, and the network behind it."""
QUIET_LEGS = ("lan", "invites")
ANSWERS, SILENT = "répond", "ne répond pas"


def _start(bench: Bench, probe: ProbeClient) -> None:
    for leg in QUIET_LEGS:
        probe.prefetch("ospf.heard", leg)


@check("CP06-S5.b", causes=("CP06-S4.a",), nodes=("rtr",), early=_start, seconds=360)
def check_dynamic_routing(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr échange ses routes avec le routeur du siège, et suit leurs changements.

    L'adjacence authentifiée est établie ; le siège apprend le LAN, mais ni les invités ni une route par défaut. Le
    siège annonce un réseau qui n'est dans aucun plan : le LAN l'atteint ; il le retire : rtr n'y mène plus ; il
    l'annonce de nouveau : le LAN l'atteint. Il retire de même son propre réseau, puis l'annonce de nouveau. Aucun
    message de routage n'est envoyé au LAN ni aux invités.
    """
    probe.call("ospf.announce", router="siege", protocol=OWN, on=True)  # whatever an interrupted grading left
    learned = ospf.settle(bench, probe, ospf.NEIGHBOUR_SECONDS)
    expect.require(expect.equal(*ospf.adjacency(bench, learned)))
    expect.contains("LAN appris par le siège", text(bench, "lan"), learned["prefixes"])
    for row in _follow(bench, probe):
        expect.equal(*row)
    prefixes = {*learned["prefixes"], *ospf.state(probe)["prefixes"]}
    unwanted = sorted({text(bench, "invites"), "0.0.0.0/0"} & prefixes)
    expect.none("réseau des invités ou route par défaut appris par le siège", unwanted)
    for leg in QUIET_LEGS:
        label = f"routeurs qui envoient des messages OSPF au réseau {flows.NAMES[leg]}"
        expect.unseen(label, probe.call("ospf.heard", leg))


@check("CP06-S5.d", needs=("CP06-S5.b",), nodes=("rtr",), phase="reboot", seconds=180)
def check_dynamic_routing_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le siège et l'agence se joignent encore après un redémarrage.

    L'adjacence se rétablit seule, et le LAN atteint le réseau du siège.
    """
    host = text(bench, "siege_hote")
    expect.equal(*ospf.adjacency(bench, ospf.settle(bench, probe, 2 * ospf.NEIGHBOUR_SECONDS)))
    expect.equal(f"{host}, réseau du siège, depuis le LAN", *_reached(probe, host))


def _follow(bench: Bench, probe: ProbeClient) -> list[tuple[str, str, str]]:
    """Announce a prefix that no plan names, withdraw it, announce it again; the office's own: withdraw, announce.

    In the end the first is withdrawn for good, and the second is announced.
    """
    trials = ((TRIAL, "siege_essai_hote", (True, False, True)), (OWN, "siege_hote", (False, True)))
    rows: list[tuple[str, str, str]] = []
    try:
        for protocol, name, steps in trials:
            host, again = text(bench, name), protocol == OWN
            for on in steps:
                probe.call("ospf.announce", router="siege", protocol=protocol, on=on)
                row = _reached(probe, host) if on else _silent(bench, probe, host)
                what = ("annoncé de nouveau" if again else "annoncé") if on else "retiré"
                rows.append((f"{host}, depuis le LAN, réseau {what} par le siège", *row))
                again = again or not on
    finally:
        for protocol, on in ((TRIAL, False), (OWN, True)):
            probe.call("ospf.announce", router="siege", protocol=protocol, on=on)
    return rows


def _reached(probe: ProbeClient, host: str) -> tuple[str, str]:
    """That an echo from the LAN comes back, and whether it does: once it is so, or at the end of the time."""
    received = converge(Deadline.after(FOLLOW_SECONDS), lambda: _echoes(probe, host), bool)
    return ANSWERS, ANSWERS if received else SILENT


def _silent(bench: Bench, probe: ProbeClient, host: str) -> tuple[str, str]:
    """That no echo comes back, though the head office could answer: without a way back to the LAN it proves nothing."""

    def ask() -> tuple[int, bool]:
        received = _echoes(probe, host)
        return received, not received and ospf.settled(bench, ospf.state(probe))

    received, proven = converge(Deadline.after(FOLLOW_SECONDS), ask, lambda seen: seen[1])
    if received:
        return SILENT, ANSWERS
    return SILENT, SILENT if proven else f"{SILENT}, mais le siège n'a pas de route vers le LAN"


def _echoes(probe: ProbeClient, host: str) -> int:
    received: int = probe.call("icmp.ping", "lan", address=host, count=2)["received"]
    return received
