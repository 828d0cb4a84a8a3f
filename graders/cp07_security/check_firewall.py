"""CP07-S4: configure, test and repair a firewall."""

from __future__ import annotations

from typing import Any

from graders import flows
from graders.check import check
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, stranger, text, toward_router
from labs.bench import Bench
from labs.deadline import Deadline
from labs.variants import render

SCAN_SECONDS = 45.0
LOG_SECONDS = 10.0
LOGGED = 'w=%s; { journalctl -k -q --no-pager -o cat -n 400; cat /var/log/*.log; } 2>/dev/null | grep -aF -m 1 -- "$w"'


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("inject.send", **_inject(bench))
    probe.prefetch("scan.tcp_ports", "wan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    probe.prefetch("dns.query", "wan", **_resolver(bench))


@check("CP07-S4.a", needs=("CP06-S5.a",), nodes=("rtr", "srv"), early=_start, seconds=90)
def check_firewall(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Vu d'Internet, seul le port publié est ouvert et rien ne contourne le pare-feu.

    Les 65 535 ports TCP de rtr sont balayés, et rtr n'y résout aucun nom. Les machines internes restent hors
    d'atteinte : ni connexion directe, ni paquet hors connexion, ni port source complaisant, ni adresse du LAN usurpée.
    """
    wan_rtr, published = text(bench, "wan_rtr"), number(bench, "port_publie")
    alive = probe.call("icmp.ping", "wan", address=wan_rtr)
    expect.require(expect.true("rtr répond au ping d'Internet", "oui", "oui" if alive["received"] else "non",
                               alive["received"] > 0))  # fmt: skip
    seen = probe.call("inject.send", **_inject(bench))
    for shot in _shots(bench):
        through = seen[shot["id"]]["arrived"] or "syn-ack" in seen[shot["id"]]["replies"]
        expect.equal(shot["id"], "refusé", "passe" if through else "refusé")
    scan = probe.call("scan.tcp_ports", "wan", timeout=SCAN_SECONDS + 5, **_scan(bench))
    if not scan["complete"]:
        raise ProbeError(f"the scan ended after {scan['sent']} ports")
    others = [port for port in scan["open"] if port != published]
    label = f"ports TCP ouverts sur {wan_rtr}, hors {published} (65 535 ports balayés)"
    expect.none(label, others)
    answered = probe.call("dns.query", "wan", **_resolver(bench))[0]["answered"]
    expect.equal(f"réponse de {wan_rtr} à une question DNS (UDP 53)", "aucune", "une" if answered else "aucune")


@check("CP07-S4.b", causes=("CP07-S4.a",), nodes=("rtr",), seconds=90)
def check_log(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Un paquet refusé qui vient d'Internet laisse une trace dans le journal de rtr.

    La sonde envoie un paquet que rien d'autre n'envoie ; son adresse source est cherchée dans le journal du noyau et
    dans les fichiers de /var/log, pendant dix secondes. Une limite de débit est admise : l'essai est répété.
    """
    source, port = stranger(bench, "log"), flows.drawn_port(bench)
    shots = [
        _tcp("vers rtr", source, text(bench, "wan_rtr"), port),
        _tcp("vers le réseau des serveurs", source, text(bench, "serveurs_controle"), port),
    ]
    found = ""
    for _ in Deadline.after(LOG_SECONDS).ticks(2.0):
        probe.call("inject.send", reuse=False, **{**_inject(bench), "shots": shots, "window": 0.5, "tries": 1})
        found = login("rtr").run(LOGGED, f"SRC={source} ").stdout.strip()
        if found:
            break
    expect.true(f"trace du paquet de {source}", "une ligne au moins", found[:200] or "aucune", bool(found))


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


def _inject(bench: Bench) -> dict[str, Any]:
    return {**toward_router(bench), "shots": _shots(bench), "watch": ["lan", "serveurs"]}


def _shots(bench: Bench) -> list[dict[str, Any]]:
    """Packets that a firewall must not let in, each with the sentence that names it."""
    outside, wan_rtr = flows.internet_host(bench), text(bench, "wan_rtr")
    srv = text(bench, "serveurs_srv")
    hosts = {"LAN": text(bench, "lan_controle"), "réseau des serveurs": text(bench, "serveurs_controle")}
    shots = [
        _tcp("connexion directe à la vitrine de srv", outside, srv, number(bench, "port_vitrine")),
        _tcp("connexion SSH directe à srv", outside, srv, 22),
        _tcp(f"connexion SSH à {wan_rtr} depuis le port source 53", outside, wan_rtr, 22, sport=53),
    ]
    for zone, host in hosts.items():
        for sport in (53, 80, 443):
            shots.append(_tcp(f"ACK hors connexion vers le {zone}, port source {sport}", outside, host,
                              flows.drawn_port(bench), sport=sport, flags="A"))  # fmt: skip
        shots.append(_tcp(f"connexion vers le {zone} depuis le port source 53", outside, host, 22, sport=53))
    lan_host = render("{{ lan | host(77) }}", bench.values)
    servers = hosts["réseau des serveurs"]
    for service in (22, 80):
        shots.append(
            _tcp(f"adresse du LAN usurpée, TCP {service} vers le réseau des serveurs", lan_host, servers, service)
        )
    shots.append({"id": "adresse du LAN usurpée, ICMP vers le réseau des serveurs", "protocol": "icmp",
                  "source": lan_host, "address": servers})  # fmt: skip
    return shots


def _tcp(label: str, source: str, address: str, port: int, **more: Any) -> dict[str, Any]:
    return {"id": label, "protocol": "tcp", "source": source, "address": address, "port": port, **more}
