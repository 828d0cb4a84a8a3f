"""The switch of a bench, as a process, with the test in the place of the machines' network cards."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BROADCAST = b"\xff" * 6
DOT1Q = b"\x81\x00"


def mac(number: int) -> bytes:
    return bytes([0x52, 0x54, 0, 0, 0, number])


def frame(target: bytes, source: bytes, text: bytes = b"hello", tag: int | None = None) -> bytes:
    header = target + source + (DOT1Q + tag.to_bytes(2, "big") if tag is not None else b"")
    return header + b"\x88\xb5" + text.ljust(46, b".")


class Card:
    """A network card as QEMU offers it: it listens, the switch connects, a length precedes each frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer = b""
        self.stream: socket.socket | None = None
        self.listen()

    def listen(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.settimeout(10)

    def accept(self) -> None:
        """Wait until the switch has connected (again)."""
        if self.stream is not None:
            self.stream.close()
        self.stream, _ = self._listener.accept()
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.stream.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self, patience: float = 5.0) -> bytes | None:
        """The next frame, or None when nothing comes."""
        self.stream.settimeout(patience)
        try:
            while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
                chunk = self.stream.recv(65536)
                if not chunk:
                    return None
                self._buffer += chunk
        except TimeoutError:
            return None
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        found, self._buffer = self._buffer[4:end], self._buffer[end:]
        return found

    def silent(self) -> bool:
        return self.receive(0.3) is None

    def close(self) -> None:
        self._listener.close()
        if self.stream is not None:
            self.stream.close()
        self.path.unlink(missing_ok=True)


class World:
    """Cards and the switch between them."""

    def __init__(self, folder: Path, ports: dict[str, object]) -> None:
        self.folder = folder
        self.cards = {name: Card(Path(f"{name}.sock")) for name in ports}
        config = [
            {"socket": f"{name}.sock", **({"segment": what} if isinstance(what, str) else {"trunk": what})}
            for name, what in ports.items()
        ]
        (folder / "switch.json").write_text(json.dumps({"ports": config}))
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "labs.hypervisors.qemu.switch", str(self.folder / "switch.pid")]
        self.process = subprocess.Popen(command)
        for card in self.cards.values():
            card.accept()

    def __getitem__(self, name: str) -> Card:
        return self.cards[name]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        for card in self.cards.values():
            card.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    made: list[World] = []
    monkeypatch.chdir(tmp_path)  # a UNIX socket's path has at most 107 bytes: ours are relative

    def make(**ports: object) -> World:
        made.append(World(tmp_path, ports))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_unknown_address_is_flooded_then_learnt(world) -> None:
    net = world(a="lan", b="lan", c="lan")
    net["a"].send(frame(mac(2), mac(1)))
    assert net["b"].receive() == net["c"].receive() == frame(mac(2), mac(1))
    net["b"].send(frame(mac(1), mac(2), b"answer"))
    assert net["a"].receive() == frame(mac(1), mac(2), b"answer")
    assert net["c"].silent()
    assert net["a"].silent()  # nothing comes back to its sender


def test_a_moved_address_is_learnt_again(world) -> None:
    net = world(a="lan", b="lan", c="lan")
    net["a"].send(frame(BROADCAST, mac(1)))
    net["b"].send(frame(BROADCAST, mac(1)))
    for name in ("b", "c", "c", "a"):
        assert net[name].receive() is not None
    net["c"].send(frame(mac(1), mac(3)))
    assert net["b"].receive() == frame(mac(1), mac(3))
    assert net["a"].silent()


def test_broadcast_stays_in_its_segment(world) -> None:
    net = world(a="lan", b="lan", c="wan", d="wan")
    net["a"].send(frame(BROADCAST, mac(1)))
    assert net["b"].receive() == frame(BROADCAST, mac(1))
    assert net["c"].silent()
    net["c"].send(frame(mac(1), mac(3)))  # an address known elsewhere is unknown here
    assert net["d"].receive() == frame(mac(1), mac(3))
    assert net["a"].silent()


def test_a_trunk_tags_and_untags(world) -> None:
    net = world(a="lan", b="wan", t={"10": "lan", "20": "wan"})
    net["a"].send(frame(mac(9), mac(1)))
    assert net["t"].receive() == frame(mac(9), mac(1), tag=10)
    net["b"].send(frame(mac(9), mac(2)))
    assert net["t"].receive() == frame(mac(9), mac(2), tag=20)
    net["t"].send(frame(mac(1), mac(9), tag=10))
    assert net["a"].receive() == frame(mac(1), mac(9))
    assert net["b"].silent()


def test_what_a_trunk_does_not_carry_is_dropped(world) -> None:
    net = world(a="lan", t={"10": "lan"})
    net["t"].send(frame(BROADCAST, mac(9), tag=11))
    net["t"].send(frame(BROADCAST, mac(9)))
    assert net["a"].silent()
    net["t"].send(frame(BROADCAST, mac(9), tag=10))
    assert net["a"].receive() == frame(BROADCAST, mac(9))


def test_trunk_to_trunk_changes_the_tag(world) -> None:
    net = world(s={"10": "lan"}, t={"30": "lan"})
    net["s"].send(frame(BROADCAST, mac(1), tag=10))
    assert net["t"].receive() == frame(BROADCAST, mac(1), tag=30)


def test_a_machine_that_died_and_came_back_is_joined_again(world) -> None:
    net = world(a="lan", b="lan")
    net["b"].close()
    net["a"].send(frame(mac(2), mac(1)))
    net["b"].listen()
    net["b"].accept()
    time.sleep(0.2)
    net["a"].send(frame(mac(2), mac(1), b"again"))
    assert net["b"].receive() == frame(mac(2), mac(1), b"again")


def test_a_switch_that_was_killed_can_be_started_again(world) -> None:
    net = world(a="lan", b="lan")
    net.process.kill()
    net.process.wait(10)
    net.start()
    net["a"].send(frame(BROADCAST, mac(1)))
    assert net["b"].receive() == frame(BROADCAST, mac(1))


def test_an_impossible_length_drops_the_port_only(world) -> None:
    net = world(a="lan", b="lan", c="lan")
    net["a"].stream.sendall((1 << 30).to_bytes(4, "big") + b"x" * 100)
    assert net["a"].receive() is None
    net["b"].send(frame(BROADCAST, mac(2)))
    assert net["c"].receive() == frame(BROADCAST, mac(2))
    net["a"].accept()  # and the port is joined again


def test_frames_in_pieces_and_several_at_once(world) -> None:
    net = world(a="lan", b="lan")
    one, two = frame(BROADCAST, mac(1), b"one"), frame(BROADCAST, mac(1), b"two")
    data = b"".join(len(each).to_bytes(4, "big") + each for each in (one, two))
    for cut in (2, 10, 70):
        net["a"].stream.sendall(data[:cut])
        time.sleep(0.05)
        net["a"].stream.sendall(data[cut:])
        assert net["b"].receive() == one
        assert net["b"].receive() == two


def test_a_slow_machine_holds_nobody_up(world) -> None:
    net = world(a="lan", b="lan", c="lan")
    big = frame(BROADCAST, mac(1), b"x" * 9000)
    for _ in range(2000):  # 18 MB that b never reads
        net["a"].send(big)
        assert net["c"].receive() == big


def test_short_frames_are_ignored(world) -> None:
    net = world(a="lan", b="lan")
    net["a"].send(b"short")
    net["a"].send(frame(BROADCAST, mac(1)))
    assert net["b"].receive() == frame(BROADCAST, mac(1))
