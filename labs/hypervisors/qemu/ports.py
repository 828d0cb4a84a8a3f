"""TCP ports of this host given to machines: free now, and in no other machine's file."""

from __future__ import annotations

import fcntl
import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labs.errors import EnvironmentLackError
from labs.hypervisors.qemu.machine import all_machines
from labs.models.profile import PortRange

ANY = 0
"""The kernel chooses one (ip(7))."""


@contextmanager
def allocation(root: Path) -> Iterator[None]:
    """Hold this while choosing ports and writing them down: two runs never choose the same."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (root / "ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_free(address: str, port: int) -> bool:
    """Whether nothing listens on that port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_count(root: Path, allowed: PortRange) -> int:
    """Ports of the range that no machine holds."""
    taken = _taken(root)
    return sum(port not in taken for port in range(allowed.first, allowed.last + 1))


def choose(root: Path, address: str, allowed: PortRange, count: int, label: str) -> list[int]:
    """`count` free ports of the range, searched from a place that depends on `label`.

    A machine that is made again usually gets its ports back, so that an access sheet stays true.
    Raises EnvironmentLackError when there are not enough, or when the address is none of ours.
    """
    if not is_free(address, ANY):
        raise EnvironmentLackError(
            f"listen: {address} is not an address of this machine (`ip address` lists them); change the profile"
        )
    taken = _taken(root)
    chosen: list[int] = []
    size = allowed.last - allowed.first + 1
    start = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4], "big") % size
    for step in range(size):
        port = allowed.first + (start + step) % size
        if port not in taken and is_free(address, port):
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise EnvironmentLackError(
        f"no {count} free TCP ports between {allowed.first} and {allowed.last} on {address}; "
        "widen ports: in the hypervisor profile, or end what holds them"
    )


def _taken(root: Path) -> set[int]:
    return {port for _, content in all_machines(root) for port in content.ports}
