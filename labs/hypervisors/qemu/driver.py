"""The embedded hypervisor: the Hypervisor protocol on QEMU processes of this user, with no daemon and no root."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from labs import images
from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, HypervisorError
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
from labs.hypervisors.qemu import capacity, command, kvm, ports, processes, resume, segments, sockets, templates
from labs.hypervisors.qemu.guest_agent import GuestAgent
from labs.hypervisors.qemu.machine import LOOPBACK, Machine, MachineFile, all_machines
from labs.hypervisors.qemu.qmp import Qmp
from labs.hypervisors.qemu.spawn import spawn
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
        self._accelerator: str | None = None
        self._accelerator_lock = threading.Lock()

    # --- what there is -------------------------------------------------------------------------------------------

    def software(self) -> str:
        return templates.qemu_version()

    def capacity(self) -> list[HostCapacity]:
        accelerator = self._profile.accelerator if self._accelerator is None else self._accelerator
        return [capacity.of_this_machine(accelerator, ports.free_count(self._root, self._profile.ports))]

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
        """What `prepare` would have to make, in the words of the plan.

        Raises EnvironmentLackError for a machine that it cannot make.
        """
        _require_own(specs)
        wanted = {(spec.role, spec.release) for spec in specs}
        absent = [f"image {role}-{release}" for role, release in sorted(wanted) if not images.find(role, release)]
        releases = sorted({spec.release for spec in specs})
        absent += [f"package depot {release}" for release in releases if images.find_depot(release) is None]
        if absent or not self._profile.instant:
            return absent
        return [
            f"template {spec.role} ({spec.memory_mb} MiB, {len(spec.nics)} cards)"
            for spec in self._one_per_shape(specs)
            if templates.find(self._image(spec), self._shape(spec), images.find_depot(spec.release)) is None
        ]

    def prepare(self, specs: Sequence[NodeSpec], progress: Callable[[str, str], None]) -> None:
        _require_own(specs)
        for release in sorted({spec.release for spec in specs}):
            roles = sorted({spec.role for spec in specs if spec.release == release})
            if images.find_depot(release) is None or any(images.find(role, release) is None for role in roles):
                images.build(roles, release, progress=progress)
        if not self._profile.instant:
            return

        def cut(spec: NodeSpec) -> None:
            depot = images.find_depot(spec.release)
            label = f"template {spec.role}"
            templates.ensure(self._image(spec), self._shape(spec), depot, lambda step: progress(label, step))

        with ThreadPoolExecutor(max_workers=2) as pool:
            for outcome in [pool.submit(cut, spec) for spec in self._one_per_shape(specs)]:
                outcome.result()

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
        image = self._image(spec)
        depot = images.find_depot(spec.release)
        template = templates.find(image, self._shape(spec), depot) if self._profile.instant else None
        templates.create_overlay(machine.disk, template.disk if template else image.disk)
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
        content = machine.read()
        instant = content.template is not None and not machine.started
        self._launch(machine, content, deadline, instant=instant)
        if instant:
            self._resume(machine, content, deadline)

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

    def rollback(self, key: NodeKey, name: str, deadline: Deadline, *, closed: bool = False) -> None:
        """Load the snapshot into a QEMU process of its own, as Proxmox VE does.

        A process that ran on never lets the guest's time stamp counter go back (`cpu_get_ticks` in QEMU under TCG): the
        guest would see its monotonic clock leap over all the time since the snapshot, and watchdogs end its services.
        """
        machine = self._existing(key)
        was_running = machine.pid is not None
        if not was_running:
            self._launch(machine, machine.read(), deadline, instant=False, paused=True)
        known = self.snapshots(key, deadline)
        if name not in known:
            if not was_running:
                self._quit(machine, deadline)
            raise HypervisorError(f"{key}: no snapshot {name!r}; it has: {', '.join(known) or 'none'}")
        if was_running or closed or machine.read().closed:
            self._quit(machine, deadline)
            self._close(machine, closed)
            self._launch(machine, machine.read(), deadline, instant=False, paused=True)
        with self._monitor(key, deadline) as qmp:
            qmp.run_job("snapshot-load", tag=name, vmstate="disk0", devices=["disk0"])
            qmp.command("cont")
        self._refresh(machine, (), deadline)

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

    def _launch(
        self, machine: Machine, content: MachineFile, deadline: Deadline, *, instant: bool, paused: bool = False
    ) -> None:
        content = self._with_free_ports(machine, content)
        shape = self._shape(content.spec)
        listen, ssh_port, vnc_port = content.reach(self._profile.listen)
        arguments = command.base_arguments(
            shape,
            folder=machine.folder,
            disk=machine.disk,
            kernel=content.kernel,
            initrd=content.initrd,
            cmdline=images.KERNEL_CMDLINE,
            depot=content.depot,
        )
        if instant and content.template:
            ram = templates.Template(Path(content.template)).ram
            arguments += [*command.memory(ram, shape.memory_mb, share=False), "-incoming", "defer"]
        else:
            arguments += command.plain_memory(shape.memory_mb)
        arguments += command.management(f"{listen}:{ssh_port}")
        for index, nic in enumerate(content.spec.nics):
            arguments += command.card(index, nic.mac)
        arguments += [
            *("-object", f"secret,id=vnc0,file={machine.vnc_secret}"),
            *("-vnc", f"{listen}:{vnc_port - 5900},password-secret=vnc0"),
        ]
        arguments += ["-qmp", f"unix:{machine.events.name},server=on,wait=off"]
        if paused:
            arguments.append("-S")
        # From here on the disk may differ from the template's RAM: a launch that is cut short must not resume again.
        machine.mark("started")
        spawn(arguments, machine.folder, deadline)

    def _resume(self, machine: Machine, content: MachineFile, deadline: Deadline) -> None:
        assert content.template is not None
        state = templates.Template(Path(content.template)).state
        with Qmp(machine.monitor, deadline) as qmp:
            _leave_shared_memory_out(qmp, True)
            qmp.command("migrate-incoming", uri=f"exec:cat {state}")

            def arrived() -> bool | None:
                status = qmp.command("query-migrate").get("status")
                if status == "failed":
                    raise HypervisorError(f"{machine.key}: its RAM template could not be resumed")
                return True if status == "completed" else None

            deadline.poll(arrived, f"{machine.key}: its RAM template", interval=0.01)
            _leave_shared_memory_out(qmp, False)  # it would shape the snapshots too, which a plain machine loads
            qmp.command("cont")
        self._refresh(machine, [nic.mac for nic in content.spec.nics], deadline)

    def _refresh(self, machine: Machine, macs: Sequence[str], deadline: Deadline) -> None:
        """Renew what a restored RAM state must not share; `macs` only when it is a template's."""
        script = resume.script(macs)
        result = GuestAgent(machine.folder).execute(["/bin/sh"], deadline, script.encode())
        if result.exit_status:
            reason = result.stderr.decode("utf-8", "replace").strip()
            raise HypervisorError(f"{machine.key}: randomness and clock could not be renewed: {reason}")

    def _with_free_ports(self, machine: Machine, content: MachineFile) -> MachineFile:
        listen, *own = content.reach(self._profile.listen)
        if all(ports.is_free(listen, port) for port in own):
            return content
        with ports.allocation(self._root):
            ssh_port, vnc_port = ports.choose(self._root, listen, self._profile.ports, 2, str(machine.key))
            if content.closed:
                content = replace(content, closed=(ssh_port, vnc_port))
            else:
                content = replace(content, ssh_port=ssh_port, vnc_port=vnc_port)
            machine.write(content)
        return content

    def _close(self, machine: Machine, closed: bool) -> None:
        """Whether only this computer reaches the machine, from its next launch on."""
        content = machine.read()
        if closed == (content.closed is not None):
            return
        with ports.allocation(self._root):
            ssh_port, vnc_port = ports.choose(self._root, LOOPBACK, self._profile.ports, 2, f"{machine.key} closed")
            machine.write(replace(content, closed=(ssh_port, vnc_port) if closed else None))

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

    def snapshots(self, key: NodeKey, deadline: Deadline) -> list[str]:
        with self._monitor(key, deadline) as qmp:
            return _snapshots(qmp)

    def _quit(self, machine: Machine, deadline: Deadline) -> None:
        """End QEMU without a word to the guest; its disk's tables are written first, which SIGKILL would not do."""
        pid = machine.pid
        if pid is None:
            return
        with Qmp(machine.monitor, deadline) as qmp:
            qmp.command("quit")
        deadline.poll(lambda: processes.gone(pid) or None, f"{machine.key}: the end of its QEMU", interval=0.01)

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

    def _image(self, spec: NodeSpec) -> images.RoleImage:
        _require_own([spec])
        image = images.find(spec.role, spec.release)
        if image is None:
            raise EnvironmentLackError(
                f"the image of role {spec.role} ({spec.release}) is not built; run plateau image build {spec.role}"
            )
        return image

    def _shape(self, spec: NodeSpec) -> command.Shape:
        depot = images.find_depot(spec.release) is not None
        return command.Shape(spec.memory_mb, spec.cores, len(spec.nics), depot, self._accelerate(spec))

    def _accelerate(self, spec: NodeSpec) -> str:
        with self._accelerator_lock:
            if self._accelerator is None:
                wanted = self._profile.accelerator
                if wanted == "auto":
                    wanted = "kvm" if kvm.usable(self._image(spec).kernel) else "tcg"
                self._accelerator = wanted
            return self._accelerator

    def _one_per_shape(self, specs: Sequence[NodeSpec]) -> list[NodeSpec]:
        return list({(spec.role, spec.release, self._shape(spec)): spec for spec in specs}.values())


def _require_own(specs: Sequence[NodeSpec]) -> None:
    """Raise EnvironmentLackError when a machine is none of ours, such as a Windows one."""
    for spec in specs:
        if not images.can_build(spec.role, spec.release):
            raise EnvironmentLackError(
                f"{spec.key.node} is cloned from a template {spec.role}-{spec.release}, which the embedded hypervisor "
                "cannot have (Windows, for one); name a profile of Proxmox VE as hypervisor in the session file"
            )


def _leave_shared_memory_out(qmp: Qmp, wanted: bool) -> None:
    """Whether a RAM state comes without the memory itself, which is in a file that the machine maps."""
    qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": wanted}])


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
