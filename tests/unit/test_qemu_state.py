"""The embedded hypervisor: states of machines, where they are reached, and what a machine that went back renews."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError, NotRenewedError
from labs.hypervisors.base import ExecResult, NodeKey, NodeSpec, Power
from labs.hypervisors.qemu import driver as qemu_driver
from labs.hypervisors.qemu import ports, resume
from labs.hypervisors.qemu.driver import QemuHypervisor
from labs.hypervisors.qemu.machine import Machine, MachineFile
from labs.models.profile import PortRange, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def machine_file(**fields: object) -> MachineFile:
    spec = NodeSpec(KEY, "ws", "trixie", 512, 1, ())
    return MachineFile(spec, "", None, "", "", None, **{"ssh_port": 21000, "vnc_port": 21001, **fields})  # type: ignore[arg-type]


def test_a_running_machine_is_reached_where_its_process_listens(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "essai-0000" / "camille" / "ws")
    machine.folder.mkdir(parents=True)
    machine.write(machine_file(listen="127.0.0.1"))
    hypervisor = QemuHypervisor(Profile(listen="127.0.0.2"))
    assert hypervisor._status(machine, machine.read()).ssh == ("127.0.0.1", 21000), "the profile was changed since"
    placed = hypervisor._launcher._placed(machine, machine.read())
    assert placed.reach("")[0] == machine.read().reach("")[0] == "127.0.0.2", "from its next start on"
    old = json.loads((machine.folder / "vm.json").read_text())
    del old["listen"]
    (machine.folder / "vm.json").write_text(json.dumps(old))
    assert hypervisor._status(machine, machine.read()).ssh == ("127.0.0.2", 21000), "made by an older version"
    closed = replace(placed, closed=(21002, 21003))
    assert closed.reach("") == ("127.0.0.1", 21002, 21003)


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLackError, match=r"^listen: 192\.0\.2\.10 is not an address of this machine"):
        ports.choose(tmp_path, "192.0.2.10", PortRange(first=21000, last=21010), 2, "ws")


def test_states_of_a_machine_that_is_off_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    machine = Machine(tmp_path / "plateau" / "qemu" / "essai-0000" / "camille" / "ws")
    machine.folder.mkdir(parents=True)
    machine.write(machine_file())
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(machine.disk), "1M"], check=True)
    subprocess.run(["qemu-img", "snapshot", "-c", "frozen", str(machine.disk)], check=True)
    hypervisor = QemuHypervisor(Profile())
    assert hypervisor.snapshots(KEY, Deadline.after(5)) == ["frozen"]
    with pytest.raises(HypervisorError, match="no snapshot 'autre'; it has: frozen"):
        hypervisor.rollback(KEY, "autre", Deadline.after(5))
    machine.disk.unlink()
    with pytest.raises(HypervisorError, match="ws: qemu-img: "):
        hypervisor.snapshots(KEY, Deadline.after(5))


def test_who_does_not_renew_is_told_apart() -> None:
    def silent(script: bytes, deadline: Deadline) -> ExecResult:
        raise HypervisorError("its guest agent does not answer")

    with pytest.raises(NotRenewedError, match="ws: randomness and clock could not be renewed: its guest agent"):
        resume.renew(KEY, (), silent, Deadline.after(1))
    with pytest.raises(NotRenewedError, match="could not be renewed: date: refused"):
        resume.renew(KEY, (), lambda script, deadline: ExecResult(72, b"", b"date: refused\n"), Deadline.after(1))


def test_a_monitor_that_is_busy_or_gone_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_driver, "GLANCE", 0.2)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / "busy.sock"))
        busy.listen()
        for name in ("busy", "gone"):
            machine = cast("Machine", SimpleNamespace(monitor=tmp_path / f"{name}.sock"))
            assert qemu_driver._power(machine) is Power.RUNNING
