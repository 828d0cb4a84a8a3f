"""ICMP: ping, traceroute, and an echo whose source is any address."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import Any

from .arp import resolve
from .legs import card, card_mac, packet_socket
from .packets import ICMP, IPV4, ethernet, icmp_echo, ipv4, parse

TRIES = 4
"""A lost packet must not look like a hop that is not there."""


def ping(address: str, count: int = 3, window: float = 2.0, *, size: int = 7, every: float = 0.2) -> dict[str, Any]:
    """Echo requests of `size` bytes of data, `every` seconds, until `window` seconds went by after the last.

    Ends as soon as all of `count` replies came. A reply counts when it brings all the data back.

    >>> ping("10.1.2.1", count=1)
    {'sent': 1, 'received': 1, 'seconds': [0.0004]}
    """
    ident = int.from_bytes(os.urandom(2), "big")
    times: dict[int, float] = {}
    replies: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        for seq in range(count):
            times[seq] = time.monotonic()
            _send(raw, icmp_echo(ident, seq, _data(size)), address)
            last = seq == count - 1
            end = time.monotonic() + (window if last else every)
            while len(replies) < len(times) and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (source, _) = raw.recvfrom(2048)
                kind, got, number = _read(packet)
                whole = packet.endswith(_data(size))
                if kind == 0 and got == ident and source == address and number in times and whole:
                    replies.setdefault(number, round(time.monotonic() - times[number], 4))
    return {"sent": count, "received": len(replies), "seconds": list(replies.values())}


def traceroute(address: str, hops: int = 5, window: float = 2.0) -> list[list[str]]:
    """Addresses that answer at each distance, up to the destination; an empty list where nobody does.

    >>> traceroute("10.1.130.10")
    [['10.1.2.1'], ['10.1.130.10']]
    """
    ident = int.from_bytes(os.urandom(2), "big")
    seen: list[list[str]] = [[] for _ in range(hops)]
    reached = hops
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        for attempt in range(TRIES):
            for ttl in range(1, reached + 1):
                if not seen[ttl - 1]:
                    raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
                    _send(raw, icmp_echo(ident, ttl, b"plateau"), address)
            end = time.monotonic() + (window if attempt == TRIES - 1 else window / TRIES)
            while not all(seen[:reached]) and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (source, _) = raw.recvfrom(2048)
                distance = _distance(packet, ident)
                if distance is None or not 1 <= distance <= hops:
                    continue
                if source == address:
                    reached = min(reached, distance)
                if source not in seen[distance - 1]:
                    seen[distance - 1].append(source)
            if all(seen[:reached]):
                break
    return seen[:reached]


def echo_from(source: str, address: str, mac: str, count: int = 3, window: float = 2.0) -> dict[str, Any]:
    """Echo requests from any source address to a neighbour (`mac` unless it answers ARP with another).

    The replies are caught on this card, whatever route they take to it.

    >>> echo_from("192.0.2.7", "198.51.100.2", "52:54:00:12:34:56")
    {'sent': 3, 'received': 3}
    """
    ident = int.from_bytes(os.urandom(2), "big")
    name, mac = card(), resolve(address) or mac
    replies: set[int] = set()
    with packet_socket(name, IPV4) as raw:
        for seq in range(count):
            packet = ipv4(source, address, ICMP, icmp_echo(ident, seq, b"plateau"))
            raw.send(ethernet(mac, card_mac(name), IPV4, packet))
            end = time.monotonic() + window / count
            while seq not in replies and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                answer = parse(raw.recv(2048))
                if answer and answer.icmp_type == 0 and answer.sport == ident and answer.destination == source:
                    replies.add(answer.seq)
    return {"sent": count, "received": len(replies)}


def _data(size: int) -> bytes:
    return (b"plateau" * (size // 7 + 1))[:size]


def _send(raw: socket.socket, message: bytes, address: str) -> None:
    try:
        raw.sendto(message, (address, 0))
    except OSError:
        return  # no route, or nobody answers ARP: the same as no reply


def _read(packet: bytes) -> tuple[int, int, int]:
    body = packet[(packet[0] & 15) * 4 :]
    kind, _, _, ident, seq = struct.unpack_from("!BBHHH", body)
    return kind, ident, seq


def _distance(packet: bytes, ident: int) -> int | None:
    """The TTL (our sequence number) that this reply or time-exceeded message is about."""
    kind, got, seq = _read(packet)
    if kind == 0 and got == ident:
        return seq
    inner = packet[(packet[0] & 15) * 4 + 8 :]
    if kind != 11 or len(inner) < 28:
        return None
    _, got, seq = _read(inner)
    return seq if got == ident else None
