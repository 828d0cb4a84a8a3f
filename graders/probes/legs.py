"""The probe's legs: one network namespace a segment, each with its one card."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .packets import mac_text

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 0x0003
SIOCGIFADDR, SIOCGIFHWADDR = 0x8915, 0x8927
GLOBAL_SCOPE = "00"
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1


@dataclass(frozen=True)
class Legs:
    """Where the namespaces are: `prefix` + name of the leg is a file that setns(2) accepts.

    `dns_log` is where the resolver of the fake Internet writes what it was asked.
    """

    prefix: str = "/run/netns/"
    dns_log: str = "/run/plateau/dns.log"

    def enter(self, leg: str) -> None:
        """Move this process into a leg for good. Raises OSError when there is no such leg."""
        with Path(self.prefix + leg).open() as namespace:
            _setns(namespace.fileno())

    @contextmanager
    def inside(self, leg: str) -> Iterator[None]:
        """Be in a leg for a moment; sockets made there stay there."""
        with Path("/proc/thread-self/ns/net").open() as home:
            self.enter(leg)
            try:
                yield
            finally:
                _setns(home.fileno())


def _setns(descriptor: int) -> None:
    if hasattr(os, "setns"):
        os.setns(descriptor, CLONE_NEWNET)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def card() -> str:
    """The card of the leg this process is in. Raises OSError when there is none."""
    for _, name in socket.if_nameindex():
        if name != "lo" and _hardware(name) == 1:
            return name
    raise OSError("this leg has no network card")


def card_address(name: str) -> str:
    """IPv4 address of a card. Raises OSError when it has none."""
    return socket.inet_ntoa(_ioctl(SIOCGIFADDR, name)[20:24])


def card_address6(name: str) -> str:
    """Global IPv6 address of a card. Raises OSError when it has none."""
    # Not /proc/net: that is where the first thread of this process is.
    for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
        digits, _, _, scope, _, its_card = line.split()
        if its_card == name and scope == GLOBAL_SCOPE:
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
    raise OSError(f"{name} has no IPv6 address")


def card_mac(name: str) -> str:
    return mac_text(_ioctl(SIOCGIFHWADDR, name)[18:24])


def packet_socket(name: str, ethertype: int = ETH_P_ALL) -> socket.socket:
    """A raw socket that sees every frame of the card, whoever it is for."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    index = socket.if_nametoindex(name)
    raw.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("IHH8s", index, PACKET_MR_PROMISC, 0, b""))
    raw.bind((name, ethertype))
    return raw


def _hardware(name: str) -> int:
    return int(struct.unpack_from("H", _ioctl(SIOCGIFHWADDR, name), 16)[0])


def _ioctl(request: int, name: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, struct.pack("256s", name.encode()[:15]))
