"""Our machines as one listing of the cluster shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.cluster import Guest, Snapshot
from labs.models.proxmox import ProxmoxProfile


@dataclass(frozen=True)
class Machine:
    """One of our machines; `complete` once it was configured as its specification wants."""

    key: NodeKey
    vmid: int
    node: str
    complete: bool
    specification: str | None = None
    ready: bool = False

    @property
    def path(self) -> str:
        return f"nodes/{self.node}/qemu/{self.vmid}"


@dataclass(frozen=True)
class Listing:
    """Ours in one snapshot of the cluster: by their tags, and those in our pools that have no tags of their own yet."""

    snapshot: Snapshot
    complete: Mapping[NodeKey, Sequence[Machine]]
    unmarked: Sequence[Guest]


def listing_of(profile: ProxmoxProfile, snapshot: Snapshot) -> Listing:
    """Sort a snapshot's machines of our range."""
    prefix, parent = profile.tag, naming.session_pool(profile.pool, "")
    complete: dict[NodeKey, list[Machine]] = {}
    unmarked = []
    for guest in snapshot.guests:
        if guest.vmid not in profile.vmids or guest.template:
            continue
        key = naming.key_of(prefix, guest.tags)
        if key is not None:
            specification = naming.specification_of(prefix, guest.tags)
            ready = naming.is_ready(prefix, guest.tags)
            complete.setdefault(key, []).append(Machine(key, guest.vmid, guest.node, True, specification, ready))
        elif (guest.pool or "").startswith(parent):
            unmarked.append(guest)
    return Listing(snapshot, complete, unmarked)
