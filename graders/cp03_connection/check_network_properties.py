"""CP03-S2: set the network properties of the workstation."""

from __future__ import annotations

import json
from typing import Any

from graders.check import check
from graders.expect import Expect, converge
from graders.login import Login
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

MANAGEMENT = "eth0"
"""The centre's card: no candidate configures it."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("arp.who_has", "lan", **_who_has(bench))
    probe.prefetch("icmp.ping", "serveurs", address=text(bench, "lan_poste"))
    probe.prefetch("dns.query", "lan", **_known_name(bench))


@check("CP03-S2.a", causes=("CP06-S5.a",), nodes=("ws",), early=_start)
def check_properties(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Le poste a l'adresse, le masque, la passerelle et le DNS du plan.

    Vu du dehors : son adresse répond sur le LAN par sa carte, et il répond à une machine du réseau des serveurs, ce qui
    demande le bon masque et la bonne passerelle. Vu du dedans : les réglages en vigueur sont ceux du plan.
    """
    _expect_outside(bench, expect, _outside(bench, probe))
    _expect_inside(bench, login, expect)
    _expect_resolver(bench, expect, _resolver(login))
    asked = probe.call("dns.query", "lan", **_known_name(bench))
    known = sorted(record["data"] for record in asked[0].get("answers", []))
    if known:  # otherwise srv does not serve the zone yet, which is not the workstation's fault
        found = login("ws").run("timeout 8 getent ahostsv4 rtr").stdout.split()
        expect.contains("adresse du nom court « rtr » sur le poste", known[0], found)


@check("CP03-S2.b", needs=("CP03-S2.a",), nodes=("ws",), phase="reboot", seconds=90)
def check_properties_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, patience: Deadline
) -> None:
    """Le poste garde ses réglages réseau après un redémarrage.

    Même adresse, sans doublon sur le LAN, une seule route par défaut, mêmes serveur et domaine DNS, et le poste répond
    encore au-delà du routeur.
    """
    seen = converge(patience, lambda: _outside(bench, probe), lambda one: bool(one[0]) and one[1] > 0)
    _expect_outside(bench, expect, seen)
    _expect_inside(bench, login, expect)
    wanted = _wanted(bench)
    _expect_resolver(bench, expect, converge(patience, lambda: _resolver(login), lambda one: _as_wanted(wanted, one)))


def _who_has(bench: Bench) -> dict[str, Any]:
    return {"addresses": [text(bench, "lan_poste")], "linger": 1.0}


def _known_name(bench: Bench) -> dict[str, Any]:
    question = [f"rtr.{text(bench, 'domaine')}", "A"]
    return {"server": text(bench, "serveurs_srv"), "questions": [question], "recursion": True}


def _outside(bench: Bench, probe: ProbeClient) -> tuple[list[str], int]:
    """MAC addresses that answer for the workstation, and replies to a ping from the server network."""
    address = text(bench, "lan_poste")
    probe.prefetch("icmp.ping", "serveurs", address=address)
    macs: list[str] = probe.call("arp.who_has", "lan", **_who_has(bench))[address]
    return macs, probe.call("icmp.ping", "serveurs", address=address)["received"]


def _expect_outside(bench: Bench, expect: Expect, seen: tuple[list[str], int]) -> None:
    address, (macs, replies) = text(bench, "lan_poste"), seen
    expect.same_set(f"carte qui répond pour {address} sur le LAN", [bench.node("ws").mac("lan")], macs)
    shown = f"{replies} réponse(s) sur 3"
    expect.true("réponse du poste à une machine du réseau des serveurs", "au moins une", shown, replies > 0)


def _expect_inside(bench: Bench, login: Login, expect: Expect) -> None:
    host, card = login("ws"), bench.node("ws").interface("lan")
    prefix = text(bench, "lan").partition("/")[2]
    addresses = [
        f"{one['local']}/{one['prefixlen']}"
        for link in _json(host, "ip -j -4 address show scope global")
        if link.get("ifname") == card
        for one in link.get("addr_info", [])
    ]
    expect.same_set(f"adresse et masque de {card}", [f"{text(bench, 'lan_poste')}/{prefix}"], addresses)
    routes = [
        f"{route.get('gateway', 'directe')} par {route.get('dev')}"
        for route in _json(host, "ip -j -4 route show default")
        if route.get("dev") != MANAGEMENT
    ]
    expect.equal("route par défaut", [f"{text(bench, 'lan_passerelle')} par {card}"], routes)


def _wanted(bench: Bench) -> tuple[str, str]:
    """DNS server and search domain of the plan."""
    return text(bench, "serveurs_srv"), text(bench, "domaine")


def _as_wanted(wanted: tuple[str, str], seen: tuple[set[str], set[str]]) -> bool:
    return seen[0] == {wanted[0]} and wanted[1] in seen[1]


def _expect_resolver(bench: Bench, expect: Expect, seen: tuple[set[str], set[str]]) -> None:
    server, domain = _wanted(bench)
    expect.same_set("serveurs DNS", [server], seen[0])
    expect.contains("domaine de recherche", domain, seen[1])


def _json(host: Any, command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.check_output(command) or "[]")
    return found


def _resolver(login: Login) -> tuple[set[str], set[str]]:
    """DNS servers and search domains in force: resolv.conf, or systemd-resolved behind its local stub."""
    lines = [line.split() for line in login("ws").run("cat /etc/resolv.conf").stdout.splitlines()]
    servers = {words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1}
    domains = {word for words in lines if words[:1] in (["search"], ["domain"]) for word in words[1:]}
    if any(server.startswith("127.") for server in servers):
        servers = {one for one in servers if not one.startswith("127.")}
        servers |= _resolvectl(login, "dns")
        domains |= _resolvectl(login, "domain")
    return servers, {domain.lower().strip("~.") for domain in domains} - {""}


def _resolvectl(login: Login, what: str) -> set[str]:
    """Values of every link but the centre's card: lines such as `Link 3 (eth1): 10.1.2.3`."""
    found: set[str] = set()
    for line in login("ws").run("resolvectl %s --no-pager", what).stdout.splitlines():
        owner, _, values = line.partition(":")
        if f"({MANAGEMENT})" not in owner:
            found.update(value.partition("#")[0] for value in values.split())
    return found
