"""ARP: who answers for an address, and does more than one machine do."""

from __future__ import annotations

import select
import socket
import struct
import time

from .legs import card, card_address, card_mac, packet_socket
from .packets import ARP, BROADCAST, ethernet, mac_bytes, mac_text


def who_has(addresses: list[str], tries: int = 2, window: float = 1.0) -> dict[str, list[str]]:
    """MAC addresses that answer for each address; two for one address are a conflict.

    >>> who_has(["10.1.2.1"])
    {'10.1.2.1': ['52:54:00:12:34:56']}
    """
    name = card()
    mac, own = card_mac(name), card_address(name)
    found: dict[str, list[str]] = {address: [] for address in addresses}
    with packet_socket(name, ARP) as raw:
        for attempt in range(tries):
            for address in addresses:
                raw.send(ethernet(BROADCAST, mac, ARP, _request(mac, own, address)))
            _collect(raw, found, window, enough=attempt + 1 < tries)
    return found


def _collect(raw: socket.socket, found: dict[str, list[str]], window: float, enough: bool) -> None:
    end = time.monotonic() + window
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            return
        frame = raw.recv(2048)
        if len(frame) < 42 or frame[20:22] != b"\0\x02":
            continue
        address, mac = socket.inet_ntoa(frame[28:32]), mac_text(frame[22:28])
        if address in found and mac not in found[address]:
            found[address].append(mac)
            if enough and all(found.values()):
                end = min(end, time.monotonic() + window / 4)


def _request(mac: str, own: str, address: str) -> bytes:
    return (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        + mac_bytes(mac)
        + socket.inet_aton(own)
        + bytes(6)
        + socket.inet_aton(address)
    )
