"""The embedded hypervisor: the Hypervisor protocol on QEMU processes of this user, with no daemon and no root."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
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
from labs.hypervisors.qemu import capacity, disks, ports, processes, resume, segments, sockets, templates
from labs.hypervisors.qemu.guest_agent import GuestAgent
from labs.hypervisors.qemu.launch import Launcher
from labs.hypervisors.qemu.machine import Machine, MachineFile, all_machines
from labs.hypervisors.qemu.qmp import Qmp
from labs.hypervisors.qemu.stock import Stock
from labs.models.profile import Profile
from labs.paths import state_dir
from labs.sessionfiles import write_private

SUSPENDED, IO_ERROR = "suspended", "io-error"
"""States of a machine as QEMU calls them (RunState in qemu-qmp-ref(7)); the latter: its disk could not be written."""
VNC_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of a screen's password, whose protocol takes eight of them (RFC 6143, 7.2.2): none is read for another one."""
GLANCE = 1.0
"""Seconds that a monitor is given to tell whether its machine runs."""


class QemuHypervisor:
    """Virtual machines of this user on this machine."""

    name = "qemu"

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._root = state_dir() / "qemu"
        self._stock = Stock(profile)
        self._launcher = Launcher(self._root, profile, self._stock)

    # --- what there is -------------------------------------------------------------------------------------------

    def software(self) -> str:
        return templates.qemu_version()

    def capacity(self) -> list[HostCapacity]:
        free_ports = ports.free_count(self._root, self._profile.ports)
        return [capacity.of_this_machine(self._stock.accelerator, free_ports)]

    def list_nodes(self, session: str | None = None) -> list[NodeStatus]:
        return [
            self._status(machine, content)
            for machine, content in all_machines(self._root)
            if session is None or machine.key.session == session
        ]

    def status(self, key: NodeKey) -> NodeStatus:
        machine = self._machine(key)
        if not machine.exists:
            return NodeStatus(key, Power.ABSENT, ready=False)
        return self._status(machine, machine.read())

    def leftovers(self, session: str) -> list[str]:
        folder = self._root / session
        found = [f"process {pid}: {line[:100]}" for pid, line in sorted(processes.owned(folder).items())]
        if folder.exists():
            found += [str(path) for path in sorted(folder.rglob("*")) if not path.is_dir()]
        return found

    # --- making it ------------------------------------------------------------------------------------------------

    def missing(self, specs: Sequence[NodeSpec]) -> list[str]:
        return self._stock.missing(specs)

    def prepare(self, specs: Sequence[NodeSpec], progress: Callable[[str, str], None]) -> None:
        self._stock.prepare(specs, progress)

    def ensure_segments(self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], deadline: Deadline) -> None:
        for bench in dict.fromkeys(segment.bench for segment in wanted):
            own = [segment for segment in wanted if segment.bench == bench]
            members = [spec for spec in nodes if spec.key.bench == bench]
            segments.ensure(self._folder(bench), own, members, deadline)

    def ensure_node(self, spec: NodeSpec, deadline: Deadline) -> NodeStatus:
        machine = self._machine(spec.key)
        if machine.exists:
            content = machine.read()
            if content.spec != spec:
                raise HypervisorError(
                    f"{spec.key}: exists with another specification (the lab or the session changed); "
                    "run plateau down, then up"
                )
            return self._status(machine, content)
        if machine.folder.exists():
            self._destroy(machine, deadline)
        machine.folder.mkdir(mode=0o700, parents=True)
        image, depot, template = self._stock.image(spec), self._stock.depot(spec), self._stock.template(spec)
        disks.create_overlay(machine.disk, template.disk if template else image.disk)
        write_private(machine.vnc_secret, "".join(secrets.choice(VNC_LETTERS) for _ in range(8)).encode())
        with ports.allocation(self._root):
            ssh_port, vnc_port = ports.choose(self._root, self._profile.listen, self._profile.ports, 2, str(spec.key))
            content = MachineFile(
                spec=spec,
                image=image.digest,
                template=str(template.folder) if template else None,
                kernel=str(image.kernel),
                initrd=str(image.initrd),
                depot=str(depot) if depot else None,
                ssh_port=ssh_port,
                vnc_port=vnc_port,
                listen=self._profile.listen,
            )
            machine.write(content)
        return self._status(machine, content)

    def start(self, key: NodeKey, deadline: Deadline) -> None:
        machine = self._existing(key)
        if machine.pid is not None:
            with self._monitor(key, deadline) as qmp:
                state = _state(qmp)
                if state == SUSPENDED:
                    qmp.command("system_wakeup")
                elif state == IO_ERROR:
                    qmp.command("cont")
            return
        if processes.owned(machine.folder):
            self._end_all(machine, deadline)
        self._launcher.start(machine, deadline)

    def stop(self, key: NodeKey, deadline: Deadline, *, force: bool = False) -> None:
        machine = self._existing(key)
        pid = machine.pid
        if pid is None:
            return
        if not force:
            # Both ways: a candidate may have stopped the agent, and a slim guest ignores the power button.
            with contextlib.suppress(HypervisorError, DeadlineError):
                GuestAgent(machine.folder).shut_down(deadline.sooner(5))
            with contextlib.suppress(HypervisorError), Qmp(machine.monitor, deadline) as qmp:
                qmp.command("system_powerdown")
            for _ in deadline.ticks(0.1):
                if processes.gone(pid):
                    return
        processes.end(pid, Deadline.after(10), force=force)

    def reset(self, key: NodeKey, deadline: Deadline) -> None:
        with self._monitor(key, deadline) as qmp:
            qmp.command("system_reset")

    @contextlib.contextmanager
    def restarts(self, key: NodeKey, deadline: Deadline) -> Iterator[Callable[[], bool | None]]:
        with contextlib.ExitStack() as opened:
            try:
                qmp = opened.enter_context(Qmp(self._existing(key).events, deadline))
            except HypervisorError:
                yield lambda: None
                return

            def seen() -> bool | None:
                try:
                    qmp.command("query-status")  # what came before its answer has been read then
                except HypervisorError:
                    return None
                return "RESET" in qmp.happened

            yield seen

    def mark_ready(self, key: NodeKey) -> None:
        self._existing(key).mark("ready")

    def delete(self, key: NodeKey, deadline: Deadline) -> None:
        machine = self._machine(key)
        if machine.folder.exists() or processes.owned(machine.folder):
            self._destroy(machine, deadline)

    def delete_segments(self, bench: BenchKey, deadline: Deadline) -> None:
        folder = self._folder(bench)
        segments.delete(folder, deadline)
        for pid in processes.owned(folder):
            processes.end(pid, deadline, force=True)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another bench of the session is still there
            folder.parent.rmdir()

    # --- using it -------------------------------------------------------------------------------------------------

    def wait_agent(self, key: NodeKey, deadline: Deadline) -> None:
        machine = self._existing(key)
        agent = GuestAgent(machine.folder)

        def answers() -> bool | None:
            if machine.pid is None:
                raise HypervisorError(f"{key}: its machine is not running")
            try:
                agent.ping(deadline.sooner(3.0))
            except HypervisorError:
                return None
            return True

        deadline.poll(answers, f"{key}: its guest agent", interval=0.1)

    def execute(self, key: NodeKey, argv: Sequence[str], deadline: Deadline, *, stdin: bytes = b"") -> ExecResult:
        machine = self._existing(key)
        if machine.pid is None:
            raise HypervisorError(f"{key}: its machine is not running")
        return GuestAgent(machine.folder).execute(argv, deadline, stdin)

    def admit(self, bench: BenchKey, nodes: Sequence[NodeKey], password: str, deadline: Deadline) -> str | None:
        """No user: each console has a password of its own."""
        return None

    def guest_setup(self, key: NodeKey) -> str:
        """Nothing: every image knows the address that QEMU's own network gives it."""
        return ""

    def snapshot(self, key: NodeKey, name: str, deadline: Deadline) -> None:
        with self._monitor(key, deadline) as qmp:
            if name in _snapshots(qmp):
                qmp.run_job("snapshot-delete", tag=name, devices=["disk0"])
            qmp.run_job("snapshot-save", tag=name, vmstate="disk0", devices=["disk0"])

    def snapshots(self, key: NodeKey, deadline: Deadline) -> list[str]:
        machine = self._existing(key)
        if machine.pid is None:
            return disks.snapshots(machine.disk)
        with self._monitor(key, deadline) as qmp:
            return _snapshots(qmp)

    def rollback(self, key: NodeKey, name: str, deadline: Deadline, *, closed: bool = False) -> None:
        """Load the snapshot into a QEMU process of its own, as Proxmox VE does.

        A process that ran on never lets the guest's time stamp counter go back (`cpu_get_ticks` in QEMU under TCG): the
        guest would see its monotonic clock leap over all the time since the snapshot, and watchdogs end its services.
        """
        machine = self._existing(key)
        known = self.snapshots(key, deadline)
        if name not in known:
            raise HypervisorError(f"{key}: no snapshot {name!r}; it has: {', '.join(known) or 'none'}")
        self._launcher.quit(machine, deadline)
        self._launcher.close(machine, closed)
        self._launcher.start_paused(machine, deadline)
        with self._monitor(key, deadline) as qmp:
            qmp.run_job("snapshot-load", tag=name, vmstate="disk0", devices=["disk0"])
            qmp.command("cont")
        self._launcher.refresh(machine, (), deadline.sooner(resume.RENEW_SECONDS))

    def waited(self, key: NodeKey) -> float:
        pid = self._machine(key).pid
        return processes.waited(pid) if pid is not None else 0.0

    def set_link(self, key: NodeKey, nic: int, up: bool, deadline: Deadline) -> None:
        with self._monitor(key, deadline) as qmp:
            qmp.command("set_link", name=f"nic{nic}", up=up)

    def asleep(self, key: NodeKey, deadline: Deadline) -> bool:
        with self._monitor(key, deadline) as qmp:
            return _state(qmp) == SUSPENDED

    def press(self, key: NodeKey, button: str, deadline: Deadline) -> None:
        with self._monitor(key, deadline) as qmp:
            qmp.command("send-key", keys=[{"type": "qcode", "data": button}])

    def console(self, key: NodeKey) -> Console:
        machine = self._existing(key)
        listen, _, vnc_port = machine.read().reach(self._profile.listen)
        return Console(
            vnc=(listen, vnc_port),
            vnc_password=machine.vnc_secret.read_text(),
            serial=lambda deadline: sockets.open_line(machine.folder / "serial.sock", deadline),
        )

    # --- inside ---------------------------------------------------------------------------------------------------

    def _status(self, machine: Machine, content: MachineFile) -> NodeStatus:
        running = machine.pid is not None
        return NodeStatus(
            key=machine.key,
            power=_power(machine) if running else Power.STOPPED,
            ready=machine.ready,
            ssh=content.reach(self._profile.listen)[:2],
            since=machine.pid_file.stat().st_mtime if running else None,
            image=content.image,
            closed=content.closed is not None,
        )

    def _destroy(self, machine: Machine, deadline: Deadline) -> None:
        self._end_all(machine, deadline)
        machine.remove()

    def _end_all(self, machine: Machine, deadline: Deadline) -> None:
        for pid in processes.owned(machine.folder):
            processes.end(pid, deadline, force=True)

    def _monitor(self, key: NodeKey, deadline: Deadline) -> Qmp:
        machine = self._existing(key)
        if machine.pid is None:
            raise HypervisorError(f"{key}: its machine is not running")
        return Qmp(machine.monitor, deadline)

    def _folder(self, bench: BenchKey) -> Path:
        return self._root / bench.session / bench.candidate

    def _machine(self, key: NodeKey) -> Machine:
        return Machine(self._folder(key.bench) / key.node)

    def _existing(self, key: NodeKey) -> Machine:
        machine = self._machine(key)
        if not machine.exists:
            raise HypervisorError(f"{key}: there is no such machine; run plateau up")
        return machine


def _power(machine: Machine) -> Power:
    """Whether a machine that has a process runs; one whose monitor is busy does."""
    with contextlib.suppress(HypervisorError, DeadlineError), Qmp(machine.monitor, Deadline.after(GLANCE)) as qmp:
        if _state(qmp) == IO_ERROR:
            return Power.PAUSED
    return Power.RUNNING


def _state(qmp: Qmp) -> str:
    return str(qmp.command("query-status")["status"])


def _snapshots(qmp: Qmp) -> list[str]:
    for device in qmp.command("query-block"):
        inserted = device.get("inserted", {})
        if inserted.get("node-name") == "disk0":
            return [snapshot["name"] for snapshot in inserted["image"].get("snapshots", [])]
    return []
