"""What exists in the cluster, read in one call: machines, nodes and storages.

Tags, pools and locks in `/cluster/resources` are current; power, names and the template flag come from each node's
statistics and are up to ten seconds old: a machine that is newer has the status `unknown` and none of them. The power
is `stopped` or QEMU's own word (`running`, `paused`, `suspended`, `io-error`). Nothing is started, stopped or deleted
because of them alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labs.deadline import Deadline
from labs.hypervisors.proxmox.client import Client

READ_SECONDS = 60.0
LISTING_SECONDS = 30.0
"""Age of a listing that is good enough to know that a machine is not there: this run holds the session's lock."""


@dataclass(frozen=True)
class Guest:
    """A virtual machine or template that the token can see. Memory in MiB."""

    vmid: int
    node: str
    status: str
    template: bool
    tags: frozenset[str]
    pool: str | None
    memory_mb: int
    uptime: int


@dataclass(frozen=True)
class Host:
    """A node of the cluster. Sizes in MiB; zero where the token may not look (Sys.Audit)."""

    name: str
    online: bool
    cores: int
    memory_mb: int
    memory_used_mb: int


@dataclass(frozen=True)
class Storage:
    """A storage as one node sees it. Sizes in MiB."""

    name: str
    node: str
    shared: bool
    total_mb: int
    used_mb: int
    content: frozenset[str]
    kind: str = ""
    """Type of the storage: `dir`, `lvmthin`, `rbd`, …"""

    @property
    def free_mb(self) -> int:
        return max(0, self.total_mb - self.used_mb)


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment."""

    guests: tuple[Guest, ...] = ()
    hosts: tuple[Host, ...] = ()
    storages: tuple[Storage, ...] = ()
    taken: float = field(default=0.0, compare=False)
    """On the monotonic clock."""

    @property
    def offline(self) -> frozenset[str]:
        """Nodes that no call reaches: each one would be answered by a 595, after three seconds."""
        return frozenset(host.name for host in self.hosts if not host.online)


def parse(entries: list[Mapping[str, Any]]) -> Snapshot:
    """The answer of `/cluster/resources`; numbers may come as strings, and keys may be absent."""
    guests, hosts, storages = [], [], []
    for entry in entries:
        kind = entry.get("type")
        if kind == "qemu":
            guests.append(_guest(entry))
        elif kind == "node":
            host = Host(
                name=str(entry["node"]),
                online=entry.get("status") == "online",
                cores=_whole(entry.get("maxcpu")),
                memory_mb=_whole(entry.get("maxmem")) >> 20,
                memory_used_mb=_whole(entry.get("mem")) >> 20,
            )
            hosts.append(host)
        elif kind == "storage":
            storage = Storage(
                name=str(entry["storage"]),
                node=str(entry["node"]),
                shared=bool(_whole(entry.get("shared"))),
                total_mb=_whole(entry.get("maxdisk")) >> 20,
                used_mb=_whole(entry.get("disk")) >> 20,
                content=frozenset(str(entry.get("content") or "").split(",")),
                kind=str(entry.get("plugintype") or ""),
            )
            storages.append(storage)
    return Snapshot(
        tuple(sorted(guests, key=lambda guest: guest.vmid)),
        tuple(sorted(hosts, key=lambda host: host.name)),
        tuple(sorted(storages, key=lambda storage: (storage.name, storage.node))),
    )


class Cluster:
    """The latest snapshot, read again when it is older than who asks can accept; shared by all threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._latest = Snapshot(taken=float("-inf"))

    def read(self, max_age: float = 0.0) -> Snapshot:
        """A snapshot begun at most `max_age` seconds before this call."""
        asked = time.monotonic()
        with self._lock:
            if self._latest.taken < asked - max_age:
                began = time.monotonic()
                entries = self._client.get("cluster/resources", Deadline.after(READ_SECONDS))
                found = parse(entries)
                self._latest = Snapshot(found.guests, found.hosts, found.storages, began)
            return self._latest


def _guest(entry: Mapping[str, Any]) -> Guest:
    return Guest(
        vmid=_whole(entry["vmid"]),
        node=str(entry["node"]),
        status=str(entry.get("status") or "unknown"),
        template=bool(_whole(entry.get("template"))),
        tags=frozenset(tag for tag in str(entry.get("tags") or "").split(";") if tag),
        pool=str(entry["pool"]) if entry.get("pool") else None,
        memory_mb=_whole(entry.get("maxmem")) >> 20,
        uptime=_whole(entry.get("uptime")),
    )


def _whole(value: object) -> int:
    return int(float(str(value))) if value not in {None, ""} else 0
