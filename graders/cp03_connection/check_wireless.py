"""CP03-S1 and CP03-D2: connect a workstation to a wireless network; hand over between cable and wireless."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from graders import internet, wireless
from graders.cables import Cables
from graders.check import check
from graders.expect import Expect, converge, show
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

ADDRESSES = "ip -json address show"
ROUTES = "ip -json -4 route show default"
BEAT = 0.5
PINGS = "setsid ping -n -q -i %s -w %s -p %s %s >/dev/null 2>&1 </dev/null & echo lance"
WIRED, PULLED, PLUGGED, END = 0.0, 10.0, 38.0, 66.0
"""Seconds of the watch at which each stage begins: cable in, cable out, cable in again; and its end."""
TAKEOVER, SETTLED = 15.0, 20.0
MARGIN = 2.0
LURE = 60.0
"""Seconds that open networks are offered: a workstation whose network is gone looks for another after a while."""
ROAM = 90.0
"""Seconds that a workstation without its cable is waited for: how fast it changes over is another check's question."""
ANSWERS = 6
HEARD = 0.6
"""Share of the packets of a station that the probe hears in the air at least."""
MANAGEMENT, TRIED = "eth0", 6
"""The centre's card, and how many addresses are tried at most."""


@check("CP03-S1.b", needs=("CP07-S6.a",), nodes=("ws", "ap"), seconds=180)
def check_association(bench: Bench, probe: ProbeClient, login: Login, cables: Cables, expect: Expect) -> None:
    """Sans câble, le poste est sur le LAN par le réseau sans fil du personnel.

    Le câble de ws est débranché ; la sonde, sur le LAN, l'atteint encore à une adresse du LAN, et entend sa carte
    radio, à son adresse MAC d'origine, parler, chiffré, au point d'accès du personnel.
    """
    _on_the_air(bench, probe, login, cables, expect, Deadline.after(ROAM))


@check("CP03-S1.e", needs=("CP03-S1.b",), causes=("CP07-S6.d",), nodes=("ws", "ap"), phase="reboot", seconds=240)
def check_association_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, cables: Cables, expect: Expect, patience: Deadline
) -> None:
    """Le poste rejoint de lui-même le réseau sans fil du personnel après un redémarrage.

    Même mesure que pour CP03-S1.b.
    """
    _on_the_air(bench, probe, login, cables, expect, Deadline.after(patience.remaining + ROAM / 2))


@check("CP03-S1.d", needs=("CP03-S1.b",), nodes=("ws", "ap"), seconds=360)
def check_open_networks(bench: Bench, probe: ProbeClient, login: Login, cables: Cables, expect: Expect) -> None:
    """Hors de portée du point d'accès, le poste ne rejoint aucun réseau ouvert.

    Le point d'accès est mis hors de portée. La sonde offre deux réseaux ouverts : l'ancien, et un qui porte le nom du
    réseau du personnel. Le poste ne s'associe à aucun ; le point d'accès revenu, il rejoint le sien.
    """
    names = {"personnel": wireless.ssid(bench, "personnel"), "invites": text(bench, "ancien")}
    cables.pull("ap", "ether")
    cables.pull("ws", "lan")
    request: dict[str, Any] = {"networks": names, "channel": number(bench, "canal"), "window": LURE}
    seen = probe.call("lure.offer", timeout=LURE + 25, **request)
    if len(seen["ready"]) != len(names):
        raise ProbeError(f"lure.offer: only {seen['ready']} of {sorted(names)} were in the air")
    cables.plug("ap", "ether")
    for name in names.values():
        expect.unseen(f"terminaux pris par le réseau ouvert {name}", seen["caught"][name])
    if not seen["looking"]:  # by another address than its own: cards hide theirs while they look
        raise ProbeError(f"nobody looked for a network in {LURE:g} s, so none was left aside")
    back = converge(Deadline.after(120.0), lambda: _answering(bench, probe, login), bool)
    expect.equal("poste, une fois le point d'accès revenu", "joignable par la radio", _reachable(bool(back)))


@check("CP03-D2.a", needs=("CP03-S1.b",), nodes=("ws", "ap"), seconds=180)
def check_handover(bench: Bench, probe: ProbeClient, login: Login, cables: Cables, expect: Expect) -> None:
    """Câble débranché, le sans-fil prend le relais en moins de 15 secondes ; rebranché, le câble reprend la main.

    Le poste interroge Internet sans arrêt ; la sonde date ce qui y arrive et ce que la radio du poste émet pendant que
    le câble est débranché, puis rebranché. Les routes par défaut n'ont jamais la même priorité.
    """
    internet.require(bench, probe)
    host = login("ws")
    cables.wait(SETTLED)  # the check before this one may just have plugged the cable
    before = _metrics(host.run(ROUTES).stdout)
    word = probe.nonce("handover").encode().hex()[:16]
    host.run(PINGS, str(BEAT), str(int(END)), word, text(bench, "internet_web"))
    request: dict[str, Any] = {"toward": "wan", "word": word, "station": wireless.radio(bench, "ws"), "window": END}
    probe.prefetch("handover.watch", timeout=END + 15, **request)
    cables.wait(PULLED)
    cables.pull("ws", "lan")
    cables.wait(PLUGGED - PULLED)
    cables.plug("ws", "lan")
    seen = probe.call("handover.watch", timeout=END + 15, **request)
    for row in handover_rows(seen):
        expect.true(*row)
    for when, metrics in (("avant", before), ("après", _metrics(host.run(ROUTES).stdout))):
        told = "aucune" if _distinct(metrics) else f"priorités {show(metrics)}"
        expect.equal(f"routes par défaut de même priorité, {when} le débranchement", "aucune", told)


def handover_rows(seen: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Label, expected, observed and verdict, from what handover.watch saw."""
    echoes, frames = seen["echoes"], seen["frames"]
    stages = (
        ("câble branché", WIRED, PULLED, "câble"),
        ("câble débranché depuis 15 s", PULLED + TAKEOVER + MARGIN, PLUGGED, "sans-fil"),
        (f"câble rebranché depuis {SETTLED:.0f} s", PLUGGED + SETTLED, END, "câble"),
    )
    rows = []
    for label, start, end, wanted in stages:
        way = _way(_between(echoes, start, end), _between(frames, start, end))
        rows.append((f"chemin vers Internet, {label}", wanted, way, way == wanted))
    gap = _longest_gap([one for one in echoes if PULLED - MARGIN <= one <= PLUGGED], PLUGGED)
    rows.append(("coupure quand le câble est débranché", f"moins de {TAKEOVER:.0f} s", f"{gap:.0f} s", gap < TAKEOVER))
    return rows


def _way(echoes: Sequence[float], frames: Sequence[float]) -> str:
    """Each echo request that goes by the radio is a frame in the air; what else a station says there is little."""
    if len(echoes) < 2:
        return "aucun"
    return "sans-fil" if len(frames) >= HEARD * len(echoes) else "câble"


def _between(times: Sequence[float], start: float, end: float) -> list[float]:
    return [one for one in times if start <= one < end]


def _longest_gap(times: Sequence[float], end: float) -> float:
    """The longest time without any, up to `end`."""
    edges = [*sorted(times), end]
    return max((after - before for before, after in pairwise(edges)), default=end)


def _on_the_air(
    bench: Bench, probe: ProbeClient, login: Login, cables: Cables, expect: Expect, patience: Deadline
) -> None:
    """The cable is pulled first: cards that share one address (bonding) give it to the radio only then."""
    network = text(bench, "lan")
    cables.pull("ws", "lan")
    address = converge(patience, lambda: _answering(bench, probe, login), bool)
    told = _addresses(bench, login)
    label = "adresse de ws, câble débranché"
    expect.require(expect.true(label, f"du LAN, {network}", show(told), any(_inside(one, network) for one in told)))
    station = wireless.radio(bench, "ws")
    request: dict[str, Any] = {"toward": "lan", "word": "00", "station": station, "window": 8.0}
    probe.prefetch("handover.watch", timeout=20, **request)
    cables.wait(MARGIN)  # what is asked next must not come before the probe listens
    answers = _answers(probe, address, ANSWERS)
    seen = probe.call("handover.watch", timeout=20, **request)
    expect.equal("poste sans câble, depuis le LAN", "joignable par la radio", _reachable(answers > 0))
    wanted = {one["bssid"] for one in wireless.announced(bench, probe, "personnel")}
    heard = len(seen["frames"]) >= max(1.0, HEARD * answers) and set(seen["bssids"]) <= wanted
    label = "trames chiffrées de la carte sans fil de ws vers le point d'accès du personnel"
    expect.true(label, "entendues", f"{len(seen['frames'])}, vers {', '.join(seen['bssids']) or 'personne'}", heard)
    expect.equal("trames en clair de la carte sans fil de ws", 0, seen["clear"])


def _addresses(bench: Bench, login: Login) -> list[str]:
    """The IPv4 addresses that ws says it has, its radio's first. What it says is then tried."""
    try:
        cards = [card for card in json.loads(login("ws").run(ADDRESSES).stdout) if card.get("ifname") != MANAGEMENT]
        cards.sort(key=lambda card: card.get("address") != wireless.radio(bench, "ws"))
        told = [(one["family"], one["scope"], str(one["local"])) for card in cards for one in card["addr_info"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return list(dict.fromkeys(local for family, scope, local in told if (family, scope) == ("inet", "global")))


def _inside(address: str, network: str) -> bool:
    try:
        return ipaddress.IPv4Address(address) in ipaddress.IPv4Network(network)
    except ValueError:
        return False


def _answering(bench: Bench, probe: ProbeClient, login: Login) -> str:
    """The address of the LAN at which ws answers a host of the LAN; empty when there is none."""
    told = [one for one in _addresses(bench, login) if _inside(one, text(bench, "lan"))]
    return next((one for one in told[:TRIED] if _answers(probe, one)), "")


def _answers(probe: ProbeClient, address: str, count: int = 3) -> int:
    return int(probe.call("icmp.ping", "lan", address=address, count=count)["received"]) if address else 0


def _reachable(answered: bool) -> str:
    return "joignable par la radio" if answered else "injoignable"


def _metrics(told: str) -> list[int]:
    """Priorities of the default routes, as `ip` tells them, one a way; 0 where it tells none."""
    try:
        routes = json.loads(told)
        return [int(route.get("metric", 0)) for route in routes for _ in route.get("nexthops") or [route]]
    except (ValueError, TypeError, AttributeError):
        return []


def _distinct(metrics: list[int]) -> bool:
    return bool(metrics) and len(set(metrics)) == len(metrics)
