"""Frames made by hand and sent to a router's card: what passes and what comes back, without a route or socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from typing import Any

from .legs import Legs, card, card_mac, packet_socket
from .neighbours import resolve
from .packets import ACK, RST, SYN, TCP, UDP, Packet, echo, ethernet, ethertype, icmp_of, ip, parse, tcp, udp

FLAGS = {"S": SYN, "A": ACK}
Shot = dict[str, Any]


def send(
    legs: Legs,
    *,
    origin: str,
    via: str,
    mac: str,
    shots: list[Shot],
    watch: list[str],
    window: float = 2.0,
    tries: int = 2,
) -> dict[str, dict[str, Any]]:
    """Send each shot `tries` times from `origin` to the neighbour `via`; tell where it arrived and what came back.

    `mac` is where the frames go unless `via` itself tells another. All are of its family.

    A shot: id, protocol (tcp, udp, icmp), source, address, port; optionally sport, flags (`S`, `A`), payload (hex).
    `arrived` lists the watched legs where the packet itself was seen; `replies` what came back to `origin`:
    `syn-ack`, `reset`, `udp:<hex>`, `echo-reply`.

    >>> send(legs, origin="wan", via="198.51.100.2", mac="52:54:00:12:34:56", watch=["lan", "serveurs"], shots=[
    ...     {"id": "a", "protocol": "icmp", "source": "203.0.113.80", "address": "198.51.100.2"}])
    {'a': {'arrived': [], 'replies': ['echo-reply']}}
    """
    prepared = [_Prepared(shot) for shot in shots]
    with contextlib.ExitStack() as stack:
        with legs.inside(origin):
            out = stack.enter_context(packet_socket(card(), ethertype(via)))
            own, mac = card_mac(card()), resolve(via) or mac
        sockets = {out: origin}
        for name in watch:
            with legs.inside(name):
                sockets[stack.enter_context(packet_socket(card(), ethertype(via)))] = name
        for attempt in range(tries):
            for one in prepared:
                if not one.replies and not one.arrived:
                    out.send(ethernet(mac, own, ethertype(via), one.packet))
            _collect(sockets, origin, prepared, window if attempt == tries - 1 else window / 4)
    return {one.shot["id"]: {"arrived": sorted(one.arrived), "replies": sorted(one.replies)} for one in prepared}


class _Prepared:
    """A shot with its packet and what identifies it and its replies."""

    def __init__(self, shot: Shot) -> None:
        self.shot = shot
        self.arrived: set[str] = set()
        self.replies: set[str] = set()
        self.seq = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
        self.sport = int(shot.get("sport") or 20000 + self.seq % 40000)
        self.payload = bytes.fromhex(shot["payload"]) if shot.get("payload") else os.urandom(12)
        source, address, port = shot["source"], shot["address"], int(shot.get("port", 0))
        match shot["protocol"]:
            case "tcp":
                ack = 0 if shot.get("flags", "S") == "S" else self.seq ^ 0x55AA55AA
                flags = FLAGS[shot.get("flags", "S")]
                body = tcp(source, address, self.sport, port, flags=flags, seq=self.seq, ack=ack)
                self.protocol = TCP
            case "udp":
                body = udp(source, address, self.sport, port, self.payload)
                self.protocol = UDP
            case _:
                body = echo(source, address, self.seq & 0xFFFF, 1, self.payload)
                self.protocol = icmp_of(address)
        self.packet = ip(source, address, self.protocol, body)
        self.expected_ack = (self.seq + 1) & 0xFFFFFFFF
        self.sent_ack = self.seq ^ 0x55AA55AA

    def is_me(self, packet: Packet) -> bool:
        if packet.protocol != self.protocol:
            return False
        if self.protocol == TCP:
            return packet.seq == self.seq and not packet.flags & RST
        return packet.payload == self.payload and (self.protocol == UDP or packet.is_echo_request)

    def reply(self, packet: Packet) -> str | None:
        if packet.protocol != self.protocol or packet.destination != self.shot["source"]:
            return None
        if self.protocol == TCP and packet.dport == self.sport:
            if packet.flags & RST and (packet.ack == self.expected_ack or packet.seq == self.sent_ack):
                return "reset"
            return "syn-ack" if packet.flags & (SYN | ACK) == SYN | ACK and packet.ack == self.expected_ack else None
        if self.protocol == UDP and packet.dport == self.sport and packet.sport == self.shot["port"]:
            return f"udp:{packet.payload[:512].hex()}"
        if packet.is_echo_reply and packet.payload == self.payload:
            return "echo-reply"
        return None


def _collect(sockets: dict[socket.socket, str], leg: str, prepared: list[_Prepared], window: float) -> None:
    end = time.monotonic() + window
    while (left := end - time.monotonic()) > 0:
        for ready in select.select(list(sockets), [], [], left)[0]:
            frame, address = ready.recvfrom(2048)
            packet = parse(frame)
            if packet is None or address[2] == socket.PACKET_OUTGOING:
                continue
            for one in prepared:
                if sockets[ready] != leg and one.is_me(packet):
                    one.arrived.add(sockets[ready])
                elif sockets[ready] == leg and (reply := one.reply(packet)):
                    one.replies.add(reply)
