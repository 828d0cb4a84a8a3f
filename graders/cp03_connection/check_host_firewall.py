"""CP03-S5: configure the workstation's firewall."""

from __future__ import annotations

from typing import Any

from graders.check import check
from graders.expect import Expect, converge, show
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

SCAN_SECONDS = 30.0
ALLOWED = (22,)
LISTENING = "ss -Hltun sport = :%s"
"""Netid, state, two queues, local address and port, peer (ss(8))."""
ALIVE = "exec 3<>/dev/tcp/127.0.0.1/%s && head -c 20 <&3"
ALIVE_SECONDS = 8
"""A firewall that forgets the loopback leaves the connection without an answer, not the check without an end."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("scan.tcp_ports", "lan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    probe.prefetch("inject.send", **_datagram(bench))


@check("CP03-S5.a", causes=("CP03-S2.a",), nodes=("ws",), early=_start, seconds=90)
def check_host_firewall(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Vu du LAN, le poste n'offre que SSH et le ping.

    Ses 10 000 premiers ports TCP sont balayés, et l'agent d'inventaire, qui répond encore sur le poste et reste à
    l'écoute sur le réseau, n'y répond ni en TCP ni en UDP.
    """
    _expect_ping(bench, probe, expect)
    scan = probe.call("scan.tcp_ports", "lan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    if not scan["complete"]:
        raise ProbeError(f"the scan ended after {scan['sent']} ports")
    expect.same_set("ports TCP ouverts du poste, vus du LAN", ALLOWED, scan["open"])
    _expect_silence(bench, probe, expect)
    _expect_listening(bench, login, expect)
    asked = ALIVE.replace("%s", str(number(bench, "port_inventaire")))
    alive = login("ws").run("timeout %s bash -c %s", str(ALIVE_SECONDS), asked)
    expect.equal("agent d'inventaire, interrogé depuis le poste lui-même", "inventaire", show(alive.stdout.strip()))


@check("CP03-S5.b", needs=("CP03-S5.a",), nodes=("ws",), phase="reboot", seconds=90)
def check_host_firewall_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le pare-feu du poste est encore en place après un redémarrage.

    SSH répond sur le LAN, l'agent d'inventaire n'y répond toujours pas.
    """
    ports = [*ALLOWED, number(bench, "port_inventaire")]
    address = text(bench, "lan_poste")
    states = converge(patience, lambda: probe.call("tcp.connect", "lan", address=address, ports=ports),
                      lambda seen: seen[str(ALLOWED[0])] == "open")  # fmt: skip
    opened = [port for port in ports if states[str(port)] == "open"]
    expect.same_set("ports ouverts parmi SSH et l'agent d'inventaire", ALLOWED, opened)
    _expect_silence(bench, probe, expect)


def _expect_ping(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    answer = probe.call("icmp.ping", "lan", address=text(bench, "lan_poste"))
    expect.require(expect.true("le poste répond au ping", "oui", "oui" if answer["received"] else "non",
                               answer["received"] > 0))  # fmt: skip


def _expect_silence(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    seen = probe.call("inject.send", **_datagram(bench))["inventaire"]
    answered = [reply for reply in seen["replies"] if reply.startswith("udp:")]
    expect.equal("réponse de l'agent d'inventaire en UDP", "aucune", "une" if answered else "aucune")


def _expect_listening(bench: Bench, login: Login, expect: Expect) -> None:
    """An agent that listens to the loopback only is no longer one, and needs no firewall."""
    told = login("ws").run(LISTENING, str(number(bench, "port_inventaire"))).stdout
    sockets = [line.split() for line in told.splitlines()]
    heard = {one[0] for one in sockets if len(one) > 4 and not one[4].startswith(("127.", "[::1]"))}
    expect.same_set("protocoles sur lesquels l'agent écoute encore le réseau", ["tcp", "udp"], heard)


def _scan(bench: Bench) -> dict[str, Any]:
    return {
        "source": text(bench, "lan_controle"),
        "address": text(bench, "lan_poste"),
        "mac": bench.node("ws").mac("lan"),
        "last": 10000,
        "window": SCAN_SECONDS,
    }


def _datagram(bench: Bench) -> dict[str, Any]:
    address, port = text(bench, "lan_poste"), number(bench, "port_inventaire")
    shot = {"id": "inventaire", "protocol": "udp", "source": text(bench, "lan_controle"), "address": address,
            "port": port}  # fmt: skip
    return {"origin": "lan", "via": address, "mac": bench.node("ws").mac("lan"), "shots": [shot], "watch": []}
