"""Which node of the cluster each machine of a run goes to, decided once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from labs.errors import EnvironmentLackError
from labs.hypervisors.base import NodeKey, NodeSpec
from labs.hypervisors.proxmox.cluster import LISTING_SECONDS, Cluster
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.placement import place, rooms
from labs.hypervisors.proxmox.templates import Templates
from labs.models.proxmox import ProxmoxProfile


class Places:
    """The places given so far; shared by all threads. `together`: the network of a bench does not span nodes."""

    def __init__(
        self, profile: ProxmoxProfile, cluster: Cluster, templates: Templates, machines: Machines, *, together: bool
    ) -> None:
        self._profile = profile
        self._cluster = cluster
        self._templates = templates
        self._machines = machines
        self._together = together
        self._lock = threading.Lock()
        self._given: dict[NodeKey, str] = {}

    def of(self, specs: Sequence[NodeSpec], *, lenient: bool = False) -> dict[NodeKey, str]:
        """A node for each machine; where machines of a bench exist, the others join them.

        `lenient` also places machines whose template is still to be made: on any node. Raises EnvironmentLackError when
        no node can clone a machine.
        """
        with self._lock:
            new = [spec for spec in specs if spec.key not in self._given]
            if new:
                self._give(new, lenient=lenient)
            return {spec.key: self._given[spec.key] for spec in specs}

    def forget(self, key: NodeKey) -> None:
        """The machine is gone."""
        with self._lock:
            self._given.pop(key, None)

    def clear(self) -> None:
        """Decide anew: what the decision was made of will change."""
        with self._lock:
            self._given.clear()

    def _give(self, new: Sequence[NodeSpec], *, lenient: bool) -> None:
        snapshot = self._cluster.read(LISTING_SECONDS)
        free = rooms(snapshot, self._profile.nodes, self._profile.memory_reserve_mb)
        hosts = [room.node for room in free]
        wanted = [(spec.role, spec.release) for spec in new]
        allowed = self._templates.allowed(wanted, snapshot, hosts)
        lacking = sorted({one for one in wanted if not allowed[one]})
        if lacking and not lenient:
            raise EnvironmentLackError(self._templates.remedy(*lacking[0]))
        allowed = {**allowed, **dict.fromkeys(lacking, frozenset(hosts))}
        existing = {machine.key: machine for machine in self._machines.ours(max_age=LISTING_SECONDS)}
        pinned = {key.bench: node for key, node in self._given.items()}
        pinned |= {machine.key.bench: machine.node for machine in existing.values()}
        self._given |= {key: machine.node for key, machine in existing.items()}
        missing = [spec for spec in new if spec.key not in existing]
        self._given |= place(missing, free, allowed, pinned, together=self._together)
