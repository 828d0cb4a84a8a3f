"""ICMP of both families: ping, traceroute, and an echo whose source is any address."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from .legs import card, card_mac, packet_socket
from .neighbours import resolve
from .packets import ICMP, ICMPV6, echo, ethernet, ethertype, family, icmp_of, ip, parse

TRIES = 4
"""A lost packet must not look like a hop that is not there."""


@dataclass(frozen=True)
class _Speech:
    """How ICMP of one family is spoken over a raw socket: types of a reply and of "time exceeded", how far it goes."""

    protocol: int
    reply: int
    exceeded: int
    level: int
    hops: int

    def read(self, packet: bytes) -> tuple[int, int, int]:
        """Type, identifier and sequence number of what a raw socket brought; an IPv4 one brings its header too."""
        kind, _, _, ident, seq = struct.unpack_from("!BBHHH", packet[self._body(packet) :])
        return kind, ident, seq

    def distance(self, packet: bytes, ident: int) -> int | None:
        """The TTL (our sequence number) that this reply or time-exceeded message is about."""
        kind, got, seq = self.read(packet)
        if kind == self.reply and got == ident:
            return seq
        inner = packet[self._body(packet) + 8 :]
        if kind != self.exceeded or len(inner) < (48 if self.protocol == ICMPV6 else 28):
            return None
        start = 40 if self.protocol == ICMPV6 else (inner[0] & 15) * 4
        _, _, _, got, seq = struct.unpack_from("!BBHHH", inner[start:])
        return seq if got == ident else None

    def _body(self, packet: bytes) -> int:
        return 0 if self.protocol == ICMPV6 else (packet[0] & 15) * 4


V4 = _Speech(ICMP, 0, 11, socket.IPPROTO_IP, socket.IP_TTL)
V6 = _Speech(ICMPV6, 129, 3, socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)


def ping(address: str, count: int = 3, window: float = 2.0, *, size: int = 7, every: float = 0.2) -> dict[str, Any]:
    """Echo requests of `size` bytes of data, `every` seconds, until `window` seconds went by after the last.

    Ends as soon as all of `count` replies came. A reply counts when it brings all the data back.

    >>> ping("10.1.2.1", count=1)
    {'sent': 1, 'received': 1, 'seconds': [0.0004]}
    """
    speech = V6 if ":" in address else V4
    ident = int.from_bytes(os.urandom(2), "big")
    times: dict[int, float] = {}
    replies: dict[int, float] = {}
    with socket.socket(family(address), socket.SOCK_RAW, speech.protocol) as raw:
        for seq in range(count):
            times[seq] = time.monotonic()
            _send(raw, ident, seq, _data(size), address)
            last = seq == count - 1
            end = time.monotonic() + (window if last else every)
            while len(replies) < len(times) and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (source, *_) = raw.recvfrom(2048)
                kind, got, number = speech.read(packet)
                whole = packet.endswith(_data(size))
                if kind == speech.reply and got == ident and source == address and number in times and whole:
                    replies.setdefault(number, round(time.monotonic() - times[number], 4))
    return {"sent": count, "received": len(replies), "seconds": list(replies.values())}


def traceroute(address: str, hops: int = 5, window: float = 2.0) -> list[list[str]]:
    """Addresses that answer at each distance, up to the destination; an empty list where nobody does.

    >>> traceroute("10.1.130.10")
    [['10.1.2.1'], ['10.1.130.10']]
    """
    speech = V6 if ":" in address else V4
    ident = int.from_bytes(os.urandom(2), "big")
    seen: list[list[str]] = [[] for _ in range(hops)]
    reached = hops
    with socket.socket(family(address), socket.SOCK_RAW, speech.protocol) as raw:
        for attempt in range(TRIES):
            for ttl in range(1, reached + 1):
                if not seen[ttl - 1]:
                    raw.setsockopt(speech.level, speech.hops, ttl)
                    _send(raw, ident, ttl, b"plateau", address)
            end = time.monotonic() + (window if attempt == TRIES - 1 else window / TRIES)
            while not all(seen[:reached]) and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (source, *_) = raw.recvfrom(2048)
                distance = speech.distance(packet, ident)
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
    """Echo requests from any source address to a neighbour (`mac` unless the neighbour tells another).

    The replies are caught on this card, whatever route they take to it.

    >>> echo_from("192.0.2.7", "198.51.100.2", "52:54:00:12:34:56")
    {'sent': 3, 'received': 3}
    """
    ident = int.from_bytes(os.urandom(2), "big")
    name, mac = card(), resolve(address) or mac
    replies: set[int] = set()
    with packet_socket(name, ethertype(address)) as raw:
        for seq in range(count):
            packet = ip(source, address, icmp_of(address), echo(source, address, ident, seq, b"plateau"))
            raw.send(ethernet(mac, card_mac(name), ethertype(address), packet))
            end = time.monotonic() + window / count
            while seq not in replies and (left := end - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                answer = parse(raw.recv(2048))
                if answer and answer.is_echo_reply and answer.sport == ident and answer.destination == source:
                    replies.add(answer.seq)
    return {"sent": count, "received": len(replies)}


def _data(size: int) -> bytes:
    return (b"plateau" * (size // 7 + 1))[:size]


def _send(raw: socket.socket, ident: int, seq: int, data: bytes, address: str) -> None:
    try:
        # The kernel writes the checksum of ICMPv6, which our own address is part of: any will do here.
        raw.sendto(echo(address, address, ident, seq, data), (address, 0))
    except OSError:
        return  # no route, or nobody answers ARP: the same as no reply
