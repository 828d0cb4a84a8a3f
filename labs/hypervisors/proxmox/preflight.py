"""Preflight: what a run needs of each node and storage, whether it is there, and how long it takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Snapshot
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.placement import OVERHEAD_MB, Room
from labs.models.proxmox import ProxmoxProfile
from labs.plan import DISK_PER_NODE_MB, Action, Need, NodePlan

LOCAL_CLONE_SECONDS = 0.4
SHARED_CLONE_SECONDS = 5.0
"""A linked clone under the lock of a shared or thin storage, one after the other."""
BOOT_SECONDS = {"kvm": 20.0, "tcg": 60.0}
CONFIGURE_SECONDS = 5.0
TEMPLATE_SECONDS = 240.0
"""Building, uploading and importing one role image."""


def needs(
    profile: ProxmoxProfile,
    nodes: Sequence[NodePlan],
    places: Mapping[NodeKey, str],
    free: Sequence[Room],
    snapshot: Snapshot,
    segments: tuple[int, int],
) -> tuple[tuple[Need, ...], float]:
    """The needs of a run, and its estimated seconds; `segments` is how many are wanted and how many can be made."""
    to_run = [plan for plan in nodes if plan.action is not Action.KEEP]
    to_make = [plan for plan in to_run if plan.action is not Action.START]
    new = [plan for plan in to_make if plan.action is Action.CREATE]
    memory: Counter[str] = Counter()
    starts: Counter[str] = Counter()
    for plan in to_run:
        memory[places[plan.spec.key]] += plan.spec.memory_mb + OVERHEAD_MB
        starts[places[plan.spec.key]] += 1
    found = [Need(f"memory of {room.node}", memory[room.node], room.free_mb, "MiB") for room in free]
    found += _disks(profile, [places[plan.spec.key] for plan in to_make], snapshot)
    numbers = len(profile.vmids) - sum(guest.vmid in profile.vmids for guest in snapshot.guests)
    found.append(Need("VMIDs", len(new), numbers, "numbers"))
    found.append(Need("segments", segments[0], segments[1], "segments"))
    shared = any(one.shared for one in snapshot.storages if one.name == profile.storage)
    clones = len(to_make) * (SHARED_CLONE_SECONDS if shared else LOCAL_CLONE_SECONDS / profile.caps.clones_per_storage)
    waves = max((math.ceil(count / profile.caps.boots_per_node) for count in starts.values()), default=0)
    boots = waves * BOOT_SECONDS[profile.accelerator]
    seconds = max(clones, boots) + (BOOT_SECONDS[profile.accelerator] if shared and to_make else 0.0)
    return tuple(found), seconds + (CONFIGURE_SECONDS if to_run else 0.0)


def require_firewall(profile: ProxmoxProfile, client: Client) -> None:
    """Raise EnvironmentLackError unless what closes the management leg is in force."""
    if not profile.management.firewall:
        return
    try:
        options = client.get("cluster/firewall/options", Deadline.after(30))
    except ApiError as problem:
        if problem.kind is not Kind.DENIED:
            raise
        raise EnvironmentLackError(
            "whether the cluster's firewall is on cannot be read, and it closes the machines' management cards; "
            "plateau doctor --hypervisor PROFILE names the privilege"
        ) from None
    if not int(options.get("enable") or 0):
        raise EnvironmentLackError(
            "the cluster's firewall is off: candidates could reach the management network; see docs/proxmox.md, then "
            "pvesh set /cluster/firewall/options --enable 1 (or management.firewall: false on a bridge that isolates)"
        )


def _disks(profile: ProxmoxProfile, places: Sequence[str], snapshot: Snapshot) -> list[Need]:
    """What the clones write, on the storage of the templates: one for all nodes, or each node's own."""
    seen = [one for one in snapshot.storages if one.name == profile.storage]
    if any(one.shared for one in seen):
        return [Need(f"storage {profile.storage}", DISK_PER_NODE_MB * len(places), seen[0].free_mb, "MiB")]
    count = Counter(places)
    return [
        Need(f"storage {one.name} of {one.node}", DISK_PER_NODE_MB * count[one.node], one.free_mb, "MiB")
        for one in seen
        if not profile.nodes or one.node in profile.nodes
    ]
