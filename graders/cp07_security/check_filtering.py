"""CP07-S1: configure, test and repair access lists."""

from __future__ import annotations

from graders import administration, flows
from graders.administration import Side
from graders.check import check
from graders.cp07_security import policy
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from labs.bench import Bench
from labs.deadline import Deadline

SIDES = (
    Side("lan", "lan_passerelle", "lan_controle"),
    Side("serveurs", "serveurs_passerelle", "serveurs_controle"),
    Side("serveurs", "lan_passerelle"),
    Side("serveurs", "wan_rtr"),
)
"""Networks that try rtr itself; what it offers the Internet is looked at by CP07-S4.a."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("flow.matrix", timeout=30, **policy.request(bench))
    probe.prefetch("inject.send", **policy.from_internet(bench))
    probe.prefetch("inject.send", **policy.from_servers(bench))


@check("CP07-S1.a", causes=("CP06-S5.a",), nodes=("rtr",), early=_start)
def check_flow_matrix(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre les zones, seuls les flux prévus passent.

    La sonde essaie chaque flux entre ses propres machines : ceux de la politique de filtrage doivent aboutir, réponse
    comprise ; d'autres ne doivent pas arriver. Depuis Internet, rien n'entre hors de la publication ; depuis les
    serveurs, aucun port source n'ouvre le LAN.
    """
    seen = probe.call("flow.matrix", timeout=30, reuse=True, **policy.request(bench))
    for row in [*flows.compare(policy.chosen(bench), seen), *_closed(bench, probe)]:
        expect.equal(*row)


def _start_management(bench: Bench, probe: ProbeClient) -> None:
    administration.start(bench, probe, SIDES)


@check("CP07-S1.b", causes=("CP06-S5.a",), nodes=("rtr",), early=_start_management, seconds=90)
def check_management(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr ne s'administre que depuis le LAN, et n'offre rien d'autre aux réseaux internes.

    Au LAN et au réseau des serveurs, rtr répond au ping. SSH répond au LAN ; au réseau des serveurs, sur aucune des
    adresses de rtr. Les 10 000 premiers ports TCP sont balayés des deux côtés, et rtr n'y résout aucun nom.
    """
    for row in administration.observe(bench, probe, SIDES):
        expect.equal(*row)


@check("CP07-S4.c", needs=("CP07-S1.a",), nodes=("rtr",), phase="reboot", seconds=180)
def check_flow_matrix_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le filtrage est le même après un redémarrage.

    La sonde essaie une seconde fois chaque flux de la politique, ce qui ne doit pas entrer, et l'administration de rtr.
    """
    request = policy.request(bench)
    rows = converge(
        patience,
        lambda: flows.compare(policy.chosen(bench), probe.call("flow.matrix", timeout=30, **request)),
        lambda rows: all(row[1] == row[2] for row in rows),
    )
    bypass = policy.bypass(bench)
    seen = probe.call("inject.send", **bypass)
    inside = administration.observe(bench, probe, SIDES, sweep=False)
    for row in [*rows, *_closed(bench, probe), *policy.compare_bypass(bypass, seen), *inside]:
        expect.equal(*row)


def _closed(bench: Bench, probe: ProbeClient) -> list[tuple[str, str, str]]:
    """Frames put on the router's cards, addressed to inner machines, must not come out on the other side."""
    outside, servers = policy.from_internet(bench), policy.from_servers(bench)
    return [
        *flows.compare_closed(outside, probe.call("inject.send", **outside)),
        *policy.compare_bypass(servers, probe.call("inject.send", **servers)),
    ]
