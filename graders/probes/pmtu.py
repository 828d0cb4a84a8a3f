"""Path MTU discovery (RFC 1191, RFC 8201): whether a router lets the complaint about a packet back to its sender."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from typing import Any

from .legs import Legs, card, packet_socket
from .packets import UDP, Packet, checksum, ethertype, family, icmp_of, ip, parse, udp

TOO_BIG, UNREACHABLE, FRAGMENTATION_NEEDED = 2, 3, 4
"""ICMPv6's type; the type and the code of ICMP."""
MTU = 1280
EVERY = 1.0


def too_big(
    legs: Legs, *, near: str, far: str, address: str, port: int, router: str, window: float = 6.0
) -> dict[str, Any]:
    """Send a datagram from leg `near` to `address` in leg `far`; complain about it from there, as `router`.

    The complaint is that of the family of the addresses, both the far leg's own; it goes to whom the datagram came
    from, and quotes it as it came, translated or not. `went`: the datagram came to the far side; `came`: the complaint
    came back.

    >>> too_big(legs, near="lan", far="wan", address="2001:db8:ffff::53", port=53, router="2001:db8:fffe:1::1")
    {'went': True, 'came': True}
    """
    word = os.urandom(8).hex().encode()
    with legs.inside(far):
        seen = packet_socket(card(), ethertype(address))
        voice = socket.socket(family(address), socket.SOCK_RAW, icmp_of(address))
        voice.bind((router, 0))
    with legs.inside(near):
        heard = packet_socket(card(), ethertype(address))
        sender = socket.socket(family(address), socket.SOCK_DGRAM)
        sender.connect((address, port))
    went = came = False
    end, again = time.monotonic() + window, 0.0
    with seen, voice, heard, sender:
        while not came and (now := time.monotonic()) < end:
            if now >= again:
                _send(sender, word)
                again = now + EVERY
            for ready in select.select([seen, heard], [], [], max(0.0, min(end, again) - now))[0]:
                frame, place = ready.recvfrom(2048)
                packet = parse(frame)
                if packet is None or place[2] == socket.PACKET_OUTGOING or word not in packet.payload:
                    continue
                if ready is seen and packet.protocol == UDP:
                    went = True
                    with contextlib.suppress(OSError):  # an inner address that was not translated: no way leads there
                        voice.sendto(_complaint(packet, word), (packet.source, 0))
                came |= ready is heard and _complains(packet)
    return {"went": went, "came": came}


def _complaint(packet: Packet, word: bytes) -> bytes:
    """ "Packet too big" (RFC 4443 3.2), or "fragmentation needed" (RFC 792, RFC 1191)."""
    datagram = udp(packet.source, packet.destination, packet.sport, packet.dport, word)
    quoted = ip(packet.source, packet.destination, UDP, datagram)
    if ":" in packet.source:
        return struct.pack("!BBHI", TOO_BIG, 0, 0, MTU) + quoted  # the kernel writes the checksum of ICMPv6
    start, rest = bytes([UNREACHABLE, FRAGMENTATION_NEEDED]), struct.pack("!HH", 0, MTU) + quoted
    return start + struct.pack("!H", checksum(start + b"\0\0" + rest)) + rest


def _complains(packet: Packet) -> bool:
    """Whether it is a complaint of ours: no other has this MTU where an echo has its sequence number."""
    kind = TOO_BIG if ":" in packet.source else UNREACHABLE
    return packet.protocol == icmp_of(packet.source) and packet.icmp_type == kind and packet.seq == MTU


def _send(sender: socket.socket, word: bytes) -> None:
    try:
        sender.send(word)
    except OSError:
        return  # an answer to the one before: nobody listens there, which does not matter
