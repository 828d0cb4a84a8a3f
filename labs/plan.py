"""The planner: from benches and what exists to what must be done and whether it fits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from labs.bench import Bench
from labs.hypervisors.base import HostCapacity, NodeSpec, NodeStatus, Power

TCG_OVERHEAD_MB = 160
"""QEMU itself and its translated code, beside the guest's memory."""
DISK_PER_NODE_MB = 700
"""What a candidate's work and two RAM snapshots usually add to the shared image."""
INSTANT_CPU_SECONDS = 3.5
COLD_CPU_SECONDS = 25.0
PREPARATION_CPU_SECONDS = 20.0
"""Of one machine, by the playbook of a training version."""
IMAGE_SECONDS = 90.0
TEMPLATE_SECONDS = 35.0


class Action(StrEnum):
    """What `up` does with a node."""

    CREATE = "create"
    RECREATE = "recreate"
    """It exists, but a killed run left it half configured: nobody has worked in it."""
    START = "start"
    KEEP = "keep"

    @property
    def makes(self) -> bool:
        """Whether the machine is a new one, in its first state."""
        return self in {Action.CREATE, Action.RECREATE}


@dataclass(frozen=True)
class NodePlan:
    """A node and what is done with it."""

    spec: NodeSpec
    action: Action


@dataclass(frozen=True)
class Need:
    """One resource: `needed` of `available`, in `unit`."""

    resource: str
    needed: int
    available: int
    unit: str

    @property
    def fits(self) -> bool:
        return self.needed <= self.available


@dataclass(frozen=True)
class Plan:
    """The whole plan; `problems` is empty when it fits."""

    nodes: tuple[NodePlan, ...]
    needs: tuple[Need, ...]
    missing: tuple[str, ...]
    seconds: float

    @property
    def problems(self) -> list[str]:
        return [
            f"{need.resource}: {need.needed} {need.unit} needed, {need.available} {need.unit} available"
            for need in self.needs
            if not need.fits
        ]

    def count(self, action: Action) -> int:
        return sum(node.action is action for node in self.nodes)


def make_plan(
    benches: Sequence[Bench],
    existing: Sequence[NodeStatus],
    host: HostCapacity,
    missing: Sequence[str],
    *,
    memory_reserve_mb: int,
    instant: bool,
) -> Plan:
    """Compare what the benches need with what exists and what the host has."""
    nodes = node_plans(benches, existing)
    to_run = [node.spec for node in nodes if node.action is not Action.KEEP]
    to_make = [node.spec for node in nodes if node.action.makes]
    overhead = TCG_OVERHEAD_MB if host.accelerator != "kvm" else 40
    needs = (
        Need("memory", sum(s.memory_mb + overhead for s in to_run), host.memory_free_mb - memory_reserve_mb, "MiB"),
        Need("disk", DISK_PER_NODE_MB * len(to_make), host.disk_free_mb, "MiB"),
        Need("TCP ports", 2 * len(to_make), host.free_ports, "ports"),
    )
    cold = len(to_run) - (len(to_make) if instant else 0)
    work = INSTANT_CPU_SECONDS * (len(to_run) - cold) + COLD_CPU_SECONDS * cold
    if benches and benches[0].session.preparation:
        probes = {node.spec.key for bench in benches for node in bench.nodes if not node.graded}
        work += PREPARATION_CPU_SECONDS * sum(spec.key not in probes for spec in to_make)
    making = sum(IMAGE_SECONDS if what.startswith("image") else TEMPLATE_SECONDS for what in missing)
    if any(what.startswith("image") for what in missing):
        making += TEMPLATE_SECONDS * len(missing)
    return Plan(nodes, needs, tuple(missing), (work + making) / max(1, host.cores))


def node_plans(benches: Sequence[Bench], existing: Sequence[NodeStatus]) -> tuple[NodePlan, ...]:
    """What is done with each machine of the benches."""
    statuses = {status.key: status for status in existing}
    return tuple(NodePlan(node.spec, _action(statuses.get(node.spec.key))) for bench in benches for node in bench.nodes)


def _action(status: NodeStatus | None) -> Action:
    if status is None or status.power is Power.ABSENT:
        return Action.CREATE
    if not status.ready:
        return Action.RECREATE
    return Action.KEEP if status.power is Power.RUNNING else Action.START
