"""The production hypervisor: the Hypervisor protocol on a Proxmox VE cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from labs.bench import Bench
from labs.deadline import Deadline
from labs.doctor import Finding
from labs.errors import DeadlineError, EnvironmentLackError, HypervisorError, NotRenewedError
from labs.hypervisors.base import (
    BenchKey,
    Console,
    ExecResult,
    HostCapacity,
    NodeKey,
    NodeSpec,
    NodeStatus,
    Power,
    SegmentSpec,
)
from labs.hypervisors.proxmox import access, agent, consoles, naming, pools, preflight, snapshots
from labs.hypervisors.proxmox.batch import Batch
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import LISTING_SECONDS, Cluster
from labs.hypervisors.proxmox.failures import named
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.network import open_network
from labs.hypervisors.proxmox.placement import rooms
from labs.hypervisors.proxmox.places import Places
from labs.hypervisors.proxmox.power import Power as Knowledge
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.sightings import Sightings
from labs.hypervisors.proxmox.starts import Starts
from labs.hypervisors.proxmox.tasks import TaskFailedError, Tasks
from labs.hypervisors.proxmox.templates import Templates
from labs.hypervisors.qemu import resume
from labs.models.proxmox import ProxmoxProfile
from labs.plan import Plan, node_plans

SETTLE_SECONDS = 60.0
STRANGE_CLONE_SECONDS = 120.0
LINT_MEMORY_MB = 512


class ProxmoxHypervisor:
    """Virtual machines of a Proxmox VE cluster."""

    name = "proxmox"

    def __init__(self, profile: ProxmoxProfile) -> None:
        self._profile = profile
        self._client = Client(profile)
        self._tasks = Tasks(self._client)
        self._cluster = Cluster(self._client)
        self._templates = Templates(profile, self._client)
        self._machines = Machines(profile, self._client, self._cluster, self._tasks)
        self._network = open_network(profile, self._client, self._tasks)
        self._known = Knowledge()
        self._sightings = Sightings(profile, self._client, self._machines, self._known)
        self._starts = Starts(profile.caps, self._client, self._machines, self._tasks, self._known)
        together = not self._network.spans_nodes
        self._places = Places(profile, self._cluster, self._templates, self._machines, together=together)
        self._removals = Batch(self._remove_segments)
        self._lock = threading.Lock()
        self._pools: set[str] = set()

    # --- what there is -------------------------------------------------------------------------------------------

    def software(self) -> str:
        return f"Proxmox VE {self._client.release()}"

    def capacity(self) -> list[HostCapacity]:
        snapshot = self._cluster.read(LISTING_SECONDS)
        numbers = len(self._profile.vmids) - sum(guest.vmid in self._profile.vmids for guest in snapshot.guests)
        disks = {one.node: one.free_mb for one in snapshot.storages if one.name == self._profile.storage}
        hosts = {host.name: host for host in snapshot.hosts}
        return [
            HostCapacity(
                host=room.node,
                cores=hosts[room.node].cores,
                memory_total_mb=hosts[room.node].memory_mb,
                memory_free_mb=max(0, room.free_mb),
                disk_free_mb=disks.get(room.node, 0),
                free_ports=numbers,
                accelerator=self._profile.accelerator,
            )
            for room in rooms(snapshot, self._profile.nodes, 0)
        ]

    def list_nodes(self, session: str | None = None) -> list[NodeStatus]:
        guests = {guest.vmid: guest for guest in self._cluster.read().guests}
        found: dict[NodeKey, NodeStatus] = {}
        for machine in self._machines.ours(session, max_age=LISTING_SECONDS):
            if machine.key not in found:  # the complete one of several comes first
                self._sightings.keep(machine)
                found[machine.key] = self._sightings.listed(machine, guests.get(machine.vmid))
        return list(found.values())

    def status(self, key: NodeKey) -> NodeStatus:
        self._starts.finish(key, Deadline.after(SETTLE_SECONDS))
        known = self._known.recall(key)
        if known is not None:
            return known
        machine = self._sightings.find(key)
        return NodeStatus(key, Power.ABSENT, ready=False) if machine is None else self._sightings.status(machine)

    def node_of(self, key: NodeKey) -> str:
        """The cluster's node that carries a machine."""
        return self._existing(key).node

    def leftovers(self, session: str) -> list[str]:
        found = [f"VM {machine.vmid} of {machine.key}" for machine in self._machines.ours(session)]
        found += self._network.left(session) + access.left(self._client, self._profile, session)
        return found + pools.left(self._client, self._profile, session)

    # --- making it ------------------------------------------------------------------------------------------------

    def missing(self, specs: Sequence[NodeSpec]) -> list[str]:
        from labs.images import can_build

        wanted = sorted({(spec.role, spec.release) for spec in specs})
        lacking = [one for one in wanted if not self._clonable(*one)]
        for role, release in lacking:
            if not can_build(role, release):
                raise EnvironmentLackError(self._templates.remedy(role, release))
        return [f"image {role}-{release}" for role, release in lacking]

    def prepare(self, specs: Sequence[NodeSpec], progress: Callable[[str, str], None]) -> None:
        self._cluster.read()
        wanted = {(spec.role, spec.release) for spec in specs}
        lacking = [one for one in sorted(wanted) if not self._clonable(*one)]
        for role, release in lacking:
            if f"{role}-{release}" in self._profile.templates:
                raise EnvironmentLackError(self._templates.remedy(role, release))
        for release in sorted({release for _, release in lacking}):
            roles = [role for role, of in lacking if of == release]
            self.build_templates(roles, release, progress)

    def build_templates(self, roles: Sequence[str], release: str, progress: Callable[[str, str], None]) -> list[int]:
        """Make the templates of these roles that are missing; the VMIDs of those that were made."""
        from labs import images
        from labs.hypervisors.proxmox.build import build_templates

        built = images.build(roles, release, progress=progress)
        depot = images.find_depot(release)
        made = build_templates(self._profile, self._client, self._cluster, self._tasks, built, depot, progress)
        self._templates.forget()
        return made

    def plan(self, session: str, benches: Sequence[Bench]) -> Plan:
        """What `up` would do, with the needs of every node of the cluster."""
        preflight.require_firewall(self._profile, self._client)
        nodes = node_plans(benches, self.list_nodes(session))
        missing = self.missing([node.spec for node in nodes])
        snapshot = self._cluster.read(LISTING_SECONDS)
        free = rooms(snapshot, self._profile.nodes, self._profile.memory_reserve_mb)
        places = self._places.of([node.spec for node in nodes], lenient=True)
        if missing:
            self._places.clear()  # templates are still to be made: on which node is not known yet
        new_segments = sum(len(bench.segments) for bench in benches) - len(self._network.left(session))
        segments = (max(0, new_segments), self._network.free())
        needs, seconds = preflight.needs(self._profile, nodes, places, free, snapshot, segments)
        return Plan(nodes, needs, tuple(missing), seconds + preflight.TEMPLATE_SECONDS * len(missing))

    def ensure_segments(self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], deadline: Deadline) -> None:
        for session in sorted({segment.bench.session for segment in wanted}):
            self._ensure_pool(naming.session_pool(self._profile.pool, session), deadline)
        self._await_clones(deadline)
        hosts = set(self._places.of(nodes).values()) - self._cluster.read(LISTING_SECONDS).offline
        self._network.ensure(wanted, nodes, hosts, deadline)

    def ensure_node(self, spec: NodeSpec, deadline: Deadline) -> NodeStatus:
        machine = self._sightings.find(spec.key, max_age=LISTING_SECONDS)
        if machine is not None and machine.complete:
            if machine.specification != naming.digest(spec):
                raise HypervisorError(
                    f"{spec.key}: exists with another specification (the lab or the session changed); "
                    "run plateau down, then up"
                )
            return self._sightings.status(machine)
        host = machine.node if machine is not None else self._places.of([spec])[spec.key]
        snapshot = self._cluster.read(LISTING_SECONDS)
        template = self._templates.choose(spec.role, spec.release, host, snapshot)
        cards = self._cards(spec, host, deadline)
        if machine is None:
            pool = naming.session_pool(self._profile.pool, spec.key.session)
            self._ensure_pool(pool, deadline)
            machine = self._machines.clone(spec, template, host, pool, deadline)
            self._sightings.keep(machine)
        else:
            self._machines.await_clone(machine, deadline)
        machine = self._machines.configure(machine, spec, cards, template, deadline)
        self._sightings.keep(machine)
        self._sightings.note_linux(machine, template.linux)
        self._starts.made(spec.key)
        return self._sightings.told(machine, None)

    def start(self, key: NodeKey, deadline: Deadline) -> None:
        self._starts.begin(self._existing(key), deadline)

    def stop(self, key: NodeKey, deadline: Deadline, *, force: bool = False) -> None:
        machine = self._existing(key)
        self._known.forget(key)
        self._starts.forget(machine)
        if not self._machines.running(machine, deadline):
            return
        # The guest gets what time there is, less what its end by force takes.
        patience = max(1, int(deadline.remaining - 15))
        verb, options = ("stop", {}) if force else ("shutdown", {"timeout": patience, "forceStop": True})
        settle(
            lambda: self._client.call("POST", f"{machine.path}/status/{verb}", deadline, **options),
            lambda: not self._machines.running(machine, deadline),
            self._tasks,
            f"{key}: {verb}",
            deadline,
        )
        self._known.forget(key)

    @contextlib.contextmanager
    def restarts(self, key: NodeKey, deadline: Deadline) -> Iterator[Callable[[], bool | None]]:
        yield lambda: None  # the API tells no event; a machine's uptime counts from its start, whatever happens inside

    def reset(self, key: NodeKey, deadline: Deadline) -> None:
        machine = self._existing(key)
        with named(key):
            settle(
                lambda: self._client.call("POST", f"{machine.path}/status/reset", deadline),
                None,  # pressed twice, it would cut the new start short
                self._tasks,
                f"{key}: reset",
                deadline,
            )
        self._known.started(key)

    def mark_ready(self, key: NodeKey) -> None:
        machine = self._existing(key)
        self._machines.mark_ready(machine, Deadline.after(SETTLE_SECONDS))
        self._known.forget(key)
        self._sightings.keep(replace(machine, complete=True, ready=True))

    def delete(self, key: NodeKey, deadline: Deadline) -> None:
        with contextlib.suppress(TaskFailedError):
            self._starts.finish(key, deadline)
        for machine in self._machines.find(key):
            self._machines.delete(machine, deadline)
            self._starts.forget(machine)
        self._sightings.lose(key)
        self._places.forget(key)
        self._starts.gone(key)

    def delete_segments(self, bench: BenchKey, deadline: Deadline) -> None:
        self._removals.submit((bench, deadline))

    # --- inside ---------------------------------------------------------------------------------------------------

    def wait_agent(self, key: NodeKey, deadline: Deadline) -> None:
        self._starts.wait_agent(self._existing(key, finish_start=False), deadline)

    def execute(self, key: NodeKey, argv: Sequence[str], deadline: Deadline, *, stdin: bytes = b"") -> ExecResult:
        machine = self._existing(key)
        linux = agent.is_plain(stdin) or self._sightings.is_linux(machine)
        with named(key):
            return agent.execute(self._client, machine.path, str(key), argv, deadline, stdin=stdin, linux=linux)

    def ask_agent(self, key: NodeKey, question: str, deadline: Deadline) -> Any:
        """What the guest agent answers to `get-osinfo` and the like, in any system."""
        with named(key):
            return agent.ask(self._client, self._existing(key).path, question, deadline)

    def lint(self, role: str, release: str, progress: Callable[[str, str], None]) -> list[Finding]:
        """What is wrong inside the machines of a template. Raises EnvironmentLackError when there is none."""
        from labs.hypervisors.proxmox.lint import lint

        preflight.require_firewall(self._profile, self._client)
        snapshot = self._cluster.read(LISTING_SECONDS)
        found = self._templates.candidates(role, release, snapshot)
        if not found:
            raise EnvironmentLackError(self._templates.remedy(role, release))
        own = f"{role}-{release}" not in self._profile.templates
        memory = max(found[0].memory_mb, LINT_MEMORY_MB)
        return lint(self, role, release, memory_mb=memory, own=own, progress=progress)

    def guest_setup(self, key: NodeKey) -> str:
        """Give the management card of a Plateau image its address; other images have cloud-init, which did it."""
        address = self._profile.address(self._existing(key).vmid)
        gateway = self._profile.management.gateway
        file = "/etc/systemd/network/10-plateau-mgmt.network"
        lines = [
            f"if [ -f {file} ]; then",
            f"sed -i '/^\\[Route\\]/,$d; s|^Address=.*|Address={address}|' {file}",
            f"ip address flush dev eth0 scope global; ip address replace {address} dev eth0",
        ]
        if gateway is not None:
            # Its section is the file's last. A high metric: the way out of the lab is the candidate's to make.
            lines.append(f"printf '[Route]\\nGateway={gateway}\\nMetric=9999\\n' >>{file}")
            lines.append(f"ip route replace default via {gateway} dev eth0 metric 9999")
        return "\n".join([*lines, "fi"]) + "\n"

    def snapshots(self, key: NodeKey, deadline: Deadline) -> list[str]:
        machine = self._existing(key)
        with named(key):
            return snapshots.settled(self._client, machine, deadline)

    def snapshot(self, key: NodeKey, name: str, deadline: Deadline) -> None:
        machine = self._running(key, deadline)
        snapshots.take(self._client, self._tasks, machine, name, deadline)

    def rollback(self, key: NodeKey, name: str, deadline: Deadline, *, closed: bool = False) -> None:
        machine = self._existing(key)
        snapshots.roll_back(self._client, self._tasks, machine, name, deadline)
        self._known.forget(key)
        if self._sightings.is_linux(machine):
            try:
                resume.renew(key, (), partial(self._run_when_it_answers, key), deadline.sooner(resume.RENEW_SECONDS))
            except NotRenewedError as problem:
                if not self._machines.running(machine, Deadline.after(SETTLE_SECONDS)):
                    raise HypervisorError(f"{key}: is off after it went back: {problem}") from None
                raise

    def _run_when_it_answers(self, key: NodeKey, script: bytes, deadline: Deadline) -> ExecResult:
        self.wait_agent(key, deadline)
        return self.execute(key, ["/bin/sh"], deadline, stdin=script)

    def waited(self, key: NodeKey) -> float:
        return 0.0  # the API has averages of a node's pressure, no count for a machine

    def set_link(self, key: NodeKey, nic: int, up: bool, deadline: Deadline) -> None:
        machine = self._existing(key)
        name = f"net{nic + 1}"
        with named(key):
            config = self._client.get(f"{machine.path}/config", deadline)
            if name not in config:
                raise HypervisorError(f"{key}: it has no card {nic}")
            kept = [part for part in str(config[name]).split(",") if not part.startswith("link_down=")]
            value = ",".join(kept if up else [*kept, "link_down=1"])
            settle(
                lambda: self._client.call("PUT", f"{machine.path}/config", deadline, **{name: value}),
                lambda: self._client.get(f"{machine.path}/config", deadline).get(name) == value,
                self._tasks,
                f"{key}: cable of card {nic}",
                deadline,
            )

    def asleep(self, key: NodeKey, deadline: Deadline) -> bool:
        machine = self._existing(key)
        with named(key):
            return self._machines.asleep(machine, deadline)

    def press(self, key: NodeKey, button: str, deadline: Deadline) -> None:
        machine = self._running(key, deadline)
        with named(key):
            self._client.call("PUT", f"{machine.path}/sendkey", deadline, key=button)

    def console(self, key: NodeKey) -> Console:
        machine = self._existing(key)
        page = f"https://{self._client.first_host}/?console=kvm&novnc=1&vmid={machine.vmid}&node={machine.node}"
        return Console(
            serial=lambda deadline: consoles.open_serial(self._client, self._machines, machine, deadline),
            screen=lambda deadline: consoles.open_screen(self._client, machine, deadline),
            url=page,
        )

    def admit(self, bench: BenchKey, nodes: Sequence[NodeKey], password: str, deadline: Deadline) -> str | None:
        vmids = [self._existing(key).vmid for key in nodes]
        return access.admit(self._client, self._tasks, self._profile, bench, vmids, password, deadline)

    # --- helpers --------------------------------------------------------------------------------------------------

    def _clonable(self, role: str, release: str) -> bool:
        return bool(self._templates.candidates(role, release, self._cluster.read(LISTING_SECONDS)))

    def _cards(self, spec: NodeSpec, host: str, deadline: Deadline) -> list[str]:
        bench = spec.key.bench
        try:
            return [self._network.card(bench, nic) for nic in spec.nics]
        except HypervisorError:
            # Asked for one machine alone, before its bench's segments.
            self._ensure_pool(naming.session_pool(self._profile.pool, bench.session), deadline)
            names = {nic.segment for nic in spec.nics if nic.segment}
            names |= {segment for nic in spec.nics for _, segment in nic.trunk}
            wanted = [SegmentSpec(bench, name) for name in sorted(names)]
            self._network.ensure(wanted, [spec], [host], deadline)
            return [self._network.card(bench, nic) for nic in spec.nics]

    def _await_clones(self, deadline: Deadline) -> None:
        """Wait for clones that run now and that this process did not begin.

        Until its end, a clone of a killed run is in no pool: the token does not even see that there is a machine. It
        runs on its template's node, which need not be one that carries machines.
        """
        hosts = [host.name for host in self._cluster.read(LISTING_SECONDS).hosts if host.online]
        running = {upid for host in hosts for upid in self._tasks.running(host, "qmclone", deadline)}
        strange = running - self._tasks.waiting()
        # Another session's may take long: what is to be done here needs time of its own.
        patience = deadline.sooner(min(STRANGE_CLONE_SECONDS, deadline.remaining / 2))
        for upid in sorted(strange):
            # It may be another session's: then its failure, and that it takes long, are no matter of ours.
            with contextlib.suppress(TaskFailedError, DeadlineError):
                self._tasks.wait(upid, "a clone of an earlier run", patience)
        self._cluster.read()  # also of one that ended since the last listing

    def _ensure_pool(self, pool: str, deadline: Deadline) -> None:
        with self._lock:
            if pool in self._pools:
                return
        pools.ensure(self._client, self._tasks, pool, deadline)
        with self._lock:
            self._pools.add(pool)

    def _remove_segments(self, wishes: list[tuple[BenchKey, Deadline]]) -> None:
        benches = sorted({bench for bench, _ in wishes})
        deadline = max((deadline for _, deadline in wishes), key=lambda one: one.remaining)
        self._await_clones(deadline)
        for machine in self._machines.ours():
            if machine.key.bench in benches:  # a killed run left it
                self.delete(machine.key, deadline)
        self._network.remove(benches, deadline)
        access.remove(self._client, self._tasks, self._profile, benches, deadline)
        for session in sorted({bench.session for bench in benches}):
            with self._lock:
                self._pools = {pool for pool in self._pools if not pool.endswith(f"/{session}")}
            if not self._network.left(session):
                pools.remove(self._client, self._tasks, self._profile, session, deadline)

    def _existing(self, key: NodeKey, *, finish_start: bool = True) -> Machine:
        if finish_start:
            self._starts.finish(key, Deadline.after(SETTLE_SECONDS))
        machine = self._sightings.find(key)
        if machine is None:
            raise HypervisorError(f"{key}: there is no such machine; run plateau up")
        self._machines.require_online(machine)
        return machine

    def _running(self, key: NodeKey, deadline: Deadline) -> Machine:
        machine = self._existing(key)
        if not self._machines.running(machine, deadline):
            raise HypervisorError(f"{key}: its machine is not running")
        return machine
