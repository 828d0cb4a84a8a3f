"""Our machines as this process last saw them: where each is, what runs in it, what its status was."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from labs.deadline import Deadline
from labs.hypervisors.base import NodeKey, NodeStatus
from labs.hypervisors.base import Power as Powered
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import LISTING_SECONDS, Guest
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines, halted
from labs.hypervisors.proxmox.power import Power
from labs.models.proxmox import ProxmoxProfile

SSH_PORT = 22
STATUS_SECONDS = 60.0


class Sightings:
    """What is remembered of machines, asked anew where that is too old; shared by all threads."""

    def __init__(self, profile: ProxmoxProfile, client: Client, machines: Machines, known: Power) -> None:
        self._profile = profile
        self._client = client
        self._machines = machines
        self._known = known
        self._lock = threading.Lock()
        self._found: dict[NodeKey, Machine] = {}
        self._linux: dict[int, bool] = {}

    def find(self, key: NodeKey, *, max_age: float = 0.0) -> Machine | None:
        """Our machine of that name, as this process last saw it or as the cluster lists it.

        A listing of at most `max_age` seconds may say that there is none.
        """
        with self._lock:
            known = self._found.get(key)
        if known is not None and known.complete:
            return known
        found = self._machines.find(key, max_age=LISTING_SECONDS)
        if not found and max_age < LISTING_SECONDS:
            found = self._machines.find(key, max_age=max_age)
        if found:
            self.keep(found[0])
        return found[0] if found else None

    def keep(self, machine: Machine) -> None:
        """Remember where a machine is."""
        with self._lock:
            self._found[machine.key] = machine

    def lose(self, key: NodeKey) -> None:
        """The machine is gone."""
        with self._lock:
            self._found.pop(key, None)
        self._known.forget(key)

    def note_linux(self, machine: Machine, linux: bool) -> None:
        """Remember which kind of system the machine's template has."""
        with self._lock:
            self._linux[machine.vmid] = linux

    def is_linux(self, machine: Machine) -> bool:
        """Whether the machine runs Linux, by its configuration (`ostype`)."""
        with self._lock:
            known = self._linux.get(machine.vmid)
        if known is None:
            config = self._machines.config(machine, Deadline.after(STATUS_SECONDS)) or {}
            known = str(config.get("ostype") or "").startswith("l")
            self.note_linux(machine, known)
        return known

    def status(self, machine: Machine) -> NodeStatus:
        """The machine as its node sees it now; on a node that is down, nothing runs."""
        if self._machines.unreachable(machine):
            return self.told(machine, None)
        try:
            told = self._client.get(f"{machine.path}/status/current", Deadline.after(STATUS_SECONDS))
        except ApiError as problem:
            if problem.kind not in {Kind.MISSING, Kind.DENIED}:
                raise
            self.lose(machine.key)
            return NodeStatus(machine.key, Powered.ABSENT, ready=False)
        since = time.time() - int(told.get("uptime") or 0) if told.get("status") == "running" else None
        ready = naming.is_ready(self._profile.tag, str(told.get("tags") or "").split(";"))
        power = Powered.PAUSED if halted(told) else Powered.RUNNING
        return self.told(replace(machine, ready=ready), since, power)

    def listed(self, machine: Machine, guest: Guest | None) -> NodeStatus:
        """From the listing, whose power is some seconds old; asked from the node where it says something else."""
        if guest is None or guest.status not in {"running", "stopped"}:
            return self.status(machine)
        known = self._known.recall(machine.key)
        if known is not None and known.ready == machine.ready:
            return known
        return self.told(machine, time.time() - guest.uptime if guest.status == "running" else None)

    def told(self, machine: Machine, since: float | None, power: Powered = Powered.RUNNING) -> NodeStatus:
        """The status to tell, and to remember: the machine runs since that moment, or does not when None."""
        endpoint = (str(self._profile.address(machine.vmid).ip), SSH_PORT)
        found = Powered.STOPPED if since is None else power
        return self._known.remember(NodeStatus(machine.key, found, machine.ready, endpoint, since, machine.node))
