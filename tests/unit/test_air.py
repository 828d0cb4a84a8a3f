"""The relay of the lab's radios: netlink as the kernel speaks it, frames over the antenna, acknowledgements."""

from __future__ import annotations

import importlib.util
import socket
import struct
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from labs.paths import COMMON


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plateau_air", COMMON / "air" / "air.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


air: Any = load()
AP, STATION, THIRD = (bytes.fromhex(f"0654000000{n:02x}") for n in (1, 2, 3))
AP_RADIO, STATION_RADIO, THIRD_RADIO = (bytes([0x46]) + one[1:] for one in (AP, STATION, THIRD))  # any name will do
EVERYBODY = b"\xff" * 6


def frame(receiver: bytes, transmitter: bytes, body: bytes = b"data") -> bytes:
    return b"\x08\x00\x00\x00" + receiver + transmitter + bytes(8) + body


class FakeKernel:
    """Notes what the relay tells it."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bytes]] = []
        self.status: list[tuple[bytes, bool]] = []

    def tell(self, command: int, values: Iterable[tuple[int, bytes]]) -> None:
        told = dict(values)
        if command == air.FRAME:
            self.heard.append((told[air.RECEIVER], told[air.DATA]))
        else:
            acknowledged = bool(struct.unpack("=I", told[air.FLAGS])[0] & air.STAT_ACK)
            self.status.append((told[air.COOKIE], acknowledged))


class Medium:
    """Antennas in reach of each other."""

    def __init__(self) -> None:
        self.machines: list[Machine] = []

    def carry(self, sender: Machine, data: bytes) -> None:
        for machine in self.machines:
            if machine is not sender and not machine.deaf:
                machine.air.received(sender.address, data)


class Machine:
    """A machine with radios: its kernel, its antenna (itself) and its relay."""

    def __init__(self, medium: Medium, number: int, *radios: bytes) -> None:
        self.address = bytes.fromhex(f"5254000000{number:02x}")
        self.kernel, self.medium, self.deaf = FakeKernel(), medium, False
        self.air = air.Air(self.kernel, self, radios)
        medium.machines.append(self)

    def send(self, data: bytes) -> None:
        self.medium.carry(self, data)

    def transmit(self, radio: bytes, data: bytes, cookie: int, flags: int = 1) -> None:
        self.air.transmitted({
            air.TRANSMITTER: radio, air.DATA: data, air.FLAGS: struct.pack("=I", flags),
            air.FREQUENCY: struct.pack("=I", 2437), air.COOKIE: struct.pack("=Q", cookie),
            air.ATTEMPTS: bytes([3, 4]) + air.UNUSED,
        })  # fmt: skip


@pytest.fixture
def medium() -> Medium:
    return Medium()


def test_a_message_is_read_as_it_was_written() -> None:
    data = air.message(28, air.FRAME, [(air.DATA, b"odd"), (air.SIGNAL, air.SIGNAL_DBM)], 7, 1)
    assert len(data) % 4 == 0
    ((kind, number, body),) = air.messages(data)
    assert (kind, number, body[0]) == (28, 7, air.FRAME)
    assert air.attributes(body) == {air.DATA: b"odd", air.SIGNAL: struct.pack("=i", -40)}


def test_the_kernel_answers_our_netlink() -> None:
    """The family of generic netlink's own controller is asked for as that of hwsim would be."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, air.GENL) as link:
        link.bind((0, 0))
        link.send(air.message(air.CTRL, air.CTRL_GETFAMILY, [(air.CTRL_FAMILY_NAME, b"nlctrl\0")], 1, air.NLM_REQUEST))
        ((kind, number, body),) = air.messages(link.recv(1 << 16))
    assert (kind, number) == (air.CTRL, 1)
    assert struct.unpack("=H", air.attributes(body)[air.CTRL_FAMILY_ID]) == (air.CTRL,)


@pytest.mark.parametrize("data", [b"", b"\x05\0", struct.pack("=IHHII", 3, 0, 0, 0, 0), b"\0" * 40])
def test_nonsense_ends(data: bytes) -> None:
    assert list(air.messages(data)) == []
    assert air.attributes(data) == {}


def test_a_beacon_is_heard_by_every_other_radio(medium: Medium) -> None:
    ap, stations = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO, THIRD_RADIO)
    beacon = frame(EVERYBODY, AP)
    ap.transmit(AP_RADIO, beacon, 1)
    assert stations.kernel.heard == [(STATION_RADIO, beacon), (THIRD_RADIO, beacon)]
    assert ap.kernel.heard == []
    assert ap.kernel.status == [(struct.pack("=Q", 1), False)]


def test_a_frame_for_a_station_is_acknowledged_by_its_machine_only(medium: Medium) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    other = Machine(medium, 3, THIRD_RADIO)
    ap.transmit(AP_RADIO, frame(EVERYBODY, AP), 1)
    station.transmit(STATION_RADIO, frame(AP, STATION), 2)
    assert station.kernel.status == [(struct.pack("=Q", 2), True)]
    assert (AP_RADIO, frame(AP, STATION)) in ap.kernel.heard
    assert (THIRD_RADIO, frame(AP, STATION)) not in other.kernel.heard
    assert ap.air.waiting == station.air.waiting == {}


def test_nobody_there_is_no_acknowledgement(medium: Medium, monkeypatch: pytest.MonkeyPatch) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    ap.transmit(AP_RADIO, frame(EVERYBODY, AP), 1)
    ap.deaf = True
    station.transmit(STATION_RADIO, frame(AP, STATION), 2)
    station.air.expire()
    assert station.kernel.status == []
    now = air.time.monotonic() + air.ACK_SECONDS + 0.01
    monkeypatch.setattr(air.time, "monotonic", lambda: now)
    station.air.expire()
    assert station.kernel.status == [(struct.pack("=Q", 2), False)]


def test_radios_of_one_machine_reach_each_other(medium: Medium) -> None:
    machine, far = Machine(medium, 1, STATION_RADIO, THIRD_RADIO), Machine(medium, 2, AP_RADIO)
    machine.transmit(THIRD_RADIO, frame(EVERYBODY, THIRD), 1)
    machine.transmit(STATION_RADIO, frame(THIRD, STATION), 2)
    assert machine.kernel.heard[-1] == (THIRD_RADIO, frame(THIRD, STATION))
    assert machine.kernel.status[-1] == (struct.pack("=Q", 2), True)
    assert (AP_RADIO, frame(THIRD, STATION)) not in far.kernel.heard


def test_a_long_frame_goes_in_pieces(medium: Medium) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    long = frame(EVERYBODY, AP, bytes(range(256)) * 12)
    ap.transmit(AP_RADIO, long, 1)
    assert station.kernel.heard == [(STATION_RADIO, long)]
    assert all(len(piece) <= 1500 for piece in air.pieces(air.KIND_FRAME, 1, 2437, long))


def test_a_lost_piece_is_forgotten(medium: Medium, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Machine(medium, 2, STATION_RADIO)
    first, *_ = air.pieces(air.KIND_FRAME, 1, 2437, frame(EVERYBODY, AP, bytes(3000)))
    station.air.received(b"\x52" * 6, first)
    now = air.time.monotonic() + air.PIECES_SECONDS + 0.01
    monkeypatch.setattr(air.time, "monotonic", lambda: now)
    station.air.expire()
    assert station.air._parts == {}
    assert station.kernel.heard == []


def beacon(waiting: bytes = b"\0") -> bytes:
    head = bytes([air.BEACON, 0, 0, 0]) + EVERYBODY + AP + AP + bytes(2)
    return head + bytes(12) + b"\0\4name" + bytes([5, 3 + len(waiting), 0, 2, 0]) + waiting + b"\x30\0"


def test_beacons_are_thinned(medium: Medium) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    for cookie in range(5):
        ap.transmit(AP_RADIO, beacon(), cookie)
    assert station.kernel.heard == [(STATION_RADIO, beacon())]
    assert len(ap.kernel.status) == 5


def test_a_beacon_for_a_sleeping_station_always_leaves(medium: Medium) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    ap.transmit(AP_RADIO, beacon(), 1)
    ap.transmit(AP_RADIO, beacon(b"\2"), 2)
    assert [data for _, data in station.kernel.heard] == [beacon(), beacon(b"\2")]


def test_a_radio_that_looks_around_hears_the_last_beacons_at_once(medium: Medium) -> None:
    ap, station = Machine(medium, 1, AP_RADIO), Machine(medium, 2, STATION_RADIO)
    ap.transmit(AP_RADIO, beacon(), 1)
    station.kernel.heard.clear()
    station.transmit(STATION_RADIO, bytes([air.PROBE_REQUEST]) + frame(EVERYBODY, STATION)[1:], 2)
    assert station.kernel.heard == [(STATION_RADIO, beacon())]


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(12), bytes([1, 0, 1, 0]) + bytes(12)])
def test_noise_is_not_heard(medium: Medium, data: bytes) -> None:
    station = Machine(medium, 2, STATION_RADIO)
    station.air.received(b"\x52" * 6, data)
    assert station.kernel.heard == []
