"""ARP: who answers for an address, and does more than one machine do."""

from __future__ import annotations

import select
import socket
import struct
import time

from .legs import card, card_address, card_mac, packet_socket
from .packets import ARP, BROADCAST, ethernet, mac_bytes, mac_text


def who_has(addresses: list[str], *, tries: int = 3, window: float = 0.8, linger: float = 0.0) -> dict[str, list[str]]:
    """MAC addresses that answer for each address; two for one address are a conflict.

    Listens `linger` seconds more once all have answered: a conflict needs it, since the second answer may be late.

    >>> who_has(["10.1.2.1"])
    {'10.1.2.1': ['52:54:00:12:34:56']}
    """
    name = card()
    mac, own = card_mac(name), card_address(name)
    found: dict[str, list[str]] = {address: [] for address in addresses}
    with packet_socket(name, ARP) as raw:
        for _ in range(tries):
            for address in addresses:
                raw.send(ethernet(BROADCAST, mac, ARP, _request(mac, own, address)))
            if _collect(raw, found, window, linger):
                break
    return found


def resolve(address: str) -> str | None:
    """MAC of a neighbour; None when nobody answers, or more than one machine does.

    >>> resolve("198.51.100.2")
    '52:54:00:12:34:56'
    """
    macs = who_has([address])[address]
    return macs[0] if len(macs) == 1 else None


def _collect(raw: socket.socket, found: dict[str, list[str]], window: float, linger: float) -> bool:
    """Note the answers; True once every address has one (and `linger` seconds went by)."""
    end = time.monotonic() + window
    lingering = False
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            break
        frame = raw.recv(2048)
        if len(frame) < 42 or frame[20:22] != b"\0\x02":
            continue
        address, mac = socket.inet_ntoa(frame[28:32]), mac_text(frame[22:28])
        if address in found and mac not in found[address]:
            found[address].append(mac)
        if not lingering and all(found.values()):
            lingering, end = True, time.monotonic() + linger
    return lingering


def _request(mac: str, own: str, address: str) -> bytes:
    return (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        + mac_bytes(mac)
        + socket.inet_aton(own)
        + bytes(6)
        + socket.inet_aton(address)
    )
