"""The folder of one virtual machine: the only truth about it, readable without a journal.

`<state>/qemu/<session>/<candidate>/<node>/` holds `vm.json` (what it is), `disk.qcow2`, `qemu.pid`, the sockets, and
two markers: `started` (it ran once, so its RAM template no longer fits its disk) and `ready` (configured).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from labs.hypervisors.base import NicSpec, NodeKey, NodeSpec
from labs.hypervisors.qemu import processes
from labs.sessionfiles import write_private

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class MachineFile:
    """Content of `vm.json`."""

    spec: NodeSpec
    image: str
    """Digest of the role image under its disk."""
    template: str | None
    """Folder of the RAM template it is resumed from; None: boots from cold."""
    kernel: str
    initrd: str
    depot: str | None
    ssh_port: int
    vnc_port: int
    listen: str | None = None
    """Address on which its process offers them: the profile's when it was begun. None: an older version's machine."""
    closed: tuple[int, int] | None = None
    """Instead of these two, and on the loopback: only this computer reaches the machine."""

    def reach(self, listen: str) -> tuple[str, int, int]:
        """Address and ports of SSH and of the screen; `listen` is what the profile has now."""
        return (LOOPBACK, *self.closed) if self.closed else (self.listen or listen, self.ssh_port, self.vnc_port)

    @property
    def ports(self) -> set[int]:
        """All that are its own, whether they serve now or not."""
        return {self.ssh_port, self.vnc_port, *(self.closed or ())}


@dataclass(frozen=True)
class Machine:
    """A machine's folder."""

    folder: Path

    @property
    def key(self) -> NodeKey:
        session, candidate, node = self.folder.parts[-3:]
        return NodeKey(session, candidate, node)

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def monitor(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def events(self) -> Path:
        """A monitor of its own for what happens to the machine: `monitor` serves one client at a time."""
        return self.folder / "events.sock"

    @property
    def pid_file(self) -> Path:
        return self.folder / "qemu.pid"

    @property
    def vnc_secret(self) -> Path:
        return self.folder / "vnc.secret"

    @property
    def pid(self) -> int | None:
        return processes.pid_of(self.pid_file)

    @property
    def exists(self) -> bool:
        return (self.folder / "vm.json").exists()

    @property
    def started(self) -> bool:
        return (self.folder / "started").exists()

    @property
    def ready(self) -> bool:
        return (self.folder / "ready").exists()

    def mark(self, name: str) -> None:
        """Set the marker `started` or `ready`."""
        (self.folder / name).touch(mode=0o600)

    def read(self) -> MachineFile:
        """What the machine is. Raises FileNotFoundError when it does not exist."""
        data = json.loads((self.folder / "vm.json").read_text())
        spec = data.pop("spec")
        nics = tuple(
            NicSpec(nic["mac"], nic["segment"], tuple((tag, name) for tag, name in nic["trunk"]))
            for nic in spec.pop("nics")
        )
        closed = data.pop("closed", None)
        spec = NodeSpec(NodeKey(**spec.pop("key")), nics=nics, **spec)
        return MachineFile(spec=spec, closed=tuple(closed) if closed else None, **data)

    def write(self, content: MachineFile) -> None:
        """Record what the machine is; from here on it exists."""
        write_private(self.folder / "vm.json", json.dumps(dataclasses.asdict(content), indent=1).encode())

    def remove(self) -> None:
        """Delete the folder; `vm.json` goes first, so that a half-deleted machine does not exist."""
        (self.folder / "vm.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def all_machines(root: Path) -> list[tuple[Machine, MachineFile]]:
    """Every machine below the state folder, in order; one that is deleted meanwhile is left out."""
    found = []
    for path in sorted(root.glob("*/*/*/vm.json")):
        machine = Machine(path.parent)
        try:
            found.append((machine, machine.read()))
        except FileNotFoundError:
            continue
    return found
