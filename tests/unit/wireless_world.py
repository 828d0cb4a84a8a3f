"""A workstation with a cable and a radio, as the checks of the lab sansfil meet it: time is counted, not waited for."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from graders import wireless
from labs.bench import Bench

BSSID = "02:00:00:00:00:01"
ROAMS = 2.0
"""Seconds that the radio takes to serve when the cable has gone."""


@dataclass
class World:
    """One bench. `now` goes on when something is waited for or watched."""

    bench: Bench
    bonded: bool = False
    """The cards share one address (bonding, active-backup), which the radio has only without the cable."""
    takes_back: float = 3.0
    """Seconds after which the cable serves again."""
    forgets: float = 0.0
    """Seconds for which the cable's address is still told when it is out."""
    metrics: tuple[int, int] = (1024, 2048)
    joins: bool = True
    mute: bool = False
    """Somebody else answers for the workstation: its radio says nothing."""
    looking: list[str] = field(default_factory=lambda: ["06:00:00:00:00:01"])
    """Who was heard looking for a network while ours were offered."""
    now: float = 100.0
    cable: list[tuple[float, bool]] = field(default_factory=lambda: [(0.0, True)])
    reach: bool = True
    _watch: float = 0.0
    _spoken: int = 0
    _pings: bool = False

    @property
    def network(self) -> str:
        return str(self.bench.values["lan"]).rpartition(".")[0]

    def way(self, at: float) -> str:
        """By what the workstation is in the LAN."""
        since, plugged = max((one for one in self.cable if one[0] <= at), key=lambda one: one[0])
        if plugged and at - since >= self.takes_back:
            return "cable"
        slow = not plugged and at - since < ROAMS
        return "radio" if self.joins and self.reach and not slow else ""

    # what a check is given

    def pull(self, node: str, segment: str) -> None:
        self._set(node, segment, False)

    def plug(self, node: str, segment: str) -> None:
        self._set(node, segment, True)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def login(self, node: str) -> Any:
        assert node == "ws"
        return SimpleNamespace(run=self._run)

    def nonce(self, purpose: str) -> str:
        return f"n{purpose}"

    def prefetch(self, probe: str, *, timeout: float, **_: Any) -> None:
        assert probe == "handover.watch"
        self._watch, self._spoken = self.now, 0

    def call(self, probe: str, leg: str | None = None, **asked: Any) -> Any:
        match probe:
            case "dns.query":
                return [{"answered": True}]
            case "http.get":
                return {"status": 200}
            case "ether.networks":
                return [{"ssid": wireless.ssid(self.bench, "personnel"), "bssid": BSSID}]
            case "lure.offer":
                self.now += asked["window"]
                return {"ready": list(asked["networks"]), "caught": {one: [] for one in asked["networks"].values()},
                        "looking": self.looking}  # fmt: skip
            case "icmp.ping":
                return {"received": self._answers(asked["address"], asked["count"])}
            case "handover.watch":
                return self._seen(asked["window"])
        raise AssertionError(probe)

    # how it behaves

    def _set(self, node: str, segment: str, up: bool) -> None:
        if node == "ap":
            self.reach = up
        else:
            self.cable.append((self.now, up))

    def _run(self, command: str, *_: str) -> Any:
        if "address" in command:
            return SimpleNamespace(stdout=json.dumps(self._cards()))
        if "route" in command:
            return SimpleNamespace(stdout=json.dumps(self._routes()))
        self._pings = True
        return SimpleNamespace(stdout="lance")

    def _cards(self) -> list[dict[str, Any]]:
        way, radio = self.way(self.now), wireless.radio(self.bench, "ws")
        since, plugged = self.cable[-1]
        wired = way == "cable" or (not plugged and self.now - since < self.forgets)
        held = {"eth1": "" if self.bonded or not wired else f"{self.network}.120",
                "wlan0": "" if self.bonded or not self.joins else f"{self.network}.121",
                "bond0": f"{self.network}.122" if self.bonded else ""}  # fmt: skip
        macs = {"eth1": "52:54:00:00:00:01", "wlan0": radio, "bond0": radio if way == "radio" else "52:54:00:00:00:01"}
        cards = [{"ifname": "eth0", "address": "52:54:00:00:00:00", "addr_info": [_inet("10.0.0.9")]}]
        return cards + [
            {"ifname": name, "address": macs[name], "addr_info": [_inet(one)] if one else []}
            for name, one in held.items()
        ]

    def _routes(self) -> list[dict[str, Any]]:
        if self.bonded:
            return [{"dst": "default", "dev": "bond0"}]
        cards = (["eth1"] if self.way(self.now) == "cable" else []) + (["wlan0"] if self.joins else [])
        return [{"dst": "default", "dev": one, "metric": self.metrics[one == "wlan0"]} for one in cards]

    def _answers(self, address: str, count: int) -> int:
        way = self.way(self.now)
        wanted = "122" if self.bonded else {"cable": "120", "radio": "121"}.get(way)
        if not way or address.rpartition(".")[2] != wanted:
            return 0
        if way == "radio" and not self.mute:
            self._spoken += count
        return count

    def _seen(self, window: float) -> dict[str, Any]:
        """What `handover.watch` told since `prefetch`."""
        steps = [self._watch + 0.5 * step for step in range(int(window / 0.5))] if self._pings else []
        self.now = max(self.now, self._watch + window)
        echoes = [at - self._watch for at in steps if self.way(at)]
        frames = [at - self._watch for at in steps if self.way(at) == "radio"] + [0.1] * self._spoken
        return {"echoes": echoes, "frames": frames, "bssids": [BSSID] if frames else [], "clear": 0}


@dataclass
class Devices:
    """The probe's wireless devices on networks that do everything right but, perhaps, what DHCP gives to guests."""

    bench: Bench
    given: dict[str, Any] = field(default_factory=dict)
    """Fields of the offer that are not those of the subject."""
    pool_ends: int = 149
    """Last host of the guests' pool."""
    isolated: bool = False
    """Whether devices of the staff are kept apart."""

    def nonce(self, purpose: str) -> str:
        return f"n{purpose}"

    def call(self, probe: str, leg: str | None = None, **asked: Any) -> Any:
        value = self.bench.values
        gateway = value["invites_passerelle"]
        match probe:
            case "dns.query":
                return [{"answered": True}]
            case "http.get":
                return {"status": 200, "reason": "", "body": json.dumps({"client": value["wan_ap"]})}
            case "ether.networks":
                return [{"ssid": wireless.ssid(self.bench, one), "frequency": 2437, "rsn": True}
                        for one in wireless.NETWORKS]  # fmt: skip
            case "wifi.join":
                return self._join(asked)
            case "flow.matrix":
                return {one["id"]: {"state": "open" if "patience" in one else "filtered", "source": None}
                        for one in asked["flows"]}  # fmt: skip
            case "tcp.connect":
                return dict.fromkeys(asked["ports"], "filtered")
            case "arp.who_has":
                return {one: ["02:00:00:00:00:01"] if one == gateway else [] for one in asked["addresses"]}
            case "icmp.ping":
                return {"received": 3 if leg == "personnel" and not self.isolated else 0}
            case "dhcp.discover":
                wish = ipaddress.IPv4Address(asked["requested"][0])
                pool = ipaddress.IPv4Network(str(value["invites"]))
                given = wish if pool[50] <= wish <= pool[self.pool_ends] else pool[60]
                return [{"mac": asked["macs"][0], "address": str(given)}]
            case "wifi.leave":
                return None
        raise AssertionError(probe)

    def _join(self, asked: dict[str, Any]) -> dict[str, Any]:
        value = self.bench.values
        who = next(one for one in wireless.NETWORKS if wireless.ssid(self.bench, one) == asked["ssid"])
        if asked["key"] != value[f"cle_{who}"]:
            return {"joined": False, "tried": True, "said": [], "offers": []}
        gateway = str(value["invites_passerelle" if who == "invites" else "lan_passerelle"])
        first = ipaddress.IPv4Address(str(value["invites_plage_debut" if who == "invites" else "lan_plage_debut"]))
        offer = {"address": str(first + (asked["radio"] != who)), "server": gateway, "mask": "255.255.255.0",
                 "routers": [gateway], "dns": [value["internet_dns"]]}  # fmt: skip
        return {"joined": True, "tried": True, "mac": "02:00:00:00:00:07",
                "offers": [{**offer, **(self.given if who == "invites" else {})}]}  # fmt: skip


def _inet(address: str) -> dict[str, str]:
    return {"family": "inet", "scope": "global", "local": address}
