"""CP07-S4: configure, test and repair a firewall."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.check import check
from graders.cp07_security import policy
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

SCAN_SECONDS = 45.0
LOG_SECONDS = 10.0
LOGGED = """w=%s; { journalctl -k -q --no-pager -o cat -n 400; grep -rahF --exclude-dir=journal -- "$w" /var/log; } \
  2>/dev/null | grep -aF -- "$w" | tail -n 40"""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("inject.send", **policy.bypass(bench))
    probe.prefetch("icmp.ping", "lan", address=text(bench, "serveurs_controle"))
    probe.prefetch("scan.tcp_ports", "wan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    probe.prefetch("dns.query", "wan", **_resolver(bench))


@check("CP07-S4.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), early=_start, seconds=90)
def check_firewall(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Vu d'Internet, seul le port publié est ouvert et rien ne contourne le pare-feu.

    Les 65 535 ports TCP de rtr sont balayés, et rtr n'y résout aucun nom. Les machines internes restent hors
    d'atteinte : ni connexion directe, ni paquet hors connexion, ni port source complaisant, ni adresse du LAN usurpée.
    """
    wan_rtr, published = text(bench, "wan_rtr"), number(bench, "port_publie")
    # From an address of the Internet, as the scan: without a way back its silence would prove nothing.
    alive = probe.call("icmp.echo_from", "wan", **_echo(bench))
    expect.require(expect.true("rtr répond au ping d'Internet", "oui", "oui" if alive["received"] else "non",
                               alive["received"] > 0))  # fmt: skip
    # A router that routes nothing protects nobody: what must pass does.
    routed = probe.call("icmp.ping", "lan", address=text(bench, "serveurs_controle"))["received"] > 0
    expect.require(
        expect.equal("témoin : ICMP du LAN au réseau des serveurs", "passe", "passe" if routed else "refusé")
    )
    bypass = policy.bypass(bench)
    for row in policy.compare_bypass(bypass, probe.call("inject.send", **bypass)):
        expect.equal(*row)
    scan = probe.call("scan.tcp_ports", "wan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    if not scan["complete"]:
        raise ProbeError(f"the scan ended after {scan['sent']} ports")
    others = [port for port in scan["open"] if port != published]
    label = f"ports TCP ouverts sur {wan_rtr}, hors {published} (65 535 ports balayés)"
    expect.unseen(label, others)
    answered = probe.call("dns.query", "wan", **_resolver(bench))[0]["answered"]
    expect.equal(f"réponse de {wan_rtr} à une question DNS (UDP 53)", "aucune", "une" if answered else "aucune")


@check("CP07-S4.b", causes=("CP07-S4.a",), nodes=("rtr",), seconds=90)
def check_log(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Un paquet refusé qui vient d'Internet laisse une trace dans le journal de rtr.

    La sonde envoie à rtr, puis au réseau des serveurs, un paquet que rien d'autre n'envoie ; son adresse source et sa
    destination sont cherchées dans le journal du noyau et dans les fichiers de /var/log, pendant dix secondes. Une
    limite de débit est admise : l'essai est répété.
    """
    source, port = _new_source(probe), flows.drawn_port(bench)
    targets = {"rtr": text(bench, "wan_rtr"), "le réseau des serveurs": text(bench, "serveurs_controle")}
    shots = [policy.shot(f"vers {what}", "tcp", source, address, port) for what, address in targets.items()]
    found: dict[str, str] = {}
    for _ in Deadline.after(LOG_SECONDS).ticks(2.0):
        probe.call("inject.send", **{**policy.bypass(bench), "shots": shots, "window": 0.5, "tries": 1})
        lines = login("rtr").run(LOGGED, f"SRC={source} ").stdout.splitlines()
        found = {what: line for what, address in targets.items() for line in lines if f"DST={address} " in line}
        if len(found) == len(targets):
            break
    for what in targets:
        line = found.get(what, "")[:200]
        expect.true(f"trace du paquet de {source} vers {what}", "une ligne au moins", line or "aucune", bool(line))


def _new_source(probe: ProbeClient) -> str:
    """A public address of this grading: the journal has no line about it from an earlier one."""
    drawn = int(probe.nonce("log")[1:], 16)
    return f"45.{drawn >> 16 & 127 | 1}.{drawn >> 8 & 255}.{drawn & 127 | 1}"


def _echo(bench: Bench) -> dict[str, Any]:
    """An echo as the scan's frames: the same source, the same card."""
    return {key: value for key, value in _scan(bench).items() if key != "window"}


def _scan(bench: Bench) -> dict[str, Any]:
    return {
        "source": text(bench, "internet_web"),
        "address": text(bench, "wan_rtr"),
        "mac": bench.node("rtr").mac("wan"),
        "window": SCAN_SECONDS,
    }


def _resolver(bench: Bench) -> dict[str, Any]:
    """A question that only an open resolver answers, or refuses: either way its port is open to the Internet."""
    question = [f"www.{text(bench, 'internet_zone')}", "A"]
    return {"server": text(bench, "wan_rtr"), "questions": [question], "recursion": True}
