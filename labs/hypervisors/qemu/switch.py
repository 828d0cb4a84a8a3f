"""A user-space Ethernet switch for one bench: `python -m labs.hypervisors.qemu.switch FOLDER/switch.pid`.

It connects to the UNIX socket on which QEMU offers each network card (`-netdev stream,server=on`: every frame
comes behind a four-byte length) and forwards between the ports of one segment, learning MAC addresses. A trunk
port carries several segments, each under its 802.1Q tag; an access port carries one, untagged. QEMU listens and the
switch connects, so that a switch that died is started again without touching the machines.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RETRY_SECONDS = 0.1
QUEUE_BYTES = 4 << 20
MAX_FRAME = 65550
MAC_TABLE_LIMIT = 4096
DOT1Q = b"\x81\x00"


@dataclass(eq=False)
class Port:
    """One network card: its socket, and the segments it belongs to."""

    path: str
    segment: str | None
    trunk: dict[int, str]
    stream: socket.socket | None = None
    received: bytearray = field(default_factory=bytearray)
    queue: deque[memoryview] = field(default_factory=deque)
    queued: int = 0

    def tag_of(self, segment: str) -> int | None:
        """The tag under which this trunk carries `segment`, or None for an access port."""
        return next((tag for tag, name in self.trunk.items() if name == segment), None)

    def carries(self, segment: str) -> bool:
        return self.segment == segment or segment in self.trunk.values()


class Switch:
    """Ports, learnt addresses, and the loop that moves frames between them."""

    def __init__(self, ports: list[Port]) -> None:
        self._ports = ports
        self._members = {
            segment: [port for port in ports if port.carries(segment)]
            for segment in {name for port in ports for name in [port.segment, *port.trunk.values()] if name}
        }
        self._table: dict[tuple[str, bytes], Port] = {}
        self._selector = selectors.DefaultSelector()
        self._retry_at = 0.0

    def run(self) -> None:
        """Move frames for ever."""
        while True:
            self._connect_missing()
            waiting = any(port.stream is None for port in self._ports)
            for key, events in self._selector.select(RETRY_SECONDS if waiting else 5.0):
                port: Port = key.data
                if events & selectors.EVENT_READ:
                    self._receive(port)
                if events & selectors.EVENT_WRITE and port.stream is not None:
                    self._flush(port)

    def _connect_missing(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RETRY_SECONDS
        for port in self._ports:
            if port.stream is None:
                stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                try:
                    stream.connect(port.path)
                except OSError:
                    stream.close()
                    continue
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                port.stream = stream
                self._selector.register(stream, selectors.EVENT_READ, port)

    def _drop(self, port: Port) -> None:
        if port.stream is not None:
            self._selector.unregister(port.stream)
            port.stream.close()
        port.stream = None
        port.received.clear()
        port.queue.clear()
        port.queued = 0
        self._table = {key: owner for key, owner in self._table.items() if owner is not port}

    def _receive(self, port: Port) -> None:
        if port.stream is None:
            return
        try:
            chunk = port.stream.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(port)
            return
        data = port.received
        data += chunk
        position = 0
        while len(data) - position >= 4:
            length = int.from_bytes(data[position : position + 4], "big")
            if length > MAX_FRAME:
                self._drop(port)
                return
            if len(data) - position < 4 + length:
                break
            if length >= 14:
                self._switch(port, bytes(data[position + 4 : position + 4 + length]))
            position += 4 + length
        del data[:position]

    def _switch(self, source: Port, frame: bytes) -> None:
        segment = source.segment
        if segment is None:
            if frame[12:14] != DOT1Q or len(frame) < 18:
                return
            segment = source.trunk.get(int.from_bytes(frame[14:16], "big") & 0xFFF)
            if segment is None:
                return
            frame = frame[:12] + frame[16:]
        sender, target = frame[6:12], frame[:6]
        if not sender[0] & 1 and len(self._table) < MAC_TABLE_LIMIT:
            self._table[segment, sender] = source
        known = None if target[0] & 1 else self._table.get((segment, target))
        if known is not None:
            if known is not source:
                self._send(known, segment, frame)
            return
        for port in self._members[segment]:
            if port is not source:
                self._send(port, segment, frame)

    def _send(self, port: Port, segment: str, frame: bytes) -> None:
        if port.stream is None or port.queued > QUEUE_BYTES:
            return
        if port.segment is None:
            tag = port.tag_of(segment)
            if tag is None:
                return
            frame = frame[:12] + DOT1Q + tag.to_bytes(2, "big") + frame[12:]
        data = memoryview(len(frame).to_bytes(4, "big") + frame)
        if not port.queue:
            try:
                sent = port.stream.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(port)
                return
            data = data[sent:]
            if not data:
                return
            self._selector.modify(port.stream, selectors.EVENT_READ | selectors.EVENT_WRITE, port)
        port.queue.append(data)
        port.queued += len(data)

    def _flush(self, port: Port) -> None:
        assert port.stream is not None
        while port.queue:
            try:
                sent = port.stream.send(port.queue[0])
            except BlockingIOError:
                return
            except OSError:
                self._drop(port)
                return
            port.queued -= sent
            if sent < len(port.queue[0]):
                port.queue[0] = port.queue[0][sent:]
                return
            port.queue.popleft()
        self._selector.modify(port.stream, selectors.EVENT_READ, port)


def load_ports(config: dict[str, Any]) -> list[Port]:
    """Ports from the JSON that `segments.py` writes."""
    return [
        Port(one["socket"], one.get("segment"), {int(tag): name for tag, name in one.get("trunk", {}).items()})
        for one in config["ports"]
    ]


def main(pid_file: Path) -> None:
    """Run the switch of the bench whose folder holds `pid_file`, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid_file = pid_file.absolute()
    os.chdir(pid_file.parent)
    pid_file.write_text(f"{os.getpid()}\n")
    Switch(load_ports(json.loads(Path("switch.json").read_text()))).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
