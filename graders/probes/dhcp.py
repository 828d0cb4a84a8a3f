"""DHCP: DISCOVER and look at every OFFER. Never REQUEST: nothing is taken."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import Any

from .legs import Legs, card, packet_socket
from .packets import BROADCAST, IPV4, UDP, Packet, ethernet, ipv4, mac_bytes, mac_text, parse, udp

COOKIE = b"\x63\x82\x53\x63"
RETRY = 4.0
ANY, EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104 - an address, not a binding
BROADCAST_FLAG = 0x8000


def discover(
    macs: list[str] | None = None,
    *,
    count: int = 0,
    requested: list[str] | None = None,
    window: float = 6.0,
    linger: float = 2.0,
    silence: float = 9.0,
) -> list[dict[str, Any]]:
    """Every offer made to these MAC addresses and to `count` random ones; the nth asks for the nth `requested` address.

    Listens `linger` seconds more after each of them got one (a second server may be slower), at most `window`,
    and no longer than `silence` when nobody answers at all.

    >>> discover(count=1)[0]["address"]
    '10.1.2.117'
    """
    chosen = list(macs or []) + [_random_mac() for _ in range(count)]
    asked = {os.urandom(4): mac for mac in chosen}
    wishes = dict(zip(asked, requested or [], strict=False))
    name = card()
    offers: list[dict[str, Any]] = []
    with packet_socket(name, IPV4) as raw:
        start = time.monotonic()
        end, again = start + window, start
        served: set[str] = set()
        while (now := time.monotonic()) < end and (offers or now - start < silence):
            if now >= again:
                for xid, mac in asked.items():
                    if mac not in served:
                        raw.send(_frame(xid, mac, int(now - start), wishes.get(xid)))
                again = now + RETRY
            if not select.select([raw], [], [], max(0.0, min(end, again) - now))[0]:
                continue
            packet = parse(raw.recv(4096))
            offer = _offer(packet, asked) if packet else None
            if offer is None:
                continue
            if offer not in offers:
                offers.append(offer)
            served.add(offer["mac"])
            if len(served) == len(asked):
                end = min(end, time.monotonic() + linger)
                again = end
    return offers


def relayed(
    legs: Legs, *, server_leg: str, client_leg: str, server: str, relay: str, window: float = 6.0
) -> dict[str, Any]:
    """Hand `server` a DISCOVER as the relay would, and see in the client's segment what the relay delivers.

    >>> seen = relayed(legs, server_leg="serveurs", client_leg="lan", server="10.1.130.10", relay="10.1.2.1")
    >>> seen["offers"][0]["address"]
    '10.1.2.117'
    """
    mac, xid = _random_mac(), os.urandom(4)
    offers: list[dict[str, Any]] = []
    with legs.inside(client_leg):
        raw = packet_socket(card(), IPV4)
    with legs.inside(server_leg):
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with raw, link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # flow.matrix may listen there at the same time
        link.bind(("", 67))
        end, again = time.monotonic() + window, 0.0
        while not offers and (now := time.monotonic()) < end:
            if now >= again:
                link.sendto(_message(xid, mac, 0, relay=relay), (server, 67))
                again = now + RETRY / 2
            if select.select([raw], [], [], max(0.0, min(end, again) - now))[0]:
                packet = parse(raw.recv(4096))
                offer = _offer(packet, {xid: mac}) if packet else None
                if offer:
                    offers.append(offer)
    return {"mac": mac, "offers": offers}


def _random_mac() -> str:
    return "52:54:00:" + os.urandom(3).hex(":")


def _message(xid: bytes, mac: str, seconds: int, *, wish: str | None = None, relay: str = ANY) -> bytes:
    fixed = struct.pack("!BBBB4sHH", 1, 1, 6, 0 if relay == ANY else 1, xid, seconds, BROADCAST_FLAG)
    addresses = bytes(12) + socket.inet_aton(relay)
    options = b"\x35\x01\x01" + b"\x3d\x07\x01" + mac_bytes(mac) + b"\x37\x07\x01\x03\x06\x0f\x33\x36\x1c"
    if wish:
        options += b"\x32\x04" + socket.inet_aton(wish)
    hardware = mac_bytes(mac) + bytes(10 + 64 + 128)
    return (fixed + addresses + hardware + COOKIE + options + b"\xff").ljust(300, b"\0")


def _frame(xid: bytes, mac: str, seconds: int, wish: str | None) -> bytes:
    datagram = udp(ANY, EVERYBODY, 68, 67, _message(xid, mac, seconds, wish=wish))
    return ethernet(BROADCAST, mac, IPV4, ipv4(ANY, EVERYBODY, UDP, datagram))


def _offer(packet: Packet, asked: dict[bytes, str]) -> dict[str, Any] | None:
    """The offer a packet holds, when it answers one of our transactions."""
    data = packet.payload
    if packet.protocol != UDP or packet.dport not in {67, 68} or len(data) < 240 or data[236:240] != COOKIE:
        return None
    xid, mac = data[4:8], mac_text(data[28:34])
    options = _options(data[240:])
    if data[0] != 2 or asked.get(xid) != mac or options.get(53) != b"\x02":
        return None
    return {
        "mac": mac,
        "address": socket.inet_ntoa(data[16:20]),
        "server": _addresses(options.get(54))[0] if options.get(54) else "",
        "relay": socket.inet_ntoa(data[24:28]),
        "frame_source": packet.source_mac,
        "packet_source": packet.source,
        "mask": _addresses(options.get(1))[0] if options.get(1) else "",
        "routers": _addresses(options.get(3)),
        "dns": _addresses(options.get(6)),
        "domain": options.get(15, b"").rstrip(b"\0").decode("ascii", "replace"),
        "lease": int.from_bytes(options[51], "big") if 51 in options else None,
    }


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data) and data[position] != 255:
        code = data[position]
        if code == 0:
            position += 1
            continue
        if position + 1 >= len(data):
            break
        length = data[position + 1]
        found[code] = found.get(code, b"") + data[position + 2 : position + 2 + length]
        position += 2 + length
    return found


def _addresses(value: bytes | None) -> list[str]:
    value = value or b""
    return [socket.inet_ntoa(value[start : start + 4]) for start in range(0, len(value) - 3, 4)]
