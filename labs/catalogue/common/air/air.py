#!/usr/bin/python3
"""The air of a lab: what the radios of this machine send reaches the radios of the others. Belongs to the centre.

The radios are those of mac80211_hwsim, which hands every frame that it transmits to one program and takes from it those
that it hears. This one carries them, as Ethernet frames of its own kind, over a card that is the antenna; every machine
of the segment has its own. A frame for one station is acknowledged by the machine whose radio has that address, as a
radio does, and the sender's kernel learns whether it was.

Usage: air.py ANTENNA[@LEG] ADDRESS[@LEG]...: one radio for each address, in a network namespace where one is named.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

ETHERTYPE = 0x88B5  # for local experiments (IEEE 802)
PIECE = 1400  # a wireless frame is longer than what Ethernet carries
KIND_FRAME, KIND_ACK = 1, 2
HEADER = struct.Struct("!BBBBIHH")  # kind, piece, pieces, 0, number, MHz, length of the whole
ACK_SECONDS, PIECES_SECONDS = 0.25, 2.0
BEACON, PROBE_RESPONSE, PROBE_REQUEST = 0x80, 0x50, 0x40
BEACON_SECONDS = 0.25  # of ten beacons a second, an emulated machine spends its time on little else
FRESH_SECONDS = 1.5
MADE = Path("/run/plateau-radios")  # a mark for each radio made since the machine was started

# Generic netlink, and the commands and attributes of MAC80211_HWSIM.
GENL, CTRL, CTRL_GETFAMILY, CTRL_FAMILY_ID, CTRL_FAMILY_NAME = 16, 16, 3, 1, 2
NLM_REQUEST, NLM_ACK, NLMSG_ERROR = 1, 4, 2
SO_RCVBUFFORCE, BUFFER = 33, 8 << 20
REGISTER, FRAME, TX_INFO, NEW_RADIO = 1, 2, 3, 4
RECEIVER, TRANSMITTER, DATA, FLAGS, RX_RATE, SIGNAL, ATTEMPTS, COOKIE = 1, 2, 3, 4, 5, 6, 7, 8
NAME, FREQUENCY, PERMANENT = 17, 19, 22
CTL_NO_ACK, STAT_ACK = 2, 4
CLONE_NEWNET = 0x40000000
SIGNAL_DBM = struct.pack("=i", -40)
UNUSED = b"\xff\x00" * 3  # of the four rates that a radio may try

Values = dict[int, bytes]
Sent = tuple[bytes, int, bytes, bytes]  # radio, flags, cookie, attempts


def message(family: int, command: int, values: Iterable[tuple[int, bytes]], number: int, flags: int) -> bytes:
    """A generic netlink message; every attribute is padded to four bytes."""
    body = struct.pack("=BBH", command, 1, 0)
    for kind, value in values:
        body += struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), family, flags, number, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each netlink message of what was received: its type, its number, its body."""
    position = 0
    while position + 16 <= len(data):
        length, kind, _, number, _ = struct.unpack_from("=IHHII", data, position)
        if length < 16:
            return
        yield kind, number, data[position + 16 : position + length]
        position += (length + 3) & ~3


def attributes(data: bytes) -> Values:
    """The attributes of a generic message's body, which begins with four bytes of its own."""
    found, position = {}, 4
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def pieces(kind: int, number: int, frequency: int, frame: bytes) -> Iterator[bytes]:
    """What goes over the antenna for one frame."""
    count = max(1, -(-len(frame) // PIECE))
    for index in range(count):
        head = HEADER.pack(kind, index, count, 0, number, frequency, len(frame))
        yield head + frame[index * PIECE : (index + 1) * PIECE]


class Kernel:
    """The simulated radios' side."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENL)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.bind((0, 0))
        self.number = 0
        answer = self.ask(CTRL, CTRL_GETFAMILY, [(CTRL_FAMILY_NAME, b"MAC80211_HWSIM\0")])
        self.family = struct.unpack("=H", attributes(answer)[CTRL_FAMILY_ID])[0]

    def ask(self, family: int, command: int, values: Iterable[tuple[int, bytes]] = ()) -> bytes:
        """Send, and wait for the answer or the acknowledgement. Raises OSError with what the kernel says."""
        self.number += 1
        self.socket.send(message(family, command, values, self.number, NLM_REQUEST | NLM_ACK))
        answer = b""
        while True:
            for kind, number, body in messages(self.socket.recv(1 << 16)):
                if number != self.number:
                    continue
                if kind != NLMSG_ERROR:
                    answer = body
                    continue
                code = struct.unpack_from("=i", body)[0]
                if code < 0:  # what is positive is the number of a new radio
                    raise OSError(-code, os.strerror(-code))
                return answer

    def tell(self, command: int, values: Iterable[tuple[int, bytes]]) -> None:
        with contextlib.suppress(OSError):  # the radio is off: it neither hears nor wants to know
            self.socket.send(message(self.family, command, values, 0, NLM_REQUEST))

    def transmitted(self) -> Iterator[Values]:
        """The frames that radios of this machine have sent."""
        with contextlib.suppress(OSError):  # too many at once: lost in the air
            for kind, _, body in messages(self.socket.recv(1 << 16)):
                if kind == self.family and body[0] == FRAME:
                    yield attributes(body)


class Antenna:
    """The card that leads to the other machines' radios."""

    def __init__(self, card: str, leg: str) -> None:
        with inside(leg):
            Path(f"/proc/sys/net/ipv6/conf/{card}/disable_ipv6").write_text("1", "ascii")
            subprocess.run(["ip", "link", "set", card, "up"], check=True)
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
            self.socket.bind((card, ETHERTYPE))
        self.address: bytes = self.socket.getsockname()[4]
        self._head = b"\xff" * 6 + self.address + struct.pack("!H", ETHERTYPE)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the cable is out, or the queue full: lost in the air
            self.socket.send(self._head + data)

    def received(self) -> Iterator[tuple[bytes, bytes]]:
        """What came from another machine: its address, and the data."""
        with contextlib.suppress(OSError):
            data = self.socket.recv(2048)
            yield data[6:12], data[14:]


class ToKernel(Protocol):
    """Where frames that were heard go, and what became of those that were sent."""

    def tell(self, command: int, values: Iterable[tuple[int, bytes]]) -> None: ...


class ToAntenna(Protocol):
    """Where frames leave the machine."""

    address: bytes

    def send(self, data: bytes) -> None: ...


class Air:
    """Between the radios of this machine and the antenna."""

    def __init__(self, kernel: ToKernel, antenna: ToAntenna, radios: Iterable[bytes]) -> None:
        self.kernel, self.antenna, self.radios = kernel, antenna, list(radios)
        self.number = int.from_bytes(os.urandom(3), "big")
        self.waiting: dict[int, Sent] = {}
        self._mine: dict[bytes, bytes] = {}  # address that a radio of this machine uses -> the radio
        self._deadlines: deque[tuple[float, int]] = deque()
        self._parts: dict[tuple[bytes, int], tuple[float, dict[int, bytes]]] = {}
        self._beaten: dict[bytes, float] = {}  # access point of this machine -> when its last beacon left
        self._announced: dict[tuple[int, bytes], tuple[float, bytes]] = {}  # MHz, access point -> when, its beacon

    def transmitted(self, values: Values) -> None:
        """A radio of this machine sends a frame."""
        radio, frame = values[TRANSMITTER], values[DATA]
        flags = struct.unpack("=I", values[FLAGS])[0]
        frequency = struct.unpack("=I", values[FREQUENCY])[0]
        sent = (radio, flags, values[COOKIE], values[ATTEMPTS])
        if len(frame) >= 16:
            self._mine[frame[10:16]] = radio
        everybody = bool(frame[4] & 1)
        owner = None if everybody else self._mine.get(frame[4:10])
        for other in self.radios:
            if other != radio and (everybody or other == owner):
                self._hear(other, frequency, frame)
        self.number = (self.number + 1) & 0xFFFFFFFF
        if owner is None and not everybody and not flags & CTL_NO_ACK:
            self.waiting[self.number] = sent
            self._deadlines.append((time.monotonic() + ACK_SECONDS, self.number))
        else:
            self._status(sent, acknowledged=owner is not None)
        if owner is None and self._worth_sending(frame):
            for piece in pieces(KIND_FRAME, self.number, frequency, frame):
                self.antenna.send(piece)
        if frame[0] == PROBE_REQUEST:
            self._recall(radio, frequency)

    def received(self, machine: bytes, data: bytes) -> None:
        """Something came over the antenna from another machine."""
        if len(data) < HEADER.size:
            return
        kind, index, count, _, number, frequency, length = HEADER.unpack_from(data)
        body = data[HEADER.size :]
        if kind == KIND_ACK and body[:6] == self.antenna.address and number in self.waiting:
            self._status(self.waiting.pop(number), acknowledged=True)
        if kind != KIND_FRAME:
            return
        if count > 1:
            parts = self._parts.setdefault((machine, number), (time.monotonic() + PIECES_SECONDS, {}))[1]
            parts[index] = body
            if len(parts) < count:
                return
            del self._parts[machine, number]
            body = b"".join(parts[one] for one in sorted(parts))
        frame = body[:length]
        if len(frame) < 10:
            return
        owner = self._mine.get(frame[4:10])
        if frame[0] == BEACON:
            self._announced[frequency, frame[10:16]] = (time.monotonic(), frame)
        if frame[4] & 1:
            for radio in self.radios:
                self._hear(radio, frequency, frame)
        elif owner is not None:
            self.antenna.send(HEADER.pack(KIND_ACK, 0, 1, 0, number, frequency, 6) + machine)
            self._hear(owner, frequency, frame)

    def expire(self) -> None:
        """Frames that nobody acknowledged, and those of which a piece was lost."""
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            sent = self.waiting.pop(self._deadlines.popleft()[1], None)
            if sent is not None:
                self._status(sent, acknowledged=False)
        for key in [key for key, (deadline, _) in self._parts.items() if deadline <= now]:
            del self._parts[key]

    def _worth_sending(self, frame: bytes) -> bool:
        """Every frame, but only a few beacons a second of each access point, and those that say: I have something."""
        if frame[0] != BEACON or _something_waits(frame):
            return True
        now, ap = time.monotonic(), frame[10:16]
        if now - self._beaten.get(ap, 0.0) < BEACON_SECONDS:
            return False
        self._beaten[ap] = now
        return True

    def _recall(self, radio: bytes, frequency: int) -> None:
        """A radio looks around and leaves that channel in 30 ms: it hears at once the beacons of the last moments."""
        oldest = time.monotonic() - FRESH_SECONDS
        for (mhz, _), (heard, frame) in self._announced.items():
            if mhz == frequency and heard > oldest:
                self._hear(radio, frequency, frame)

    def _status(self, sent: Sent, *, acknowledged: bool) -> None:
        radio, flags, cookie, attempts = sent
        rates = attempts[:1] + (b"\1" if acknowledged else attempts[1:2]) + UNUSED
        flags |= STAT_ACK if acknowledged else 0
        self.kernel.tell(TX_INFO, [(TRANSMITTER, radio), (FLAGS, struct.pack("=I", flags)), (SIGNAL, SIGNAL_DBM),
                                   (ATTEMPTS, rates), (COOKIE, cookie)])  # fmt: skip

    def _hear(self, radio: bytes, frequency: int, frame: bytes) -> None:
        self.kernel.tell(FRAME, [(RECEIVER, radio), (DATA, frame), (RX_RATE, bytes(4)), (SIGNAL, SIGNAL_DBM),
                                 (FREQUENCY, struct.pack("=I", frequency))])  # fmt: skip


def _something_waits(beacon: bytes) -> bool:
    """Whether the traffic indication map (element 5) of a beacon names any station that sleeps, or everybody."""
    position = 36
    while position + 2 <= len(beacon) and beacon[position] != 5:
        position += 2 + beacon[position + 1]
    told = beacon[position + 4 : position + 2 + beacon[position + 1]] if position + 2 <= len(beacon) else b""
    return any(told)


@contextlib.contextmanager
def inside(leg: str) -> Iterator[None]:
    """Be in a network namespace for a moment; sockets made there stay there."""
    with Path("/proc/self/ns/net").open() as home, contextlib.ExitStack() as stack:
        if leg:
            _setns(stack.enter_context(Path(f"/run/netns/{leg}").open()).fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError("setns: no such network namespace")


def make_radio(kernel: Kernel, name: str, address: bytes, leg: str) -> bytes:
    """Make a radio, unless an earlier run of this program did; returns how hwsim names it: by that address."""
    mark = MADE / name
    if not mark.exists():
        kernel.ask(kernel.family, NEW_RADIO, [(NAME, name.encode() + b"\0"), (PERMANENT, address)])
        MADE.mkdir(exist_ok=True)
        mark.touch()
        if leg:
            subprocess.run(["iw", "phy", name, "set", "netns", "name", leg], check=True)
    return address


def tell_manager() -> None:
    """The radios are there: what needs them may start."""
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))


def main() -> None:
    (card, leg), *radios = [word.partition("@")[::2] for word in sys.argv[1:]]
    subprocess.run(["modprobe", "mac80211_hwsim", "radios=0"], check=True)
    kernel, antenna = Kernel(), Antenna(card, leg)
    kernel.ask(kernel.family, REGISTER)
    made = [
        make_radio(kernel, f"radio{index}", bytes.fromhex(address.replace(":", "")), place)
        for index, (address, place) in enumerate(radios)
    ]
    air = Air(kernel, antenna, made)
    tell_manager()
    poll = select.poll()
    poll.register(kernel.socket, select.POLLIN)
    poll.register(antenna.socket, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(50 if air.waiting else 1000)}
        if kernel.socket.fileno() in ready:
            for values in kernel.transmitted():
                air.transmitted(values)
        if antenna.socket.fileno() in ready:
            for machine, data in antenna.received():
                air.received(machine, data)
        air.expire()


if __name__ == "__main__":
    main()
