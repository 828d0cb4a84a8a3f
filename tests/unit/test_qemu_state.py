"""The embedded hypervisor: a machine that QEMU halted because its host's disk was full."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from labs.deadline import Deadline
from labs.hypervisors.base import NodeKey, Power
from labs.hypervisors.qemu import driver as qemu_driver
from labs.hypervisors.qemu.driver import QemuHypervisor
from labs.models.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labs.hypervisors.qemu.machine import Machine

KEY = NodeKey("essai-0000", "camille", "ws")


class Monitor(socketserver.UnixStreamServer):
    """A QMP monitor in a state; `cont` and `system_wakeup` have it run."""

    def __init__(self, path: Path, state: str) -> None:
        self.state, self.asked = state, list[str]()
        super().__init__(str(path), Dialogue)


class Dialogue(socketserver.StreamRequestHandler):
    """What a monitor says to one connection."""

    server: Monitor

    def handle(self) -> None:
        self._say({"QMP": {}})
        for line in self.rfile:
            command = json.loads(line)["execute"]
            self.server.asked.append(command)
            if command in {"cont", "system_wakeup"}:
                self.server.state = "running"
            self._say({"return": {"status": self.server.state} if command == "query-status" else {}})

    def _say(self, words: object) -> None:
        self.wfile.write(json.dumps(words).encode() + b"\n")


@pytest.fixture
def served() -> Iterator[Callable[[Path, str], Monitor]]:
    """Starts monitors, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(path: Path, state: str) -> Monitor:
            monitor = stack.enter_context(Monitor(path, state))
            threading.Thread(target=monitor.serve_forever, daemon=True).start()
            stack.callback(monitor.shutdown)
            return monitor

        yield start


@pytest.mark.parametrize(
    ("state", "power", "told"),
    [
        ("running", Power.RUNNING, []),
        ("suspended", Power.RUNNING, ["system_wakeup"]),
        ("io-error", Power.PAUSED, ["cont"]),
    ],
)
def test_a_machine_goes_on_after_a_full_disk(
    state: str,
    power: Power,
    told: list[str],
    served: Callable[[Path, str], Monitor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monitor = served(tmp_path / "qmp.sock", state)
    machine = cast("Machine", SimpleNamespace(monitor=tmp_path / "qmp.sock", pid=1))
    assert qemu_driver._power(machine) is power
    monkeypatch.setattr(QemuHypervisor, "_existing", lambda *_: machine)
    QemuHypervisor(Profile()).start(KEY, Deadline.after(5))
    assert [one for one in monitor.asked if one in {"cont", "system_wakeup"}] == told
    assert qemu_driver._power(machine) is Power.RUNNING


def test_a_monitor_that_is_busy_or_gone_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_driver, "GLANCE", 0.2)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / "busy.sock"))
        busy.listen()
        for name in ("busy", "gone"):
            machine = cast("Machine", SimpleNamespace(monitor=tmp_path / f"{name}.sock"))
            assert qemu_driver._power(machine) is Power.RUNNING
