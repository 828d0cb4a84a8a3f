"""What the contract suite must know of each driver, besides the protocol: how to open it, and how to hurt it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labs.deadline import Deadline
from labs.hypervisors.base import BenchKey, ExecResult, Hypervisor, NicSpec, NodeKey, NodeSpec, SegmentSpec
from labs.models.profile import Profile
from labs.variants import mac_address

READ_BOOT = "cat /proc/sys/kernel/random/boot_id"
ROLE = "ws"
SEGMENTS = ("lan", "wan")
MAIN = {"a": "10.99.0.1", "b": "10.99.0.2", "c": "10.99.0.3", "t": "10.99.0.4"}
"""The machines that tests share, with their addresses."""


@dataclass
class World:
    """A driver, and a place of its own where it works."""

    open: Callable[[], Hypervisor]
    """A new driver, as after the controller died."""
    kill: Callable[[NodeKey], None]
    """The power of a running node is cut behind the driver's back."""
    without_images: Callable[[], AbstractContextManager[None]]
    """Nothing that nodes are cloned from is there, while the context lasts."""
    boot: Callable[[NodeKey], str] | None = None
    """What changes with every boot of a node; without it, the guest is asked."""
    guests: bool = True
    """False where machines are only told to exist: no system runs in them."""
    hypervisor: Hypervisor = field(init=False)
    session: str = "contract-0000"

    def __post_init__(self) -> None:
        self.hypervisor = self.open()

    def key(self, node: str, bench: str = "main", session: str | None = None) -> NodeKey:
        return NodeKey(session or self.session, bench, node)

    def spec(self, key: NodeKey, *, segment: str | None = "lan", trunk: tuple[tuple[int, str], ...] = ()) -> NodeSpec:
        nic = NicSpec(mac_address(*key.bench.__str__().split("/"), key.node), None if trunk else segment, trunk)
        return NodeSpec(key, ROLE, "trixie", 384, 1, (nic,))

    def segments(self, bench: BenchKey) -> list[SegmentSpec]:
        return [SegmentSpec(bench, name) for name in SEGMENTS]

    def bring_up(self, *specs: NodeSpec) -> None:
        """Segments, then every node up to its agent."""
        bench = specs[0].key.bench
        self.hypervisor.ensure_segments(self.segments(bench), specs, soon())
        for spec in specs:
            self.hypervisor.ensure_node(spec, soon())
            self.hypervisor.start(spec.key, soon())
            self.hypervisor.wait_agent(spec.key, soon())

    def run(self, key: NodeKey, script: str, seconds: float = 60) -> ExecResult:
        """Run a shell script on a node, as root."""
        return self.hypervisor.execute(key, ["/bin/sh", "-c", script], Deadline.after(seconds))

    def text(self, key: NodeKey, script: str) -> str:
        result = self.run(key, script)
        assert result.exit_status == 0, result
        return result.text.strip()

    def boot_id(self, key: NodeKey) -> str:
        return self.text(key, READ_BOOT) if self.boot is None else self.boot(key)

    def destroy(self, session: str) -> None:
        """Delete everything of a session."""
        benches = {BenchKey(session, bench) for bench in ("main", "other", "life")}
        for status in self.hypervisor.list_nodes(session):
            benches.add(status.key.bench)
            self.hypervisor.delete(status.key, soon())
        for bench in benches:
            self.hypervisor.delete_segments(bench, soon())


@dataclass(frozen=True)
class Machines:
    """a and b on lan, c on wan, t on a trunk of both (10: lan, 20: wan); each has an address."""

    a: NodeKey
    b: NodeKey
    c: NodeKey
    t: NodeKey


def soon() -> Deadline:
    """Long enough for a cold boot on a busy machine."""
    return Deadline.after(180)


@contextmanager
def qemu(folder: Path) -> Iterator[World]:
    """The embedded hypervisor with a state folder of its own; images come from the user's cache."""
    from labs.hypervisors.qemu.driver import QemuHypervisor
    from labs.hypervisors.qemu.machine import Machine
    from labs.paths import state_dir

    def kill(key: NodeKey) -> None:
        pid = Machine(state_dir() / "qemu" / key.session / key.candidate / key.node).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def without_images() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setenv("XDG_CACHE_HOME", str(folder / "empty"))
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield World(lambda: QemuHypervisor(Profile()), kill, without_images)


@contextmanager
def proxmox(folder: Path) -> Iterator[World]:
    """Proxmox VE as fakepve and our proxy tell it: everything but the systems in the machines."""
    from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
    from tests.pve_proxy.model import Pace
    from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, cluster

    def run(argv: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        """The suite's own commands, in a folder of ours; never a script that is meant for a guest alone."""
        if argv == ["/bin/sh"]:
            return subprocess.CompletedProcess(argv, 0, b"", b"")
        try:
            return subprocess.run(argv, input=stdin, capture_output=True, cwd=scratch, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 137, b"", b"")

    scratch = folder / "guests"
    scratch.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, cluster(folder / "cluster", pace=Pace(scale=0.01)) as place:
        patch.setenv(SECRET_VARIABLE, SECRET)
        place.proxy.run = run
        world = World(
            lambda: ProxmoxHypervisor(place.profile),
            lambda key: place.proxy.cut_power("pve1", place.vmid(key)),
            place.proxy.without_templates,
            boot=lambda key: place.proxy.boot_of(place.vmid(key)),
            guests=False,
        )
        yield world


DRIVERS = {"proxmox": proxmox, "qemu": qemu}
WITH_GUESTS = ("qemu",)
