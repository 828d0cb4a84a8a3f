"""Which node carries which machine: by free memory, a bench together where that is possible. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labs.errors import EnvironmentLackError
from labs.hypervisors.base import BenchKey, NodeKey, NodeSpec
from labs.hypervisors.proxmox.cluster import Snapshot

OVERHEAD_MB = 64
"""QEMU itself, beside the guest's memory."""


@dataclass(frozen=True)
class Room:
    """Memory of a node that machines may still be given, in MiB; negative when it is overcommitted."""

    node: str
    free_mb: int


def rooms(snapshot: Snapshot, nodes: Sequence[str], reserve_mb: int) -> list[Room]:
    """The online ones among `nodes` (all when none is named).

    A machine that runs, sleeps or is paused counts with all of its memory, which it may not have touched yet.
    """
    found = []
    for host in snapshot.hosts:
        if not host.online or (nodes and host.name not in nodes):
            continue
        promised = sum(
            guest.memory_mb + OVERHEAD_MB
            for guest in snapshot.guests
            if guest.node == host.name and guest.status not in {"stopped", "unknown"}
        )
        found.append(Room(host.name, host.memory_mb - max(host.memory_used_mb, promised) - reserve_mb))
    return found


def place(
    specs: Sequence[NodeSpec],
    free: Sequence[Room],
    allowed: Mapping[tuple[str, str], frozenset[str]],
    pinned: Mapping[BenchKey, str],
    *,
    together: bool,
) -> dict[NodeKey, str]:
    """A node for every machine: the one with most memory left, as a whole bench where one node can take it.

    `allowed` gives the nodes that can clone a (role, release); `pinned` where a bench has machines already. With
    `together` a bench is never split (its network does not span nodes). A node may be given more than it has: whether
    it fits is the plan's to say. Raises EnvironmentLackError when no node can clone a machine.
    """
    left = {room.node: room.free_mb for room in free}
    chosen: dict[NodeKey, str] = {}
    benches: dict[BenchKey, list[NodeSpec]] = {}
    for spec in specs:
        benches.setdefault(spec.key.bench, []).append(spec)
    # The largest first, so that what remains is in small pieces.
    for bench, members in sorted(benches.items(), key=lambda one: (-_demand(one[1]), one[0])):
        common = frozenset(left).intersection(*(allowed.get((s.role, s.release), frozenset()) for s in members))
        home = pinned.get(bench)
        if home is not None and home not in common and together:
            raise EnvironmentLackError(
                f"{bench}: its other machines are on {home}, which is offline or has no template of these; put that "
                f"right, or take the bench down; --candidate brings the others up"
            )
        if home not in common:
            home = _roomiest(common, left)
        if home is None and together:
            raise EnvironmentLackError(f"{bench}: no online node has the templates of all its machines")
        if home is not None and (together or bench in pinned or left[home] >= _demand(members)):
            left[home] -= _demand(members)
            chosen.update((spec.key, home) for spec in members)
            continue
        for spec in sorted(members, key=lambda one: (-one.memory_mb, one.key)):
            able = allowed.get((spec.role, spec.release), frozenset()) & left.keys()
            node = _roomiest(frozenset(able), left)
            if node is None:
                raise EnvironmentLackError(f"{spec.key}: no online node has a template of {spec.role}-{spec.release}")
            left[node] -= spec.memory_mb + OVERHEAD_MB
            chosen[spec.key] = node
    return chosen


def _demand(specs: Sequence[NodeSpec]) -> int:
    return sum(spec.memory_mb + OVERHEAD_MB for spec in specs)


def _roomiest(nodes: frozenset[str], left: Mapping[str, int]) -> str | None:
    return max(sorted(nodes), key=lambda node: left[node], default=None)
