"""What fakepve does not model and the proxy does: how long things take, SDN, what the guests' agents say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pace:
    """Durations in seconds of PVE time (PVE.md's table); `scale` makes real ones of them. Zero: everything at once."""

    scale: float = 0.0
    clone: float = 0.2
    storage_lock: float = 0.0
    """With it, clones of one storage come one after the other, each so long (thin and shared storages)."""
    start: float = 0.5
    boot: float = 17.0
    stop: float = 0.2
    destroy: float = 0.2
    snapshot: float = 1.3
    rollback: float = 1.8
    other: float = 0.1
    silent_ping: float = 3.0
    answer: float = 0.05
    listing_lag: float = 0.0
    """How long a new machine is listed without its name and as `unknown`."""

    def of(self, kind: str) -> float:
        known = {
            "qmclone": self.clone,
            "qmstart": self.start,
            "qmstop": self.stop,
            "qmshutdown": self.stop,
            "qmdestroy": self.destroy,
            "qmsnapshot": self.snapshot,
            "qmrollback": self.rollback,
        }
        return known.get(kind, self.other)


@dataclass
class Task:
    """A task as the proxy tells it: real ones end later than fakepve's, invented ones as a fault wants."""

    upid: str
    ends: float
    invented: str | None = None
    """Exit status of a task that fakepve does not know; with `ends` never reached, it hangs."""
    log: list[str] = field(default_factory=list)

    @property
    def node(self) -> str:
        return self.upid.split(":")[1]

    @property
    def running(self) -> bool:
        return time.monotonic() < self.ends

    def status(self) -> dict[str, Any]:
        _, node, pid, pstart, start, kind, subject, user, _ = self.upid.split(":")
        told = {
            "upid": self.upid,
            "node": node,
            "pid": int(pid, 16),
            "pstart": int(pstart, 16),
            "starttime": int(start, 16),
            "type": kind,
            "id": subject,
            "user": user,
            "status": "running",
        }
        return told if self.running else {**told, "status": "stopped", "exitstatus": self.invented or "OK"}

    def listed(self) -> dict[str, Any]:
        told = self.status()
        if self.running:
            return {**told, "status": "RUNNING"}
        return {**told, "status": told.pop("exitstatus"), "endtime": int(time.time())}


@dataclass
class Sdn:
    """Zones and VNets with what is pending, and the nodes on which an apply does not arrive."""

    zones: dict[str, str]
    vnets: dict[str, dict[str, Any]] = field(default_factory=dict)
    applied: dict[str, dict[str, Any]] = field(default_factory=dict)
    on_node: dict[str, set[str]] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    """Node -> how many applies still fail there, each ending OK all the same."""
    applies: int = 0
    hidden_change: bool = False
    """Somebody else's pending change, in a zone that the token does not see."""
    locked: bool = False

    def listed(self) -> list[dict[str, Any]]:
        found = []
        for name in sorted(self.vnets.keys() | self.applied.keys()):
            now, then = self.vnets.get(name), self.applied.get(name)
            if then is None and now is not None:
                entry = {"pending": now, "state": "new", "digest": None}
            elif now is None:
                entry = {**(then or {}), "pending": {}, "state": "deleted", "digest": None}
            else:
                entry = {**now, "digest": None}
            found.append({**entry, "vnet": name, "type": "vnet"})
        return found

    def create(self, vnet: str, values: dict[str, Any]) -> str | None:
        """Make a VNet; the words of the refusal, if any."""
        failed = "create sdn vnet object failed: "
        if vnet in self.vnets:
            return f"{failed}sdn vnet object ID '{vnet}' already defined"
        kind = self.zones.get(values.get("zone", ""))
        if kind is None:
            return f"{failed}cannot lookup undefined type! at /usr/share/perl5/PVE/API2/Network/SDN/Vnets.pm line 326."
        tag = values.get("tag")
        parameter = f"{failed}400 Parameter verification failed.\n"
        if kind == "simple" and tag is not None:
            return f"{parameter}tag: vlan tag is not allowed on simple zone"
        if kind != "simple":
            if tag is None:
                return f"{parameter}tag: missing vlan tag"
            for name, other in self.vnets.items():
                if other.get("tag") == tag and other.get("zone") == values.get("zone"):
                    return f"{parameter}tag: tag {tag} already exist in vnet {name}"
        self.vnets[vnet] = values
        return None

    def apply(self, nodes: list[str]) -> None:
        self.applies += 1
        self.applied = dict(self.vnets)
        for node in nodes:
            if self.failing.get(node, 0) > 0:
                self.failing[node] -= 1
            else:
                self.on_node[node] = set(self.applied)

    def content(self, node: str, zone: str) -> list[dict[str, Any]]:
        there = self.on_node.get(node, set())
        return [
            {"vnet": name, "status": "available" if name in there else "error", "statusmsg": None}
            for name, values in sorted(self.applied.items())
            if values.get("zone") == zone
        ]


@dataclass
class GuestState:
    """One running machine: since when it runs, whether it sleeps, and the commands that its agent carries out."""

    started: float
    asleep: bool = False
    """Its system is set to sleep when the power key is pressed."""
    halted: str = ""
    """Why it stands still until `resume`: `io-error`, or `paused`."""
    commands: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """QEMU's word for it."""
        return self.halted or ("suspended" if self.asleep else "running")
