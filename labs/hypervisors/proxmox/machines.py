"""Our machines on the cluster: found by their marks, made as linked clones, deleted with proof."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.base import NodeKey, NodeSpec
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.allocator import Allocator
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Cluster, Guest, Snapshot
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.listing import Listing, Machine, listing_of
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.slots import Slots
from labs.hypervisors.proxmox.tasks import Tasks
from labs.hypervisors.proxmox.templates import Template
from labs.models.proxmox import ProxmoxProfile
from labs.variants import mac_address

READ_SECONDS = 30.0
ONLINE_SECONDS = 30.0
"""How long a node is believed to be reachable, or not."""
SUSPENDED, IO_ERROR, PAUSED = "suspended", "io-error", "paused"
"""States of QEMU (qemu-qmp-ref(7), RunState): the system sleeps; its disk could not be written; somebody paused it."""
LATE_CLONE_SECONDS = 40.0
"""How long a clone whose answer was lost is looked for: pveproxy gives up after 30 s, the work goes on."""


def halted(status: Mapping[str, Any]) -> bool:
    """Whether a machine stands still though its system does not sleep; a snapshot or a backup ends its pause itself.

    >>> halted({"qmpstatus": "paused"}), halted({"qmpstatus": "paused", "lock": "snapshot"})
    (True, False)
    """
    state = status.get("qmpstatus")
    return state == IO_ERROR or (state == PAUSED and not status.get("lock"))


class Machines:
    """What is ours, and how it comes and goes."""

    def __init__(self, profile: ProxmoxProfile, client: Client, cluster: Cluster, tasks: Tasks) -> None:
        self._profile = profile
        self._client = client
        self._cluster = cluster
        self._tasks = tasks
        self._numbers = Allocator(profile.vmids)
        self._per_storage = Slots(profile.caps.clones_per_storage)
        self._making: dict[int, tuple[Machine, float]] = {}
        """What this process makes, and until when listings may show it without tags of its own."""
        self._written: dict[int, str] = {}
        """Tags that this process gave its new machines, until they are ready."""
        self._per_node = Slots(profile.caps.clones_per_node)
        self._lock = threading.Lock()
        self._listed = Listing(Snapshot(), {}, ())

    # --- finding ---------------------------------------------------------------------------------------------------

    def ours(self, session: str | None = None, *, max_age: float = 0.0) -> list[Machine]:
        """Every machine that is ours: of our range, and marked for a session by its tags or, while it is being made, by
        its pool and description. Complete ones first."""
        listing = self._listing(max_age)
        complete = (machine for found in listing.complete.values() for machine in found)
        found = [machine for machine in (*complete, *self._half(listing)) if session in {None, machine.key.session}]
        return sorted(found, key=lambda machine: (not machine.complete, machine.key, machine.vmid))

    def find(self, key: NodeKey, *, max_age: float = 0.0) -> list[Machine]:
        """The machines that claim to be `key`: one, or more when the answer to a clone was lost."""
        listing = self._listing(max_age)
        half = [machine for machine in self._half(listing) if machine.key == key]
        return sorted([*listing.complete.get(key, ()), *half], key=lambda machine: (not machine.complete, machine.vmid))

    def config(self, machine: Machine, deadline: Deadline) -> Mapping[str, Any] | None:
        """The configuration as it is now; None when the machine is gone.

        A token with rights on pools only gets a 403 for a machine that does not exist.
        """
        try:
            config: Mapping[str, Any] = self._client.get(f"{machine.path}/config", deadline)
        except ApiError as problem:
            if problem.kind in {Kind.MISSING, Kind.DENIED}:
                return None
            raise
        return config

    def require_online(self, machine: Machine) -> None:
        """Raise HypervisorError when the machine's node is down: nothing can be asked of it, or done there."""
        if self.unreachable(machine):
            raise HypervisorError(
                f"{machine.key}: its node {machine.node} is offline; start {machine.node}, then run the command again"
            )

    def unreachable(self, machine: Machine) -> bool:
        """Whether the machine's node is down."""
        return machine.node in self._cluster.read(ONLINE_SECONDS).offline

    def _listing(self, max_age: float) -> Listing:
        """What the cluster lists of ours; read from a snapshot once, though every machine of a cohort asks for it."""
        snapshot = self._cluster.read(max_age)
        with self._lock:
            if self._listed.snapshot is not snapshot:
                self._listed = listing_of(self._profile, snapshot)
            return self._listed

    def _half(self, listing: Listing) -> Iterator[Machine]:
        for guest in listing.unmarked:
            made, until = self._making.get(guest.vmid, (None, 0.0))
            half = made if made is not None and listing.snapshot.taken <= until else self._half_made(guest)
            if half is not None:
                yield half

    def _half_made(self, guest: Guest) -> Machine | None:
        """A clone that has no tags of its own yet. Its pool and its description must tell the same session."""
        anonymous = Machine(NodeKey("", "", ""), guest.vmid, guest.node, complete=False)
        if self.unreachable(anonymous):
            return None
        config = self.config(anonymous, Deadline.after(READ_SECONDS))
        key = naming.described((config or {}).get("description"))
        if key is None or not f"{guest.pool}/".startswith(f"{naming.session_pool(self._profile.pool, key.session)}/"):
            return None
        return Machine(key, guest.vmid, guest.node, complete=False)

    # --- making ----------------------------------------------------------------------------------------------------

    def clone(self, spec: NodeSpec, template: Template, host: str, pool: str, deadline: Deadline) -> Machine:
        """A linked clone of `template` on `host`, marked as ours from its first moment."""
        storage = template.storage if template.shared else f"{template.storage} of {template.node}"
        with self._per_storage.hold(storage, deadline), self._per_node.hold(host, deadline):
            return self._clone(spec, template, host, pool, deadline)

    def _clone(self, spec: NodeSpec, template: Template, host: str, pool: str, deadline: Deadline) -> Machine:
        number, lost, pause, last = self._number(), False, 0.5, ""
        while not deadline.expired:
            machine = Machine(spec.key, number, host, complete=False)
            self._making[number] = (machine, float("inf"))
            try:
                upid = self._client.call(
                    "POST",
                    f"nodes/{template.node}/qemu/{template.vmid}/clone",
                    deadline,
                    newid=number,
                    name=naming.host_name(spec.key),
                    description=naming.description(spec.key),
                    pool=pool,
                    target=None if host == template.node else host,
                )
                self._tasks.wait(upid, f"{spec.key}: clone", deadline)
            except ApiError as problem:
                last = str(problem)
                if problem.kind is Kind.EXISTS:
                    # Somebody's, in either shape of the race; or ours, when an earlier answer was lost.
                    if lost and self._appears(machine, template.node, deadline):
                        return machine
                    del self._making[number]
                    number, lost = self._number(), False
                elif problem.kind is Kind.UNKNOWN:
                    lost = True
                    if self._appears(machine, template.node, deadline):
                        return machine
                elif problem.kind is Kind.BUSY:
                    time.sleep(min(pause, deadline.remaining))
                    pause = min(5.0, pause * 2)
                else:
                    self._numbers.give_back(number)
                    del self._making[number]
                    raise
            except DeadlineError:
                del self._making[number]
                raise
            else:
                return machine
        del self._making[number]
        raise DeadlineError(f"{spec.key}: not cloned before the deadline; the last answer was: {last}")

    def _number(self) -> int:
        return self._numbers.take(self._cluster.read(max_age=30.0))

    def _appears(self, machine: Machine, source: str, deadline: Deadline) -> bool:
        """Whether a clone whose answer was lost is there, finished and ours.

        While it runs, a token with rights on its pool only may not even read it (403): only its own tasks tell, on the
        template's node `source`, whichever node the clone is for.
        """
        for _ in deadline.sooner(LATE_CLONE_SECONDS).ticks(1.0):
            try:
                # In this order: one that ends in between is then there.
                running = self._tasks.running(source, "qmclone", deadline)
                config = self.config(machine, deadline)
            except ApiError as problem:
                if problem.kind is not Kind.UNKNOWN:
                    raise
                continue
            if config is not None and not config.get("lock"):
                return naming.described(config.get("description")) == machine.key
            if config is None and not running:
                return False
        return False

    def configure(
        self, machine: Machine, spec: NodeSpec, cards: Sequence[str], template: Template, deadline: Deadline
    ) -> Machine:
        """Give a clone its resources, cards and addresses; its tags, with which it counts as complete, come last."""
        if self._profile.management.firewall:
            self._close_management(machine, deadline)
        tags = naming.tags(self._profile.tag, spec, ready=False)
        options = self._options(machine, spec, cards)
        surplus = [name for name in template.surplus if name not in options]

        def configured() -> bool:
            config = self.config(machine, deadline)
            return config is not None and set(str(config.get("tags") or "").split(";")) == set(tags.split(";"))

        settle(
            lambda: self._client.call(
                "PUT",
                f"{machine.path}/config",
                deadline,
                delete=",".join(surplus) or None,
                tags=tags,
                **options,
            ),
            configured,
            self._tasks,
            f"{machine.key}: configuration",
            deadline,
        )
        self._written[machine.vmid] = tags
        made = Machine(machine.key, machine.vmid, machine.node, complete=True, specification=naming.digest(spec))
        self._making[machine.vmid] = (made, time.monotonic())
        return made

    def mark_ready(self, machine: Machine, deadline: Deadline) -> None:
        """Add the tag that says so."""
        written = self._written.pop(machine.vmid, None)
        if written is None:
            written = str(self._own_config(machine, deadline).get("tags") or "")
        tags = {tag for tag in written.split(";") if tag}
        wanted = tags | {f"{self._profile.tag}.{naming.READY}"}
        if wanted == tags:
            return

        def marked() -> bool:
            config = self.config(machine, deadline) or {}
            return naming.is_ready(self._profile.tag, str(config.get("tags") or "").split(";"))

        settle(
            lambda: self._client.call("PUT", f"{machine.path}/config", deadline, tags=";".join(sorted(wanted))),
            marked,
            self._tasks,
            f"{machine.key}: tags",
            deadline,
        )

    def _options(self, machine: Machine, spec: NodeSpec, cards: Sequence[str]) -> dict[str, Any]:
        management = self._profile.management
        vlan = "" if management.vlan is None else f",tag={management.vlan}"
        firewall = ",firewall=1" if management.firewall else ""
        own = mac_address(*str(spec.key).split("/"), "management")
        options: dict[str, Any] = {
            "cores": spec.cores,
            "memory": spec.memory_mb,
            "balloon": 0,
            "onboot": 0,
            "cpu": self._profile.cpu,
            "net0": f"virtio={own},bridge={management.bridge}{vlan}{firewall}",
            "ipconfig0": f"ip={self._profile.address(machine.vmid)}",
        }
        if management.gateway is not None:
            options["ipconfig0"] += f",gw={management.gateway}"
        for index, (nic, card) in enumerate(zip(spec.nics, cards, strict=True), 1):
            options[f"net{index}"] = f"virtio={nic.mac},{card}"
        return {name: value for name, value in options.items() if value is not None}

    def _close_management(self, machine: Machine, deadline: Deadline) -> None:
        """Machines answer on their management leg and begin nothing there; other cards have no firewall."""
        path = f"{machine.path}/firewall/options"

        def closed() -> bool:
            options = self._client.get(path, deadline)
            return bool(int(options.get("enable") or 0)) and options.get("policy_out") == "DROP"

        settle(
            lambda: self._client.call(
                "PUT", path, deadline, enable=True, policy_in="ACCEPT", policy_out="DROP", macfilter=True
            ),
            closed,
            self._tasks,
            f"{machine.key}: firewall",
            deadline,
        )

    def await_clone(self, machine: Machine, deadline: Deadline) -> None:
        """Wait for the end of a clone that a killed run began: its effects are not to be mixed with ours."""
        deadline.poll(
            lambda: True if not (self.config(machine, deadline) or {}).get("lock") else None,
            f"{machine.key}: VM {machine.vmid} is being cloned",
            interval=1.0,
        )

    # --- going -----------------------------------------------------------------------------------------------------

    def delete(self, machine: Machine, deadline: Deadline) -> None:
        """Stop and destroy, then prove that it is gone. The marks are read again first."""
        self.require_online(machine)
        config = self.config(machine, deadline)
        if config is None:
            return
        self._require_ours(machine, config)
        if self.running(machine, deadline):
            settle(
                lambda: self._client.call("POST", f"{machine.path}/status/stop", deadline),
                lambda: not self.running(machine, deadline),
                self._tasks,
                f"{machine.key}: stop",
                deadline,
            )
        settle(
            lambda: self._client.call(
                "DELETE", machine.path, deadline, purge=True, **{"destroy-unreferenced-disks": True}
            ),
            lambda: not self._exists(machine, deadline),
            self._tasks,
            f"{machine.key}: destroy",
            deadline,
        )
        if self._exists(machine, deadline):
            raise HypervisorError(f"{machine.key}: VM {machine.vmid} is still there after it was destroyed")
        self._numbers.give_back(machine.vmid)
        self._making.pop(machine.vmid, None)

    def _exists(self, machine: Machine, deadline: Deadline) -> bool:
        """Whether there is a machine of that number, whoever may see it.

        Its configuration does not tell: the destroyed machine is in no pool any more, so that the token gets the 403
        that it would get for a stranger's.
        """
        try:
            self._client.get("cluster/nextid", deadline, vmid=machine.vmid)
        except ApiError as problem:
            if problem.kind is not Kind.EXISTS:
                raise
            return True
        return False

    def running(self, machine: Machine, deadline: Deadline) -> bool:
        """Whether it runs now, from the node itself; False when it is gone."""
        return self._current(machine, deadline).get("status") == "running"

    def asleep(self, machine: Machine, deadline: Deadline) -> bool:
        """Whether it runs but its system is suspended to memory."""
        return self._current(machine, deadline).get("qmpstatus") == SUSPENDED

    def wake(self, machine: Machine, deadline: Deadline) -> None:
        """End its sleep, or have it go on after a full disk or a pause; nothing happens when it is awake.

        `resume` does for a suspended machine what a key or a lid does.
        """
        if self._awake(machine, deadline):
            return
        settle(
            lambda: self._client.call("POST", f"{machine.path}/status/resume", deadline),
            lambda: self._awake(machine, deadline),
            self._tasks,
            f"{machine.key}: wake",
            deadline,
        )

    def _awake(self, machine: Machine, deadline: Deadline) -> bool:
        status = self._current(machine, deadline)
        return status.get("qmpstatus") != SUSPENDED and not halted(status)

    def _current(self, machine: Machine, deadline: Deadline) -> Mapping[str, Any]:
        """Its state, from the node itself; nothing when it is gone."""
        try:
            status: Mapping[str, Any] = self._client.get(f"{machine.path}/status/current", deadline)
        except ApiError as problem:
            if problem.kind in {Kind.MISSING, Kind.DENIED}:
                return {}
            raise
        return status

    def _own_config(self, machine: Machine, deadline: Deadline) -> Mapping[str, Any]:
        config = self.config(machine, deadline)
        if config is None:
            raise HypervisorError(f"{machine.key}: VM {machine.vmid} is gone; run plateau up")
        self._require_ours(machine, config)
        return config

    def _require_ours(self, machine: Machine, config: Mapping[str, Any]) -> None:
        """Range, and the session's mark: what changed hands since it was listed is not touched."""
        tags = str(config.get("tags") or "").split(";")
        claimed = naming.key_of(self._profile.tag, tags) or naming.described(config.get("description"))
        if machine.vmid not in self._profile.vmids or claimed != machine.key or int(config.get("template") or 0):
            raise HypervisorError(f"{machine.key}: VM {machine.vmid} is not ours any more; it was left alone")
