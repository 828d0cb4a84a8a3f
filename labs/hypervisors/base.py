"""The contract between Plateau and a hypervisor; tests/contract/ holds every driver to it.

All operations are idempotent and keyed by (session, candidate, node). The hypervisor is the truth:
what is ours can be read from it alone, and what is not ours is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from labs.deadline import Deadline


@dataclass(frozen=True, order=True)
class BenchKey:
    """One candidate's bench. `session` is the session's unique id, not only its name."""

    session: str
    candidate: str

    def __str__(self) -> str:
        return f"{self.session}/{self.candidate}"


@dataclass(frozen=True, order=True)
class NodeKey:
    """One machine of one bench."""

    session: str
    candidate: str
    node: str

    @property
    def bench(self) -> BenchKey:
        return BenchKey(self.session, self.candidate)

    def __str__(self) -> str:
        return f"{self.session}/{self.candidate}/{self.node}"


@dataclass(frozen=True)
class NicSpec:
    """A network card. Access port of one segment, or trunk carrying several (802.1Q tag -> segment)."""

    mac: str
    segment: str | None = None
    trunk: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class NodeSpec:
    """What a node must be; everything a driver needs to create it."""

    key: NodeKey
    role: str
    release: str
    memory_mb: int
    cores: int
    nics: tuple[NicSpec, ...]


@dataclass(frozen=True)
class SegmentSpec:
    """An isolated layer-2 network of one bench."""

    bench: BenchKey
    name: str


class Power(StrEnum):
    """State of a node as the hypervisor sees it."""

    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    """Halted by its host, whose disk is full or fails, or by hand there; what the machine does has no part in it."""


@dataclass(frozen=True)
class NodeStatus:
    """What the hypervisor knows of one of our nodes."""

    key: NodeKey
    power: Power
    ready: bool
    """True once `mark_ready` was called: its first configuration is complete."""
    ssh: tuple[str, int] | None = None
    since: float | None = None
    """Unix time of the last start."""
    host: str = ""
    """The hypervisor's host that carries it, where there are several."""
    image: str = ""
    """Digest of the image that its disk was cloned from, where that is known."""
    closed: bool = False
    """Whether only the hypervisor's host reaches it (`rollback`)."""


class Stream(Protocol):
    """A console's bytes in both directions, for one thread that waits for them with select."""

    def fileno(self) -> int: ...

    @property
    def pending(self) -> bool:
        """Whether there is something to receive that select does not see."""
        ...

    def send(self, data: bytes) -> None:
        """Raises HypervisorError when the connection is gone."""
        ...

    def receive(self, deadline: Deadline) -> bytes:
        """What arrived; nothing at the stream's end."""
        ...

    def close(self) -> None: ...


class Line(Stream, Protocol):
    """A serial line, which may be told how large the terminal is."""

    def resize(self, columns: int, rows: int) -> None: ...


@dataclass(frozen=True)
class Screen:
    """An open screen: a stream of the VNC protocol, and what its viewer gives as password."""

    stream: Stream
    password: str


@dataclass(frozen=True)
class Console:
    """How a person reaches the screen and the serial line of a node."""

    serial: Callable[[Deadline], Line]
    """Opens the serial line. Raises HypervisorError when there is none."""
    vnc: tuple[str, int] | None = None
    """Where a viewer reaches the screen directly, with this password."""
    vnc_password: str | None = None
    screen: Callable[[Deadline], Screen] | None = None
    """Opens the screen, where a viewer cannot reach it directly."""
    url: str | None = None
    """Page of the hypervisor's own web interface that shows the screen."""


@dataclass(frozen=True)
class ExecResult:
    """Outcome of a command run through the guest agent."""

    exit_status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")


@dataclass(frozen=True)
class HostCapacity:
    """One hypervisor host. Sizes in MiB."""

    host: str
    cores: int
    memory_total_mb: int
    memory_free_mb: int
    disk_free_mb: int
    free_ports: int
    """TCP ports, or VMIDs, that may still be given to machines."""
    accelerator: str


class Hypervisor(Protocol):
    """A driver. Every method raises HypervisorError (one line) when the hypervisor refuses."""

    name: str

    def software(self) -> str:
        """Name and version of what runs the machines."""
        ...

    def capacity(self) -> list[HostCapacity]:
        """What each host has and what is free now."""
        ...

    def list_nodes(self, session: str | None = None) -> list[NodeStatus]:
        """All nodes that are ours (of one session id), read from the hypervisor, not from memory."""
        ...

    def status(self, key: NodeKey) -> NodeStatus:
        """One node; power is ABSENT when it does not exist."""
        ...

    def missing(self, specs: Sequence[NodeSpec]) -> list[str]:
        """What `prepare` would have to make before these nodes can be cloned, one phrase each."""
        ...

    def prepare(self, specs: Sequence[NodeSpec], progress: Callable[[str, str], None]) -> None:
        """Make what these nodes are cloned from (images, templates); `progress` gets (what, step)."""
        ...

    def ensure_segments(self, wanted: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], deadline: Deadline) -> None:
        """Make the segments of these benches exist and connect their nodes' cards to them as they appear."""
        ...

    def ensure_node(self, spec: NodeSpec, deadline: Deadline) -> NodeStatus:
        """Create the node as a linked clone of its role image, not started; keep it if it exists."""
        ...

    def start(self, key: NodeKey, deadline: Deadline) -> None:
        """Power on, wake from sleep, or go on after a full disk or a pause; nothing happens when it runs."""
        ...

    def stop(self, key: NodeKey, deadline: Deadline, *, force: bool = False) -> None:
        """Power off, cleanly unless `force`; nothing happens when it is stopped."""
        ...

    def reset(self, key: NodeKey, deadline: Deadline) -> None:
        """Reboot as if the reset button was pressed."""
        ...

    def restarts(self, key: NodeKey, deadline: Deadline) -> AbstractContextManager[Callable[[], bool | None]]:
        """While the `with` block runs, its value tells whether the machine has restarted, whatever its system says.

        None where the hypervisor does not tell.
        """
        ...

    def wait_agent(self, key: NodeKey, deadline: Deadline) -> None:
        """Return when the guest agent answers."""
        ...

    def execute(self, key: NodeKey, argv: Sequence[str], deadline: Deadline, *, stdin: bytes = b"") -> ExecResult:
        """Run a command as root through the guest agent and return its outcome."""
        ...

    def guest_setup(self, key: NodeKey) -> str:
        """Shell lines that make `status(key).ssh` reach a Linux guest, for its first configuration; may be empty."""
        ...

    def mark_ready(self, key: NodeKey) -> None:
        """Record, on the hypervisor, that the first configuration of the node is complete."""
        ...

    def snapshots(self, key: NodeKey, deadline: Deadline) -> list[str]:
        """Names of the snapshots of a node, whether it runs or not."""
        ...

    def snapshot(self, key: NodeKey, name: str, deadline: Deadline) -> None:
        """Save disk and RAM under `name`, replacing an older one of that name."""
        ...

    def rollback(self, key: NodeKey, name: str, deadline: Deadline, *, closed: bool = False) -> None:
        """Return to a snapshot: the node runs as it ran then, with fresh randomness and the right time of day.

        With `closed`, only the hypervisor's host reaches its SSH and its console from then on, at other ports, until it
        goes back without it; on Proxmox VE, whose machines are on a network of the room, it changes nothing.
        Its monotonic clock goes on from the snapshot: no service sees the time that was undone.

        Raises NotRenewedError when it runs with the clock and the randomness of then, as nobody in it answers.
        """
        ...

    def waited(self, key: NodeKey) -> float:
        """Seconds, since its process began, that the node was ready to run while the host had no processor for it.

        0 where nobody counts them.
        """
        ...

    def set_link(self, key: NodeKey, nic: int, up: bool, deadline: Deadline) -> None:
        """Plug (True) or pull (False) the cable of card `nic` (0 = first lab card)."""
        ...

    def asleep(self, key: NodeKey, deadline: Deadline) -> bool:
        """Whether the node runs but its system is suspended to memory (ACPI S3): it answers nothing until it wakes."""
        ...

    def press(self, key: NodeKey, button: str, deadline: Deadline) -> None:
        """Press and release a key of the node's keyboard, by QEMU's name of it (QKeyCode: `power`, `ret`, `f1`)."""
        ...

    def console(self, key: NodeKey) -> Console:
        """Where the console of the node is."""
        ...

    def admit(self, bench: BenchKey, nodes: Sequence[NodeKey], password: str, deadline: Deadline) -> str | None:
        """Let a candidate open the consoles of these machines; the user's name, None where consoles want no user."""
        ...

    def delete(self, key: NodeKey, deadline: Deadline) -> None:
        """Destroy the node, running or not; nothing happens when it is absent."""
        ...

    def delete_segments(self, bench: BenchKey, deadline: Deadline) -> None:
        """Destroy the segments of a bench, and whatever a killed run left of it."""
        ...

    def leftovers(self, session: str) -> list[str]:
        """Everything of the session that still exists (processes, files, networks): empty after `down`."""
        ...
