"""CP03-C1 and CP03-C2: network access works, and the addressing plan is respected."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from graders import internet
from graders.check import check
from graders.expect import Expect, show
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench

TIMES = 3
# What a person does with a browser: the name, then the page. One program for all, since starting one takes long; it
# ends at the first page that does not open, since waiting for the next ones would teach nothing.
VISIT = """
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
found = []
for url in sys.argv[1:]:
    try:
        with opener.open(url, timeout=6) as page:
            found.append(page.read(4096).decode("utf-8", "replace"))
    except (OSError, ValueError) as problem:
        found.append("! " + str(problem))
        break
print(json.dumps(found))
"""


def _start_plan(bench: Bench, probe: ProbeClient) -> None:
    for leg in ("lan", "serveurs"):
        probe.prefetch("arp.sweep", leg, timeout=40, **_everybody(bench, leg))


@check("CP03-C1.a", causes=("CP03-S2.a", "CP06-S2.b", "CP07-S2.a"), nodes=("ws", "rtr", "srv"), seconds=90)
def check_access(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Depuis le poste, l'intranet et Internet répondent, trois fois de suite.

    Le poste demande par leur nom la vitrine de srv et un site d'Internet à chaque fois différent ; le serveur DNS du
    fournisseur et le site voient passer la demande.
    """
    internet.require(bench, probe)
    names = [f"{probe.nonce(f'visit {number}')}.{text(bench, 'internet_zone')}" for number in range(TIMES)]
    inside = f"http://intranet.{text(bench, 'domaine')}:{text(bench, 'port_vitrine')}/"
    urls = [url for name in names for url in (inside, f"http://{name}/")]
    told = login("ws").run("python3 -I -c %s " + " ".join(["%s"] * len(urls)), VISIT, *urls).stdout
    pages = [*_texts(told), *["! pas essayé"] * len(urls)][: len(urls)]
    shown = [page for page in pages[0::2] if _field(page, "jeton") == text(bench, "jeton_web")]
    expect.equal("visites réussies de la vitrine, par son nom", TIMES, len(shown))
    for name, page in zip(names, pages[1::2], strict=True):
        asked = bool(probe.call("dns.seen", nonce=name, window=0.5))
        client = _field(page, "client")
        observed = (client if asked else "sans résolution du nom") if client else page.removeprefix("! ")
        expect.equal(f"http://{name}/ : adresse vue par le site", text(bench, "wan_rtr"), observed)


@check("CP03-C2.a", causes=("CP03-S2.a", "CP06-S5.a"), nodes=("rtr", "srv", "ws"), seconds=60)
def check_plan(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Sur le LAN et sur le réseau des serveurs, seules les adresses du plan sont en service, sans doublon.

    La sonde demande chaque adresse du réseau : elle attend celles du plan, chacune d'une seule carte, la bonne.
    """
    _start_plan(bench, probe)
    names = {"lan": "LAN", "serveurs": "réseau des serveurs"}
    for leg, wanted in _plan(bench).items():
        seen = probe.call("arp.sweep", leg, timeout=40, **_everybody(bench, leg))
        if seen["unheard"]:
            raise ProbeError(f"arp.sweep: {seen['unheard']} batches of requests were not heard on {leg}")
        present = {address: macs for address, macs in seen["found"].items() if macs}
        expect.same_set(f"adresses en service, {names[leg]}", wanted, present)
        for address, node in wanted.items():
            mac = bench.node(node).mac(leg)
            expect.true(f"carte qui répond pour {address}", mac, show(present.get(address, [])),
                        present.get(address) == [mac])  # fmt: skip


def _plan(bench: Bench) -> dict[str, dict[str, str]]:
    """Leg -> address of the plan -> the machine that has it."""
    return {
        "lan": {text(bench, "lan_passerelle"): "rtr", text(bench, "lan_poste"): "ws"},
        "serveurs": {text(bench, "serveurs_passerelle"): "rtr", text(bench, "serveurs_srv"): "srv"},
    }


def _everybody(bench: Bench, leg: str) -> dict[str, Any]:
    """Every address of the network but the probe's own."""
    known = list(_plan(bench)[leg])
    there = {text(bench, f"{leg}_controle"), *known}
    addresses = [str(one) for one in ipaddress.ip_network(text(bench, leg)).hosts() if str(one) not in there]
    return {"addresses": addresses, "known": known}


def _texts(told: str) -> list[str]:
    """The pages that the workstation says it got; none when it says something else."""
    try:
        found = json.loads(told)
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _field(page: str, name: str) -> str:
    try:
        return str(json.loads(page)[name])
    except (ValueError, KeyError, TypeError):
        return ""
