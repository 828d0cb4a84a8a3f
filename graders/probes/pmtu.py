"""Path MTU discovery (RFC 8201): whether a router lets the complaint about a flow's packet back to its sender."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import Any

from .legs import Legs, card, packet_socket
from .packets import ICMPV6, IPV6, UDP, ipv6, parse, udp

TOO_BIG, MTU = 2, 1280
EVERY = 1.0


def too_big(
    legs: Legs, *, near: str, far: str, address: str, port: int, router: str, window: float = 6.0
) -> dict[str, Any]:
    """Send a datagram from leg `near` to `address` in leg `far`; complain about it from there, as `router`.

    Both addresses are the far leg's own. `went`: the datagram came to the far side; `came`: the complaint came back.

    >>> too_big(legs, near="lan", far="wan", address="2001:db8:ffff::53", port=53, router="2001:db8:fffe:1::1")
    {'went': True, 'came': True}
    """
    word = os.urandom(8).hex().encode()
    with legs.inside(far):
        seen = packet_socket(card(), IPV6)
        voice = socket.socket(socket.AF_INET6, socket.SOCK_RAW, ICMPV6)
        voice.bind((router, 0))
    with legs.inside(near):
        heard = packet_socket(card(), IPV6)
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
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
                    datagram = udp(packet.source, packet.destination, packet.sport, packet.dport, word)
                    quoted = ipv6(packet.source, packet.destination, UDP, datagram, packet.ttl)
                    voice.sendto(struct.pack("!BBHI", TOO_BIG, 0, 0, MTU) + quoted, (packet.source, 0))
                came |= ready is heard and packet.protocol == ICMPV6 and packet.icmp_type == TOO_BIG
    return {"went": went, "came": came}


def _send(sender: socket.socket, word: bytes) -> None:
    try:
        sender.send(word)
    except OSError:
        return  # an answer to the one before: nobody listens there, which does not matter
