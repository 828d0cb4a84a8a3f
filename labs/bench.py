"""A bench as computed from its session: the only view of it that playbooks, subject and graders read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labs.hypervisors.base import BenchKey, NicSpec, NodeKey, NodeSpec, SegmentSpec
from labs.models.lab import Node
from labs.models.session import Candidate, Session
from labs.variants import Values, draw_values, mac_address, render, token


@dataclass(frozen=True)
class BenchNode:
    """One machine of the bench: its model and what a hypervisor must create."""

    model: Node
    spec: NodeSpec

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def graded(self) -> bool:
        return self.model.owner == "candidate"

    def nic_index(self, segment: str) -> int:
        """Position (0 = eth1) of the card that carries `segment`, a trunk included. Raises KeyError when none does."""
        for index, nic in enumerate(self.spec.nics):
            if segment in (nic.segment, *(name for _, name in nic.trunk)):
                return index
        raise KeyError(f"{self.name} has no card on {segment}")

    def mac(self, segment: str) -> str:
        return self.spec.nics[self.nic_index(segment)].mac

    def interface(self, segment: str) -> str:
        return f"eth{self.nic_index(segment) + 1}"


@dataclass(frozen=True)
class Bench:
    """One candidate's instance of the session's lab."""

    session: Session
    candidate: Candidate
    key: BenchKey
    values: Values
    nodes: tuple[BenchNode, ...]
    segments: tuple[SegmentSpec, ...]
    password: str
    """Of the account `candidat` on the candidate's machines."""

    def node(self, name: str) -> BenchNode:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def graded_nodes(self) -> tuple[BenchNode, ...]:
        return tuple(node for node in self.nodes if node.graded)

    @property
    def variables(self) -> dict[str, Any]:
        """What templates and playbooks see: the values, the machines and, by segment, their cards.

        A card that is a trunk is that of each segment it carries, with its `tag`.
        """
        machines = {node.name: {"interfaces": _interfaces(node)} for node in self.nodes}
        return {**self.values, "machines": machines, "candidate": self.candidate.model_dump()}


def _interfaces(node: BenchNode) -> dict[str, dict[str, str | int]]:
    found: dict[str, dict[str, str | int]] = {}
    for index, nic in enumerate(node.spec.nics, start=1):
        card: dict[str, str | int] = {"name": f"eth{index}", "mac": nic.mac}
        if nic.segment:
            found[nic.segment] = card
        found.update({segment: {**card, "tag": tag} for tag, segment in nic.trunk})
    return found


def compute_bench(session: Session, candidate: Candidate) -> Bench:
    """The bench of one candidate; pure: same session file, same bench."""
    uid = session.uid
    values = draw_values(session.lab, session.file.seed, candidate.id)
    nodes = []
    for model in session.lab.nodes:
        nics = tuple(
            NicSpec(
                mac=mac_address(uid, candidate.id, model.name, str(index)),
                segment=nic.segment,
                trunk=tuple((int(render(tag, values)), name) for tag, name in (nic.trunk or {}).items()),
            )
            for index, nic in enumerate(model.nics)
        )
        key = NodeKey(uid, candidate.id, model.name)
        release = model.release(session.lab.release)
        spec = NodeSpec(key, model.role, release, model.memory_mb, model.cores, nics)
        nodes.append(BenchNode(model, spec))
    bench_key = BenchKey(uid, candidate.id)
    segments = tuple(SegmentSpec(bench_key, segment.name) for segment in session.lab.segments)
    password = token(session.file.seed, f"{candidate.id}/password", 10)
    return Bench(session, candidate, bench_key, values, tuple(nodes), segments, password)


def compute_benches(session: Session, ids: list[str] | None = None) -> list[Bench]:
    """The benches of the selected candidates (all when none is named)."""
    return [compute_bench(session, candidate) for candidate in session.select(ids)]
