"""IPv6 neighbours (RFC 4861): who answers for an address, who announces itself as a router, what a newcomer gets."""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from .legs import card, card_address6, card_mac, packet_socket
from .packets import ICMPV6, IPV6, Packet, echo, ethernet, icmp6, ipv6, mac_bytes, mac_text, parse

SOLICIT_ROUTER, ROUTER, SOLICIT, ADVERTISE = 133, 134, 135, 136
OF_SOURCE, OF_TARGET, PREFIX, DNS = 1, 2, 3, 25
"""Options of these messages; the last is RFC 8106."""
ALL_ROUTERS = "ff02::2"
HOPS = 255
"""What has crossed a router is no neighbour's."""
AGAIN = 2.0
TRIES, WINDOW = 3, 0.8


def resolve(address: str) -> str | None:
    """MAC of a neighbour; None when nobody answers, or more than one machine does.

    >>> resolve("2001:db8:12:1::1")
    '52:54:00:12:34:56'
    """
    name = card()
    mac, own = card_mac(name), card_address6(name)
    group, group_mac = _solicited(address)
    asked = icmp6(own, group, SOLICIT, bytes(4) + _packed(address) + _link(OF_SOURCE, mac))
    found: set[str] = set()
    with packet_socket(name, IPV6) as raw:
        for _ in range(TRIES):
            raw.send(ethernet(group_mac, mac, IPV6, ipv6(own, group, ICMPV6, asked, HOPS)))
            end = time.monotonic() + WINDOW
            while (packet := _next(raw, end)) is not None:
                if packet.icmp_type == ADVERTISE and packet.ttl == HOPS and packet.payload[:16] == _packed(address):
                    found.add(packet.source_mac)
                    end = min(end, time.monotonic() + 0.05)
            if found:
                break
    return found.pop() if len(found) == 1 else None


def routers(window: float = 8.0) -> list[dict[str, Any]]:
    """Routers that announce themselves in this leg, when asked or by themselves, within `window` seconds.

    >>> routers()
    [{'router': 'fe80::1', 'mac': '52:54:00:12:34:56', 'lifetime': 1800, 'managed': False, 'prefixes': [{'prefix':
    '2001:db8:12:1::/64', 'on_link': True, 'autonomous': True, 'valid': 86400, 'preferred': 14400}], 'dns': []}]
    """
    guest = _Guest()
    with packet_socket(card(), IPV6) as raw:
        guest.solicit(raw, time.monotonic() + window, lambda: False)
    return list(guest.routers.values())


def newcomer(target: str, window: float = 12.0, count: int = 3) -> dict[str, Any]:
    """What a machine that plugs into this leg makes of what it is told there (RFC 4862), by itself.

    It has a MAC nobody knows, asks for routers, forms its address from the first prefix to form one from, and sends
    echo requests to `target` through the router that announced it.

    >>> newcomer("2001:db8:ffff::80")
    {'routers': [...], 'address': '2001:db8:12:1:5054:ff:fe9a:1', 'received': 3}
    """
    guest = _Guest()
    received: set[int] = set()
    with packet_socket(card(), IPV6) as raw:
        guest.solicit(raw, time.monotonic() + window, guest.configure)
        ident = int.from_bytes(os.urandom(2), "big")
        for seq in range(count if guest.address else 0):
            message = echo(guest.address, target, ident, seq, b"plateau")
            raw.send(ethernet(guest.gateway, guest.mac, IPV6, ipv6(guest.address, target, ICMPV6, message)))
            end = time.monotonic() + 2.0
            while seq not in received and (packet := _next(raw, end)) is not None:
                guest.defend(raw, packet)
                if packet.is_echo_reply and packet.destination == guest.address and packet.sport == ident:
                    received.add(packet.seq)
    return {"routers": list(guest.routers.values()), "address": guest.address, "received": len(received)}


class _Guest:
    """A machine of our own making behind the leg's card."""

    def __init__(self) -> None:
        self.mac = mac_text(b"\x52\x54\x00" + os.urandom(3))
        self.local = _formed("fe80::/64", self.mac)
        self.routers: dict[str, dict[str, Any]] = {}
        self.address = self.gateway = ""

    def solicit(self, raw: socket.socket, end: float, enough: Callable[[], bool]) -> None:
        """Ask for routers again and again, and note those that speak, until `enough` or `end`."""
        asked = icmp6(self.local, ALL_ROUTERS, SOLICIT_ROUTER, bytes(4) + _link(OF_SOURCE, self.mac))
        frame = ethernet("33:33:00:00:00:02", self.mac, IPV6, ipv6(self.local, ALL_ROUTERS, ICMPV6, asked, HOPS))
        again = 0.0
        while (now := time.monotonic()) < end:
            if now >= again:
                raw.send(frame)
                again = now + AGAIN
            packet = _next(raw, min(end, again))
            if packet is None:
                continue
            self.defend(raw, packet)
            if packet.icmp_type == ROUTER and packet.ttl == HOPS and packet.source.startswith("fe80:"):
                self.routers[packet.source] = announcement(packet)
                if enough():
                    return

    def configure(self) -> bool:
        """Form an address from what is announced; whether there is one."""
        for one in self.routers.values():
            for prefix in one["prefixes"]:
                if prefix["autonomous"] and prefix["prefix"].endswith("/64") and one["lifetime"]:
                    self.address, self.gateway = _formed(prefix["prefix"], self.mac), one["mac"]
        return bool(self.address)

    def defend(self, raw: socket.socket, packet: Packet) -> None:
        """Answer those who ask for our MAC."""
        target = packet.payload[:16]
        mine = [one for one in (self.local, self.address) if one and _packed(one) == target]
        if packet.icmp_type == SOLICIT and mine and packet.source != "::":
            flags = struct.pack("!I", 0x60000000)
            answer = icmp6(mine[0], packet.source, ADVERTISE, flags + target + _link(OF_TARGET, self.mac))
            told = ipv6(mine[0], packet.source, ICMPV6, answer, HOPS)
            raw.send(ethernet(packet.source_mac, self.mac, IPV6, told))


def announcement(packet: Packet) -> dict[str, Any]:
    """A router advertisement as data; `packet.payload` begins after the router's lifetime (RFC 4861 4.2)."""
    prefixes, servers, mac = [], [], packet.source_mac
    for kind, value in _options(packet.payload[8:]):
        if kind == OF_SOURCE:
            mac = mac_text(value[:6])
        elif kind == PREFIX and len(value) >= 30:
            length, flags, valid, preferred = struct.unpack_from("!BBII", value)
            network = ipaddress.IPv6Network((value[14:30], min(length, 128)), strict=False)
            on_link, autonomous = bool(flags & 0x80), bool(flags & 0x40)
            prefixes.append({"prefix": str(network), "on_link": on_link, "autonomous": autonomous, "valid": valid,
                             "preferred": preferred})  # fmt: skip
        elif kind == DNS:
            servers += [socket.inet_ntop(socket.AF_INET6, value[at : at + 16]) for at in range(6, len(value) - 15, 16)]
    # The four octets after the checksum: hop limit, flags, lifetime. A packet keeps them as two numbers.
    return {"router": packet.source, "mac": mac, "lifetime": packet.seq, "managed": bool(packet.sport & 0x80),
            "prefixes": prefixes, "dns": servers}  # fmt: skip


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) >= 8 and data[1]:
        found.append((data[0], data[2 : data[1] * 8]))
        data = data[data[1] * 8 :]
    return found


def _next(raw: socket.socket, end: float) -> Packet | None:
    """The next ICMPv6 message that came in; None at `end`."""
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            return None
        frame, address = raw.recvfrom(2048)
        packet = parse(frame)
        if packet is not None and packet.protocol == ICMPV6 and address[2] != socket.PACKET_OUTGOING:
            return packet
    return None


def _solicited(address: str) -> tuple[str, str]:
    """The group in which the owner of an address listens, and its MAC."""
    tail = _packed(address)[-3:]
    group = socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + tail)
    return group, mac_text(b"\x33\x33\xff" + tail)


def _formed(prefix: str, mac: str) -> str:
    """The address that a machine forms from its MAC (RFC 4291, appendix A)."""
    octets = mac_bytes(mac)
    tail = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.IPv6Network(prefix)[int.from_bytes(tail, "big")])


def _link(kind: int, mac: str) -> bytes:
    return bytes([kind, 1]) + mac_bytes(mac)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)
