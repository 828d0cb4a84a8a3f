"""Segments as VLANs of one bridge. The session's pool remembers in its comment which VLAN is whose."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.base import BenchKey, NicSpec, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import parse
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.listing import listing_of
from labs.hypervisors.proxmox.naming import session_pool
from labs.hypervisors.proxmox.network import trunk_tags
from labs.models.proxmox import BridgeNetwork, ProxmoxProfile

READ_SECONDS = 30.0
ATTEMPTS = 8
CLASH_SECONDS = 1.0
"""Between two looks at whether the other controller has moved, where our machines cannot."""

Taken = dict[str, dict[str, int]]
"""Session -> `candidate/segment` -> VLAN."""


class BridgeSegments:
    """VLANs, reserved by writing them down where every controller of the cluster looks."""

    spans_nodes = True

    def __init__(self, profile: ProxmoxProfile, network: BridgeNetwork, client: Client) -> None:
        self._profile = profile
        self._parent = profile.pool
        self._network = network
        self._client = client
        self._lock = threading.Lock()
        self._known: Taken = {}

    def ensure(
        self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], hosts: Iterable[str], deadline: Deadline
    ) -> None:
        """Reserve what is missing, then read again: whoever sees somebody else's there moves, maybe both.

        Of two that chose the same VLAN, the one whose writing arrived last sees it; the other may look no more.
        """
        if trunk_tags(nodes):
            raise EnvironmentLackError(
                "this lab has trunk cards, whose tags a bridge of VLANs cannot translate; use an SDN zone "
                "(network: {mode: sdn, zone: …} in the profile)"
            )
        with self._lock:
            for session in sorted({segment.bench.session for segment in wanted}):
                names = [_name(segment) for segment in wanted if segment.bench.session == session]
                self._reserve(session, names, deadline)

    def card(self, bench: BenchKey, nic: NicSpec) -> str:
        name = f"{bench.candidate}/{nic.segment}"
        vlan = self._known.get(bench.session, {}).get(name)
        if vlan is None:
            with self._lock:
                self._known = self._read(Deadline.after(READ_SECONDS))
            vlan = self._known.get(bench.session, {}).get(name)
        if vlan is None:
            raise HypervisorError(f"{bench}: segment {nic.segment} has no VLAN; run plateau up")
        return f"bridge={self._network.bridge},tag={vlan}"

    def remove(self, benches: Sequence[BenchKey], deadline: Deadline) -> None:
        with self._lock:
            taken = self._read(deadline)
            for session in sorted({bench.session for bench in benches} & taken.keys()):
                gone = {bench.candidate for bench in benches if bench.session == session}
                kept = {name: vlan for name, vlan in taken[session].items() if name.partition("/")[0] not in gone}
                if kept != taken[session]:
                    self._write(session, kept, deadline)
                self._known[session] = kept

    def left(self, session: str) -> list[str]:
        taken = self._read(Deadline.after(READ_SECONDS)).get(session, {})
        return [f"VLAN {vlan} of {session}/{name}" for name, vlan in sorted(taken.items())]

    def free(self) -> int:
        taken = self._read(Deadline.after(READ_SECONDS))
        return len(self._network.vlans) - len({vlan for own in taken.values() for vlan in own.values()})

    def _reserve(self, session: str, names: Sequence[str], deadline: Deadline) -> None:
        problem = f"{session}: no VLAN could be reserved: other controllers kept choosing the same"
        for _ in range(ATTEMPTS):
            taken = self._read(deadline)
            self._known = taken
            mine = dict(taken.get(session, {}))
            others = {
                vlan: f"{owner}/{name}"
                for owner, own in taken.items()
                if owner != session
                for name, vlan in own.items()
            }
            clashes = [name for name in names if mine.get(name) in others]
            missing = [name for name in names if name not in mine or name in clashes]
            if not missing:
                return
            if fixed := self._with_machines(session, clashes, deadline):
                vlan = mine[fixed[0]]
                problem = (
                    f"{session}/{fixed[0]}: its VLAN {vlan} is also that of {others[vlan]}, and machines are on it; "
                    "run plateau down for one of the two, then up"
                )
                time.sleep(min(CLASH_SECONDS, deadline.remaining))
                continue
            numbers = range(self._network.vlans.first, self._network.vlans.last + 1)
            kept = {name: vlan for name, vlan in mine.items() if name not in missing}
            free = [vlan for vlan in numbers if vlan not in others and vlan not in kept.values()]
            if len(free) < len(missing):
                raise EnvironmentLackError(
                    f"{len(missing)} VLANs needed, {len(free)} of {numbers.start}-{numbers.stop - 1} are free; "
                    "widen network.vlans of the profile or take another session down"
                )
            # Two that move at once must not meet again.
            chosen = random.sample(free, len(missing)) if clashes else free
            mine.update(zip(missing, chosen, strict=False))
            self._write(session, mine, deadline)
        raise HypervisorError(problem)

    def _with_machines(self, session: str, names: Sequence[str], deadline: Deadline) -> list[str]:
        """The segments whose bench has machines, which carry its VLAN in their cards."""
        if not names:
            return []
        found = listing_of(self._profile, parse(self._client.get("cluster/resources", deadline))).complete
        benches = {key.candidate for key in found if key.session == session}
        return [name for name in names if name.partition("/")[0] in benches]

    def _read(self, deadline: Deadline) -> Taken:
        pools = self._client.get("pools", deadline)
        prefix = session_pool(self._parent, "")
        return {
            str(pool["poolid"]).removeprefix(prefix): vlans
            for pool in pools
            if str(pool["poolid"]).startswith(prefix) and (vlans := _parse(pool))
        }

    def _write(self, session: str, vlans: Mapping[str, int], deadline: Deadline) -> None:
        comment = json.dumps({"vlans": vlans}, sort_keys=True, separators=(",", ":"))
        pool = session_pool(self._parent, session)
        try:
            self._client.call("PUT", "pools", deadline, poolid=pool, comment=comment)
        except ApiError as problem:
            # Written or not: the next reading tells.
            if problem.kind is not Kind.UNKNOWN:
                raise


def _parse(pool: Mapping[str, Any]) -> dict[str, int]:
    try:
        vlans = json.loads(str(pool.get("comment") or "{}")).get("vlans", {})
    except (ValueError, AttributeError):
        return {}
    return {str(name): int(vlan) for name, vlan in vlans.items()}


def _name(segment: SegmentSpec) -> str:
    return f"{segment.bench.candidate}/{segment.name}"
