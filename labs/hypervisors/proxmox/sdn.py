"""Segments as VNets of an SDN zone: made together, applied once, and proved on every node."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.base import BenchKey, NicSpec, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind, cleaned
from labs.hypervisors.proxmox.network import trunk_tags
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.tasks import Tasks
from labs.hypervisors.proxmox.vnets import Vnet, grouped, inner, parse
from labs.models.proxmox import ProxmoxProfile, SdnNetwork

READ_SECONDS = 30.0
RELOAD_SECONDS = 4.0
"""How long a node may take to show VNets after the apply's task has ended."""
PENDING_SECONDS = 30.0
"""How long somebody else's pending change, or the lock of SDN, is waited for: another run has them for a moment."""
MAKERS = 6
TAGGED = frozenset({"vlan", "qinq", "vxlan", "evpn"})
"""Zone types whose VNets want a tag; a simple zone's end at their node."""


class SdnSegments:
    """VNets that are recognised by their alias; nobody else's is touched, and nobody else's change is applied."""

    def __init__(self, profile: ProxmoxProfile, network: SdnNetwork, client: Client, tasks: Tasks) -> None:
        self._network = network
        self._client = client
        self._tasks = tasks
        self._lock = threading.Lock()
        self._type: str | None = None
        self._known: dict[str, Vnet] = {}
        self._sorted: tuple[dict[str, Vnet], dict[BenchKey, list[Vnet]]] = ({}, {})

    @property
    def spans_nodes(self) -> bool:
        return self._zone_type() in TAGGED

    def ensure(
        self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], hosts: Iterable[str], deadline: Deadline
    ) -> None:
        trunks = trunk_tags(nodes)
        with self._lock:
            known = self._read(deadline)
            if any(vnet.state == "deleted" and vnet.owner is not None for vnet in known.values()):
                # A killed run deleted them without applying: that first, since an identifier cannot come back before.
                self._require_quiet(known, deadline)
                self._apply(deadline)
                known = self._read(deadline)
            vnets = grouped(wanted, trunks, known)
            missing = [one for one in vnets if naming.vnet(one) not in known]
            ours = {naming.vnet(one) for one in vnets}
            pending = any(vnet.state for vnet in known.values() if vnet.id in ours)
            if missing or pending:
                self._require_quiet(known, deadline)
            self._create_all(missing, known, deadline)
            if missing or pending:
                self._apply(deadline)
                known = self._read(deadline)
            self._prove(ours, hosts, deadline)
            self._known = known

    def card(self, bench: BenchKey, nic: NicSpec) -> str:
        with self._lock:
            found = self._card(bench, nic)
            if found is None:
                self._known = self._read(Deadline.after(READ_SECONDS))
                found = self._card(bench, nic)
        if found is None:
            raise HypervisorError(f"{bench}: a card's segment has no VNet in zone {self._network.zone}; run plateau up")
        return found

    def remove(self, benches: Sequence[BenchKey], deadline: Deadline) -> None:
        with self._lock:
            known = self._read(deadline)
            ours = [one for one in known.values() if one.owner is not None and one.owner.bench in benches]
            if not ours:
                return
            self._require_quiet(known, deadline)
            for vnet in ours:
                if vnet.state != "deleted":
                    self._delete(vnet, deadline)
            self._apply(deadline)
            self._known = self._read(deadline)

    def left(self, session: str) -> list[str]:
        known = self._read(Deadline.after(READ_SECONDS))
        return [
            f"VNet {vnet.id} of {vnet.owner.bench}/{vnet.owner.name}"
            for vnet in sorted(known.values(), key=lambda one: one.id)
            if vnet.owner is not None and vnet.owner.bench.session == session
        ]

    def free(self) -> int:
        if self._zone_type() not in TAGGED:
            return len(self._network.tags)
        known = self._read(Deadline.after(READ_SECONDS))
        return len(self._network.tags) - sum(vnet.tag in self._network.tags for vnet in known.values() if vnet.tag)

    def _card(self, bench: BenchKey, nic: NicSpec) -> str | None:
        """How a card joins: alone on its VNet, or inside the VLAN-aware VNet that the bench's trunks share."""
        for vnet in self._of(bench):
            assert vnet.owner is not None
            tags = inner(vnet.owner.name)
            if nic.trunk and {segment: tag for tag, segment in nic.trunk}.items() <= tags.items():
                return f"bridge={vnet.id},trunks={';'.join(str(tag) for tag, _ in nic.trunk)}"
            if nic.segment == vnet.owner.name:
                return f"bridge={vnet.id}"
            if nic.segment in tags:
                return f"bridge={vnet.id},tag={tags[nic.segment]}"
        return None

    def _of(self, bench: BenchKey) -> Sequence[Vnet]:
        """The bench's VNets; sorted once a reading, though every card of a cohort asks for them."""
        if self._sorted[0] is not self._known:
            benches: dict[BenchKey, list[Vnet]] = {}
            for vnet in self._known.values():
                if vnet.owner is not None:
                    benches.setdefault(vnet.owner.bench, []).append(vnet)
            self._sorted = (self._known, benches)
        return self._sorted[1].get(bench, ())

    def _create_all(self, wanted: Sequence[SegmentSpec], known: dict[str, Vnet], deadline: Deadline) -> None:
        """Some at once: each is a change of one file under one lock of the cluster."""
        tags: Iterator[int | None] = itertools.repeat(None)
        if self._zone_type() in TAGGED:
            used = {vnet.tag for vnet in known.values()}
            numbers = range(self._network.tags.first, self._network.tags.last + 1)
            tags = iter([number for number in numbers if number not in used])
        choosing = threading.Lock()

        def choose() -> int | None:
            with choosing:
                try:
                    return next(tags)
                except StopIteration:
                    raise EnvironmentLackError(
                        f"zone {self._network.zone}: every tag of {self._network.tags.first}-{self._network.tags.last} "
                        "is in use; widen network.tags of the profile or take another session down"
                    ) from None

        with ThreadPoolExecutor(MAKERS) as pool:
            for made in [pool.submit(self._create, one, choose, deadline) for one in wanted]:
                made.result()

    def _create(self, wanted: SegmentSpec, choose: Callable[[], int | None], deadline: Deadline) -> None:
        name = naming.vnet(wanted)
        while True:
            tag = choose()
            try:
                settle(
                    lambda tag=tag: self._client.call(  # type: ignore[misc]
                        "POST",
                        "cluster/sdn/vnets",
                        deadline,
                        vnet=name,
                        zone=self._network.zone,
                        alias=naming.alias(wanted),
                        tag=tag,
                        vlanaware=True if inner(wanted.name) else None,
                    ),
                    lambda: self._is_ours(name, wanted, deadline),
                    self._tasks,
                    f"VNet {name}",
                    deadline,
                )
            except ApiError as problem:
                if tag is None or "already exist in vnet" not in problem.text:
                    raise
                continue  # another controller was quicker
            return

    def _delete(self, vnet: Vnet, deadline: Deadline) -> None:
        path = f"cluster/sdn/vnets/{vnet.id}"
        for subnet in self._client.get(f"{path}/subnets", deadline):
            self._settled_delete(f"{path}/subnets/{subnet['subnet']}", f"subnet {subnet['subnet']}", deadline)
        self._settled_delete(path, f"VNet {vnet.id}", deadline)

    def _settled_delete(self, path: str, what: str, deadline: Deadline) -> None:
        def gone() -> bool:
            try:
                self._client.get(path, deadline)
            except ApiError as problem:
                if problem.kind in {Kind.MISSING, Kind.DENIED}:
                    return True
                raise
            return False

        settle(lambda: self._client.call("DELETE", path, deadline), gone, self._tasks, what, deadline)

    def _is_ours(self, name: str, wanted: SegmentSpec, deadline: Deadline) -> bool:
        found = self._read(deadline).get(name)
        if found is not None and found.alias != naming.alias(wanted):
            raise HypervisorError(f"VNet {name} exists and is not ours; delete it, or choose another zone")
        return found is not None

    def _require_quiet(self, known: Mapping[str, Vnet], deadline: Deadline) -> None:
        """Applying carries out every pending change of the cluster, so there must be none but ours.

        The token sees its own zone only. Of the others the lock of SDN tells, which is not given while anything is
        pending; it is given back at once: held by a run that is killed, it would stop everybody.
        """
        strange = sorted(vnet.id for vnet in known.values() if vnet.state and vnet.owner is None)
        if strange:
            raise EnvironmentLackError(
                f"SDN has pending changes that are not ours (VNet {', '.join(strange)}); apply or revert them first"
            )
        if any(vnet.state for vnet in known.values()):
            return  # ours, of a killed run
        try:
            self._touch_lock(deadline)
        except ApiError as problem:
            if problem.kind is not Kind.INVALID:  # Proxmox VE 9.0 has no such lock
                raise

    def _touch_lock(self, deadline: Deadline) -> None:
        """Take the lock and give it back. Raises EnvironmentLackError when it is not to be had for a while.

        An answer that is lost may have given it to nobody: that it was is only known once it is given again.
        """
        lost, last = False, ""
        for _ in deadline.sooner(PENDING_SECONDS).ticks(1.0, slower=1.5, longest=5.0):
            try:
                token = self._client.call("POST", "cluster/sdn/lock", deadline)
            except ApiError as problem:
                if problem.kind not in {Kind.UNKNOWN, Kind.BUSY}:
                    raise
                lost, last = lost or problem.kind is Kind.UNKNOWN, problem.text
                continue
            self._give_back(token, deadline)
            return
        if "has pending changes" in last:
            raise EnvironmentLackError(
                "SDN has pending changes that are not ours, in a zone that the token does not see: another trainer's "
                "run has such while it makes or deletes its network; wait until it ends, then run the command again. "
                "Apply or revert them (Datacenter, SDN) only where no run is going on"
            )
        why = "an answer was lost, which may have left it held" if lost else "somebody holds it"
        raise EnvironmentLackError(
            f"the lock of SDN is not to be had ({cleaned(last)}): {why}; where nobody works on SDN, run pvesh delete "
            "/cluster/sdn/lock --force 1 on a node, then the command again"
        )

    def _give_back(self, token: str, deadline: Deadline) -> None:
        # Done twice, it is the same: an answer that was lost is simply asked for again.
        settle(
            lambda: self._client.call("DELETE", "cluster/sdn/lock", deadline, **{"lock-token": token}),
            lambda: False,
            self._tasks,
            "the lock of SDN",
            deadline,
        )

    def _apply(self, deadline: Deadline) -> None:
        def applied() -> bool:
            return not any(vnet.state for vnet in self._read(deadline).values())

        def apply() -> object:
            return self._client.call("PUT", "cluster/sdn", deadline)

        settle(apply, applied, self._tasks, "SDN apply", deadline)

    def _prove(self, vnets: set[str], hosts: Iterable[str], deadline: Deadline) -> None:
        """The task of an apply ends well although a node's reload failed: each node is asked, and asked again."""
        for host in sorted(set(hosts)):
            if self._missing_on(host, vnets, deadline):
                self._require_quiet(self._read(deadline), deadline)
                self._apply(deadline)
                bad = self._missing_on(host, vnets, deadline)
                if bad:
                    name, why = sorted(bad.items())[0]
                    raise HypervisorError(
                        f"{host}: {len(bad)} VNets are not available after SDN was applied, first {name} ({why}); "
                        f"see the network reload in the task log of {host}"
                    )

    def _missing_on(self, host: str, vnets: set[str], deadline: Deadline) -> dict[str, str]:
        """The VNets that a node does not have, and why; a reload may end a little after its task."""
        bad: dict[str, str] = {}
        for _ in deadline.sooner(RELOAD_SECONDS).ticks(0.5, slower=2):
            bad = self._unavailable(host, vnets, deadline)
            if not bad:
                break
        return bad

    def _unavailable(self, host: str, vnets: set[str], deadline: Deadline) -> dict[str, str]:
        content = self._client.get(f"nodes/{host}/sdn/zones/{self._network.zone}/content", deadline)
        states = {str(one["vnet"]): one for one in content}
        bad = {}
        for name in vnets:
            one = states.get(name)
            if one is None or one.get("status") != "available":
                bad[name] = str((one or {}).get("statusmsg") or (one or {}).get("status") or "not there")
        return bad

    def _zone_type(self) -> str:
        if self._type is None:
            zones = self._client.get("cluster/sdn/zones", Deadline.after(READ_SECONDS))
            found = next((zone for zone in zones if zone.get("zone") == self._network.zone), None)
            if found is None:
                raise EnvironmentLackError(
                    f"SDN zone {self._network.zone} does not exist, or the token may not see it; see docs/proxmox.md"
                )
            self._type = str(found["type"])
        return self._type

    def _read(self, deadline: Deadline) -> dict[str, Vnet]:
        """Every VNet the token can see, with its pending state."""
        return {
            vnet.id: vnet for one in self._client.get("cluster/sdn/vnets", deadline, pending=1) for vnet in [parse(one)]
        }
