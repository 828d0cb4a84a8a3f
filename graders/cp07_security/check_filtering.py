"""CP07-S1: configure, test and repair access lists."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.check import check
from graders.cp07_security import policy
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from graders.vantage import text, toward_router
from labs.bench import Bench
from labs.deadline import Deadline

SSH = 22
CONTROL = "Internet vers l'adresse publique de rtr, ICMP"
"""Must pass: it shows that frames put on that card are received."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("flow.matrix", timeout=30, **policy.request(bench))
    probe.prefetch("inject.send", **_from_internet(bench))


@check("CP07-S1.a", needs=("CP06-S5.a",), nodes=("rtr",), early=_start)
def check_flow_matrix(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre les zones, seuls les flux prévus passent.

    La sonde essaie chaque flux entre ses propres machines : ceux de la politique de filtrage doivent aboutir, réponse
    comprise ; d'autres ne doivent pas arriver. Depuis Internet, rien n'entre hors de la publication.
    """
    seen = probe.call("flow.matrix", timeout=30, reuse=True, **policy.request(bench))
    for label, expected, observed in flows.compare(policy.chosen(bench), seen):
        expect.equal(label, expected, observed)
    _expect_closed(bench, probe, expect)


def _start_management(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("tcp.connect", "lan", address=text(bench, "lan_passerelle"), ports=[SSH])
    for address in _addresses_of_rtr(bench):
        probe.prefetch("tcp.connect", "serveurs", address=address, ports=[SSH])


@check("CP07-S1.b", needs=("CP06-S5.a",), nodes=("rtr",), early=_start_management)
def check_management(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr ne s'administre que depuis le LAN.

    SSH répond au LAN sur l'adresse de rtr dans ce réseau ; au réseau des serveurs, sur aucune des adresses de rtr.
    """
    inner = text(bench, "lan_passerelle")
    state = probe.call("tcp.connect", "lan", address=inner, ports=[SSH])[str(SSH)]
    expect.equal(f"LAN vers {inner}, TCP {SSH}", "passe", "passe" if state == "open" else "refusé")
    for address in _addresses_of_rtr(bench):
        state = probe.call("tcp.connect", "serveurs", address=address, ports=[SSH])[str(SSH)]
        label = f"serveurs vers {address}, TCP {SSH}"
        expect.equal(label, "refusé", "passe" if state == "open" else "refusé")


@check("CP07-S4.c", needs=("CP07-S1.a",), nodes=("rtr",), phase="reboot", seconds=120)
def check_flow_matrix_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le filtrage entre les zones est le même après un redémarrage.

    La sonde essaie une seconde fois chaque flux de la politique, et ce qui ne doit pas entrer.
    """
    request = policy.request(bench)
    rows = converge(
        patience,
        lambda: flows.compare(policy.chosen(bench), probe.call("flow.matrix", timeout=30, **request)),
        lambda rows: all(row[1] == row[2] for row in rows),
    )
    for row in rows:
        expect.equal(*row)
    _expect_closed(bench, probe, expect)


def _addresses_of_rtr(bench: Bench) -> list[str]:
    return [text(bench, name) for name in ("serveurs_passerelle", "lan_passerelle", "wan_rtr")]


def _expect_closed(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Frames put on the router's Internet card, addressed to inner machines, must not come out on the other side."""
    request = _from_internet(bench)
    seen = probe.call("inject.send", **request)
    expect.equal(CONTROL, "passe", "passe" if seen[CONTROL]["replies"] else "refusé")
    for shot in request["shots"]:
        if shot["id"] != CONTROL:
            expect.equal(shot["id"], "refusé", "passe" if seen[shot["id"]]["arrived"] else "refusé")


def _from_internet(bench: Bench) -> dict[str, Any]:
    source = flows.internet_host(bench)
    control = {"id": CONTROL, "protocol": "icmp", "source": source, "address": text(bench, "wan_rtr")}
    shots: list[dict[str, Any]] = [control]
    for zone in ("lan", "serveurs"):
        for service in policy.FROM_INTERNET:
            protocol, _, port = service.partition("/")
            shots.append(
                {
                    "id": f"Internet vers {flows.NAMES[zone]}, {service.upper().replace('/', ' ')}",
                    "protocol": protocol,
                    "source": source,
                    "address": text(bench, f"{zone}_controle"),
                    "port": int(port or 0),
                }
            )
    return {**toward_router(bench), "shots": shots, "watch": ["lan", "serveurs"]}
