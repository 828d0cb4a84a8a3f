"""CP07-S1: configure, test and repair access lists."""

from __future__ import annotations

import ipaddress
from typing import Any

from graders.check import check
from graders.cp07_security import policy
from graders.expect import Expect
from graders.probe_client import ProbeClient
from graders.vantage import neighbour_mac, text
from labs.bench import Bench

STATES = {"open": "passe", "arrived": "arrive, sans réponse", "refused": "refusé", "filtered": "refusé"}


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("flow.matrix", timeout=30, **policy.request(bench, policy.flows(bench)))


@check("CP07-S1.a", needs=("CP06-S5.a",), nodes=("rtr",), early=_start)
def check_flow_matrix(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Entre les zones, seuls les flux prévus passent.

    La sonde essaie chaque flux entre ses propres machines : ceux de la politique de filtrage doivent aboutir, réponse
    comprise ; d'autres ne doivent pas arriver. Depuis Internet, rien n'entre hors de la publication.
    """
    flows = policy.flows(bench)
    seen = probe.call("flow.matrix", timeout=30, reuse=True, **policy.request(bench, flows))
    for flow in flows:
        state = seen[flow.id]["state"]
        passes = state in {"open", "arrived"}
        if flow.permitted:
            passes = state == "open" or (state == "arrived" and _untranslated(flow, seen[flow.id]))
        expect.true(flow.label, "passe" if flow.permitted else "refusé", STATES[state], passes == flow.permitted)
    _expect_closed(bench, probe, expect)


def _untranslated(flow: policy.Flow, seen: dict[str, Any]) -> bool:
    """A flow that reached the Internet with its private address: no answer can come back, which CP07-S2.a judges."""
    return flow.rule.to == "wan" and ipaddress.ip_address(seen["source"]).is_private


def _expect_closed(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Frames put on the router's Internet card, addressed to inner machines, must not come out on the other side."""
    source = policy.internet_host(bench)
    shots: list[dict[str, Any]] = []
    for zone in ("lan", "serveurs"):
        for service in policy.FROM_INTERNET:
            protocol, _, port = service.partition("/")
            label = f"Internet vers {policy.NAMES[zone]}, {service.upper().replace('/', ' ')}"
            shots.append({"id": label, "protocol": protocol, "source": source, "port": int(port or 0),
                          "address": text(bench, f"{zone}_controle")})  # fmt: skip
    control = f"Internet vers l'adresse {text(bench, 'wan_rtr')} de rtr, ICMP"
    shots.append({"id": control, "protocol": "icmp", "source": source, "address": text(bench, "wan_rtr")})
    mac = neighbour_mac(bench, probe, "rtr", "wan", text(bench, "wan_rtr"))
    seen = probe.call("inject.send", origin="wan", via_mac=mac, shots=shots, watch=["lan", "serveurs"])
    expect.equal(control, "passe", "passe" if seen[control]["replies"] else "refusé")
    for shot in shots[:-1]:
        expect.equal(shot["id"], "refusé", "passe" if seen[shot["id"]]["arrived"] else "refusé")
