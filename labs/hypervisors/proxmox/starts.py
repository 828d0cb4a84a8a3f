"""Starts of machines, and the wait for their guest agents.

The task of a start is not waited for: the agent's answer proves it, and any other operation on the machine asks for it
first. That saves a call and a second for each machine of a cohort.
"""

from __future__ import annotations

import functools
import threading
import time

from labs.deadline import Deadline
from labs.errors import DeadlineError
from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox import agent, retry
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind, named
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.power import Power
from labs.hypervisors.proxmox.slots import Boots, Slots
from labs.hypervisors.proxmox.tasks import TaskFailedError, Tasks
from labs.models.proxmox import Caps


class Starts:
    """The starts that this process began; shared by all threads."""

    def __init__(self, caps: Caps, client: Client, machines: Machines, tasks: Tasks, known: Power) -> None:
        self._client = client
        self._machines = machines
        self._tasks = tasks
        self._known = known
        self._boots = Boots(caps.boots_per_node)
        self._agents = Slots(caps.agents_per_node)
        self._lock = threading.Lock()
        self._new: set[NodeKey] = set()
        """Machines that this process made and has not started: their power needs no question."""
        self._running: dict[NodeKey, tuple[Machine, str]] = {}
        """Tasks of starts that nobody has waited for."""

    def made(self, key: NodeKey) -> None:
        """The machine is new: it does not run."""
        with self._lock:
            self._new.add(key)

    def forget(self, machine: Machine) -> None:
        """The machine does not boot any more: it was stopped, or is gone."""
        self._boots.leave(machine.node, machine.key)

    def gone(self, key: NodeKey) -> None:
        """There is no such machine any more."""
        with self._lock:
            self._new.discard(key)

    def begin(self, machine: Machine, deadline: Deadline) -> None:
        """Start the machine unless it runs, wake it if it sleeps; the task of a start is left to `finish`."""
        key = machine.key
        with self._lock:
            new = key in self._new
        if not new and self._machines.running(machine, deadline):
            self._machines.wake(machine, deadline)
            return
        self._boots.enter(machine.node, key, deadline)

        def post() -> None:
            upid = str(self._client.call("POST", f"{machine.path}/status/start", deadline))
            with self._lock:
                self._running[key] = (machine, upid)

        try:
            running = functools.partial(self._machines.running, machine, deadline)
            retry.settle(post, running, self._tasks, f"{key}: start", deadline)
        except BaseException:
            self.forget(machine)
            raise
        self._known.started(key)
        with self._lock:
            self._new.discard(key)

    def finish(self, key: NodeKey, deadline: Deadline) -> None:
        """Wait for the task of a start that nobody has waited for; one that met a lock is begun again."""
        pause = retry.FIRST_PAUSE
        while True:
            with self._lock:
                machine, upid = self._running.pop(key, (None, ""))
            if machine is None:
                return
            try:
                self._tasks.wait(upid, f"{key}: start", deadline)
            except TaskFailedError as problem:
                if problem.kind is Kind.EXISTS:
                    return  # it ran already
                if problem.kind is not Kind.BUSY or deadline.remaining <= pause:
                    raise
            else:
                return
            time.sleep(pause)  # a backup may hold it for long, and refuses at once
            pause = min(retry.LONGEST_PAUSE, pause * 2)
            self.begin(machine, deadline)

    def wait_agent(self, machine: Machine, deadline: Deadline) -> None:
        """Wait until the guest agent answers, asking no more than the cluster bears.

        Raises DeadlineError when it does not, TaskFailedError when the machine's start failed.
        """
        key, pause = machine.key, 0.2
        try:
            while not deadline.expired:
                patience = self._known.patience(key, machine.node)
                if patience:
                    time.sleep(min(patience, 1.0, deadline.remaining))
                    continue
                with self._agents.hold(machine.node, deadline), named(key):
                    asked = time.monotonic()
                    if self._answers(machine, deadline):
                        self._known.answered(key)
                        with self._lock:
                            self._running.pop(key, None)
                        return
                self._known.missed(key, asked)
                time.sleep(min(pause, deadline.remaining))
                pause = min(1.0, pause * 1.2)
        finally:
            self._known.gave_up(key)
            self.forget(machine)
        raise DeadlineError(f"{key}: its guest agent: not there before the deadline")

    def _answers(self, machine: Machine, deadline: Deadline) -> bool:
        try:
            return agent.answers(self._client, machine.path, deadline)
        except ApiError as problem:
            with self._lock:
                starting = machine.key in self._running
            if problem.kind is not Kind.STOPPED or not starting:
                raise
        self.finish(machine.key, deadline)
        return False
