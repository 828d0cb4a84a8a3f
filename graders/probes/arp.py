"""ARP: who answers for an address, and does more than one machine do."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Any

from .legs import card, card_address, card_mac, packet_socket
from .packets import ARP, BROADCAST, ethernet, mac_bytes, mac_text

BATCH = 16
"""So many requests at once fit into the queue of any card."""
LINGER, QUIET = 0.05, 0.4


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


def sweep(addresses: list[str], known: list[str], *, tries: int = 3, window: float = 1.5) -> dict[str, Any]:
    """MAC addresses that answer for each of many addresses, asked a few at a time.

    After each batch the `known` machines that are there are asked again: since a card takes its frames in order, their
    answers show that they heard the batch. It is repeated up to `tries` times until they do; `unheard` counts the
    batches that one of them did not confirm.

    >>> sweep(["10.1.2.2", "10.1.2.3"], ["10.1.2.1"])
    {'found': {'10.1.2.1': ['52:54:00:12:34:56'], '10.1.2.2': [], '10.1.2.3': []}, 'unheard': 0}
    """
    name = card()
    mac, own = card_mac(name), card_address(name)
    found = {**who_has(known, tries=tries, window=window), **{address: [] for address in addresses}}
    there = [address for address in known if found[address]]
    unheard = 0
    with packet_socket(name, ARP) as raw:
        for start in range(0, len(addresses), BATCH):
            for _ in range(tries if there else 1):
                for address in [*addresses[start : start + BATCH], *there]:
                    raw.send(ethernet(BROADCAST, mac, ARP, _request(mac, own, address)))
                answers: dict[str, list[str]] = {address: [] for address in there}
                if _collect(raw, answers, window if there else QUIET, LINGER, found):
                    break
            unheard += not all(answers.values())
    return {"found": found, "unheard": unheard}


def resolve(address: str) -> str | None:
    """MAC of a neighbour; None when nobody answers, or more than one machine does.

    >>> resolve("198.51.100.2")
    '52:54:00:12:34:56'
    """
    macs = who_has([address])[address]
    return macs[0] if len(macs) == 1 else None


def _collect(
    raw: socket.socket,
    awaited: dict[str, list[str]],
    window: float,
    linger: float,
    others: dict[str, list[str]] | None = None,
) -> bool:
    """Note the answers; True once every awaited address has one (and `linger` seconds went by)."""
    end = time.monotonic() + window
    lingering = False
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            break
        frame = raw.recv(2048)
        if len(frame) < 42 or frame[20:22] != b"\0\x02":
            continue
        address, mac = socket.inet_ntoa(frame[28:32]), mac_text(frame[22:28])
        for notes in (awaited, others or {}):
            if address in notes and mac not in notes[address]:
                notes[address].append(mac)
        if not lingering and awaited and all(awaited.values()):
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
