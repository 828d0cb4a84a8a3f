"""What the two ways of making segments have in common, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.base import BenchKey, NicSpec, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.tasks import Tasks
from labs.models.proxmox import BridgeNetwork, ProxmoxProfile


class Network(Protocol):
    """The segments of all benches of a session."""

    @property
    def spans_nodes(self) -> bool:
        """Whether a segment reaches from one node to another."""
        ...

    def ensure(
        self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], hosts: Iterable[str], deadline: Deadline
    ) -> None:
        """Make the segments exist on `hosts`, in one change of the cluster, and prove it."""
        ...

    def card(self, bench: BenchKey, nic: NicSpec) -> str:
        """The part of `netN` that connects a card: `bridge=…`, with its tag. Raises HypervisorError."""
        ...

    def remove(self, benches: Sequence[BenchKey], deadline: Deadline) -> None:
        """Take the segments of the benches away, in one change of the cluster."""
        ...

    def left(self, session: str) -> list[str]:
        """What of the session's segments still exists."""
        ...

    def free(self) -> int:
        """Segments that may still be made."""
        ...


def open_network(profile: ProxmoxProfile, client: Client, tasks: Tasks) -> Network:
    """The network that the profile chooses."""
    from labs.hypervisors.proxmox.bridge import BridgeSegments
    from labs.hypervisors.proxmox.sdn import SdnSegments

    if isinstance(profile.network, BridgeNetwork):
        return BridgeSegments(profile, profile.network, client)
    return SdnSegments(profile, profile.network, client, tasks)


def trunk_tags(nodes: Sequence[NodeSpec]) -> dict[BenchKey, dict[str, int]]:
    """For each bench, the 802.1Q tag by which its trunk cards know a segment.

    Raises EnvironmentLackError when two cards of a bench give one segment different tags, or one tag to two segments:
    no bridge of Proxmox VE translates tags.
    """
    found: dict[BenchKey, dict[str, int]] = {}
    for spec in nodes:
        for nic in spec.nics:
            tags = found.setdefault(spec.key.bench, {}) if nic.trunk else {}
            for tag, segment in nic.trunk:
                if tags.setdefault(segment, tag) != tag or list(tags.values()).count(tag) > 1:
                    raise EnvironmentLackError(
                        f"{spec.key}: tag {tag} of segment {segment} is not the one of another trunk of the bench; "
                        "Proxmox VE translates no tags"
                    )
    return found
