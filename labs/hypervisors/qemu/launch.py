"""The QEMU process of a machine: begun from a RAM template, from cold or paused, and ended without asking the guest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import HypervisorError, NotRenewedError
from labs.hypervisors.qemu import command, ports, processes, resume, templates
from labs.hypervisors.qemu.guest_agent import GuestAgent
from labs.hypervisors.qemu.machine import LOOPBACK, Machine, MachineFile
from labs.hypervisors.qemu.qmp import Qmp
from labs.hypervisors.qemu.spawn import spawn
from labs.hypervisors.qemu.stock import Stock
from labs.models.profile import Profile


class Launcher:
    """Begins and ends processes of the machines below one state folder."""

    def __init__(self, root: Path, profile: Profile, stock: Stock) -> None:
        self._root = root
        self._profile = profile
        self._stock = stock

    def start(self, machine: Machine, deadline: Deadline) -> None:
        """Resume the machine from its template the first time, boot it from cold after that."""
        content = machine.read()
        if content.template is not None and not machine.started:
            template = templates.Template(Path(content.template))
            ram = command.memory(template.ram, content.spec.memory_mb, share=False)
            self._launch(machine, [*ram, "-incoming", "defer"], deadline)
            self._resume(machine, template, deadline)
        else:
            self._launch(machine, command.plain_memory(content.spec.memory_mb), deadline)

    def start_paused(self, machine: Machine, deadline: Deadline) -> None:
        """With no instruction run yet, for a snapshot to be loaded."""
        memory = command.plain_memory(machine.read().spec.memory_mb)
        self._launch(machine, [*memory, "-S"], deadline)

    def quit(self, machine: Machine, deadline: Deadline) -> None:
        """End QEMU without a word to the guest; its disk's tables are written first, which SIGKILL would not do."""
        pid = machine.pid
        if pid is None:
            return
        with Qmp(machine.monitor, deadline) as qmp:
            qmp.command("quit")
        deadline.poll(lambda: processes.gone(pid) or None, f"{machine.key}: the end of its QEMU", interval=0.01)

    def close(self, machine: Machine, closed: bool) -> None:
        """Whether only this computer reaches the machine, from its next launch on."""
        content = machine.read()
        if closed == (content.closed is not None):
            return
        with ports.allocation(self._root):
            ssh_port, vnc_port = ports.choose(self._root, LOOPBACK, self._profile.ports, 2, f"{machine.key} closed")
            machine.write(replace(content, closed=(ssh_port, vnc_port) if closed else None))

    def refresh(self, machine: Machine, macs: Sequence[str], deadline: Deadline) -> None:
        """Renew what a restored RAM state must not share; `macs` only when it is a template's.

        Raises NotRenewedError when the guest does not do it.
        """
        agent = GuestAgent(machine.folder)
        try:
            resume.renew(machine.key, macs, lambda script, until: agent.execute(["/bin/sh"], until, script), deadline)
        except NotRenewedError:
            if machine.pid is None:
                raise HypervisorError(f"{machine.key}: its QEMU ended; see qemu.log in {machine.folder}") from None
            raise

    def _launch(self, machine: Machine, memory: Sequence[str], deadline: Deadline) -> None:
        content = self._placed(machine, machine.read())
        listen, ssh_port, vnc_port = content.reach(self._profile.listen)
        arguments = command.base_arguments(
            self._stock.shape(content.spec),
            folder=machine.folder,
            disk=machine.disk,
            kernel=content.kernel,
            initrd=content.initrd,
            depot=content.depot,
        )
        arguments += memory
        arguments += command.management(f"{listen}:{ssh_port}")
        for index, nic in enumerate(content.spec.nics):
            arguments += command.card(index, nic.mac)
        arguments += [
            *("-object", f"secret,id=vnc0,file={machine.vnc_secret}"),
            *("-vnc", f"{listen}:{vnc_port - 5900},password-secret=vnc0"),
        ]
        arguments += ["-qmp", f"unix:{machine.events.name},server=on,wait=off"]
        # From here on the disk may differ from the template's RAM: a launch that is cut short must not resume again.
        machine.mark("started")
        spawn(arguments, machine.folder, deadline)

    def _resume(self, machine: Machine, template: templates.Template, deadline: Deadline) -> None:
        with Qmp(machine.monitor, deadline) as qmp:
            _leave_shared_memory_out(qmp, True)
            qmp.command("migrate-incoming", uri=f"exec:cat {template.state}")

            def arrived() -> bool | None:
                status = qmp.command("query-migrate").get("status")
                if status == "failed":
                    raise HypervisorError(f"{machine.key}: its RAM template could not be resumed")
                return True if status == "completed" else None

            deadline.poll(arrived, f"{machine.key}: its RAM template", interval=0.01)
            _leave_shared_memory_out(qmp, False)  # it would shape the snapshots too, which a plain machine loads
            qmp.command("cont")
        self.refresh(machine, [nic.mac for nic in machine.read().spec.nics], deadline)

    def _placed(self, machine: Machine, content: MachineFile) -> MachineFile:
        """The machine at the address that the profile has now, and at ports that are free."""
        if content.listen != self._profile.listen:
            content = replace(content, listen=self._profile.listen)
            machine.write(content)
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


def _leave_shared_memory_out(qmp: Qmp, wanted: bool) -> None:
    """Whether a RAM state comes without the memory itself, which is in a file that the machine maps."""
    qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": wanted}])
