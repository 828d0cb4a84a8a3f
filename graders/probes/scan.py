"""Full TCP scan from one leg, in frames of our own of either family, clocked by the target's echo replies.

The target's speed is not known (an emulated router is slow), so a batch of SYN ends with an ICMP echo: its reply says
that the batch went through the queues, and the next one may leave. A batch whose echo is lost is sent again. A target
that answers no echo, or only so many a second, is scanned at a steady pace.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from typing import Any

from .legs import card, card_mac, packet_socket
from .neighbours import resolve
from .packets import ACK, ICMP, ICMPV6, SYN, TCP, echo, ethernet, ethertype, icmp_of, ip, parse, tcp

BATCH = 256
IN_FLIGHT = 3
PATIENCE = 1.5
PACE = BATCH / 8000
"""Seconds between two batches when nothing tells how fast the target is."""
LOST_BATCHES = 12
TWICE = 2
"""Without a clock nothing says that a batch was heard: each is sent again."""
SO_ATTACH_FILTER = 26
# Of all that comes in, Python sees only SYN-ACK segments and echo replies: a router that resets every port is not felt.
FILTER = (
    (0x28, 0, 0, 12), (0x15, 0, 10, 0x0800),
    (0xB1, 0, 0, 14), (0x30, 0, 0, 23),
    (0x15, 0, 3, TCP), (0x50, 0, 0, 27), (0x54, 0, 0, 0x12), (0x15, 3, 4, 0x12),
    (0x15, 0, 3, ICMP), (0x50, 0, 0, 14), (0x15, 0, 1, 0),
    (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0),
)  # fmt: skip
FILTER6 = (
    (0x28, 0, 0, 12), (0x15, 0, 9, 0x86DD),
    (0x30, 0, 0, 20),
    (0x15, 0, 3, TCP), (0x30, 0, 0, 67), (0x54, 0, 0, 0x12), (0x15, 3, 4, 0x12),
    (0x15, 0, 3, ICMPV6), (0x30, 0, 0, 54), (0x15, 0, 1, 129),
    (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0),
)  # fmt: skip


def tcp_ports(
    source: str, address: str, mac: str, *, first: int = 1, last: int = 65535, sport: int = 0, window: float = 40.0
) -> dict[str, Any]:
    """Ports of a neighbour that answer SYN with SYN-ACK; `complete` is False when `window` was too short for all.

    `mac` is where the frames go unless `address` itself tells another. Runs behind the other probes (nice).

    >>> tcp_ports("198.51.100.1", "198.51.100.2", "52:54:00:12:34:56")
    {'open': [8080], 'complete': True, 'clock': 'echo', 'sent': 65535, 'seconds': 6.1}
    """
    os.nice(10)
    name, mac = card(), resolve(address) or mac
    with packet_socket(name, ethertype(address)) as raw:
        _attach_filter(raw, FILTER6 if ":" in address else FILTER)
        scan = _Scan(raw, (card_mac(name), mac), (source, address), sport or 32768 + os.urandom(1)[0])
        return scan.run(list(range(first, last + 1)), time.monotonic() + window)


class _Scan:
    def __init__(self, raw: socket.socket, macs: tuple[str, str], addresses: tuple[str, str], sport: int) -> None:
        self.raw, self.sport = raw, sport
        self.ident = int.from_bytes(os.urandom(2), "big")
        self.seq = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
        self.open: set[int] = set()
        self.replied: set[int] = set()
        self.sent = 0
        self.source, self.address = addresses
        self.mac, self.via_mac = macs
        segment = tcp(*addresses, sport, 0, flags=SYN, seq=self.seq)
        self.type = ethertype(self.address)
        self.frame = bytearray(ethernet(self.via_mac, self.mac, self.type, ip(*addresses, TCP, segment)))
        self.segment = len(self.frame) - len(segment)
        self.sum = ~int.from_bytes(segment[16:18], "big") & 0xFFFF

    def run(self, ports: list[int], end: float) -> dict[str, Any]:
        start = time.monotonic()
        batches = {n + 1: ports[at : at + BATCH] for n, at in enumerate(range(0, len(ports), BATCH))}
        clocked = self._clock_works()
        waiting: dict[int, float] = {}
        todo = list(batches) * (1 if clocked else TWICE)
        lost, limited, pace = 0, False, PACE
        while (todo or waiting) and (now := time.monotonic()) < end:
            if todo and len(waiting) < IN_FLIGHT:
                number = todo.pop(0)
                self._send_batch(batches[number])
                if clocked:
                    self._echo(number)
                waiting[number] = time.monotonic()
            self._receive(0 if todo and len(waiting) < IN_FLIGHT else 0.02)
            for number in [n for n in waiting if n in self.replied]:
                del waiting[number]
            if not clocked:  # no echo to wait for: a slow steady pace
                time.sleep(pace)
                waiting.clear()
            for number in [n for n, at in waiting.items() if now - at > PATIENCE]:
                del waiting[number]
                todo.append(number)
                lost += 1
            if clocked and lost >= LOST_BATCHES:  # so many are not lost, but limited: they tell nothing any more
                clocked, limited, todo, waiting = False, True, [*todo, *waiting] * TWICE, {}
                pace = max(
                    PACE, (end - now) * 0.7 / max(1, len(todo))
                )  # it may be slow as well: take the time there is
        if limited:  # limited or dead? Only the first answers at the end
            self.replied.clear()
        complete = not todo and not waiting and (not limited or self._clock_works())
        self._receive(0.5)
        return {
            "open": sorted(self.open),
            "complete": complete,
            "clock": "echo" if clocked else "pace",
            "sent": self.sent,
            "lost_batches": lost,
            "seconds": round(time.monotonic() - start, 2),
        }

    def _clock_works(self) -> bool:
        for attempt in range(3):
            self._echo(0xFFFF - attempt)
            self._receive(0.7, stop_on_echo=True)
            if self.replied:
                return True
        return False

    def _send_batch(self, ports: list[int]) -> None:
        frame, send, put = self.frame, self.raw.send, struct.pack_into
        port_at, sum_at = self.segment + 2, self.segment + 16
        for port in ports:
            total = self.sum + port
            put("!H", frame, port_at, port)
            put("!H", frame, sum_at, ~(total + (total >> 16)) & 0xFFFF)
            send(frame)
        self.sent += len(ports)

    def _echo(self, seq: int) -> None:
        message = echo(self.source, self.address, self.ident, seq)
        packet = ip(self.source, self.address, icmp_of(self.address), message)
        self.raw.send(ethernet(self.via_mac, self.mac, self.type, packet))

    def _receive(self, window: float, stop_on_echo: bool = False) -> None:
        end = time.monotonic() + window
        while select.select([self.raw], [], [], max(0.0, end - time.monotonic()))[0]:
            frame, address = self.raw.recvfrom(256)
            packet = parse(frame) if address[2] != socket.PACKET_OUTGOING else None
            if packet is None or packet.source != self.address:
                continue
            if packet.is_echo_reply and packet.sport == self.ident:
                self.replied.add(packet.seq)
                if stop_on_echo:
                    return
            elif packet.dport == self.sport and packet.flags & (SYN | ACK) == SYN | ACK and packet.ack == self.seq + 1:
                self.open.add(packet.sport)


def _attach_filter(raw: socket.socket, instructions: tuple[tuple[int, int, int, int], ...]) -> None:
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(program)
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(instructions), ctypes.addressof(buffer)))
