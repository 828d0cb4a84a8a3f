"""What a check wrote is put back however it ends, and a restart that nobody saw is none."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import reboot
from graders.notebook import Measurement
from graders.plugin import limits
from graders.plugin.limits import TraceError, put_back
from labs.errors import HypervisorError
from labs.hypervisors.base import ExecResult, HostCapacity
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labs.hypervisors.base import Hypervisor

BENCH = bench_of("reseau", 0)


def measured(done: list[str], *acts: str) -> Measurement:
    """A check that registered these undos: `stop` sends Ctrl-C, `fail` does not succeed."""

    def act(name: str) -> None:
        done.append(name)
        if name == "stop":
            signal.raise_signal(signal.SIGINT)
        if name == "fail":
            raise HypervisorError("no")

    found = Measurement(1.0)
    found.undos += [(name, lambda name=name: act(name)) for name in acts]  # type: ignore[misc]
    return found


def test_ctrl_c_waits_until_everything_is_put_back() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), put_back(measured(done, "last", "stop")):
        pass
    assert done == ["stop", "last"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_check_stays_interrupted_when_something_is_left() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt, match="n'a pas été retiré : fail"), put_back(measured(done, "a", "fail")):
        raise KeyboardInterrupt
    assert done == ["fail", "a"]


def test_what_is_left_is_told_before_what_the_check_said() -> None:
    with pytest.raises(TraceError, match=r"fail \(no\)"), put_back(measured([], "fail")):
        pass
    with pytest.raises(TraceError, match=r"fail \(no\)"), put_back(measured([], "fail")):
        raise ValueError("the check's own")


def test_undos_are_held_for_both_signals() -> None:
    assert set(limits.ENDS) == {signal.SIGINT, signal.SIGTERM}


class Silent:
    """A machine whose agent says nothing until its reset button is pressed, if it is there and after `locked` tries."""

    def __init__(self, *, button: bool, locked: int = 0) -> None:
        self.button, self.locked, self.resets = button, locked, 0

    def capacity(self) -> list[HostCapacity]:
        return [HostCapacity("h", 2, 8192, 4096, 9999, 99, "kvm")]

    def execute(self, _key: Any, argv: Any, _deadline: Any, *, stdin: bytes = b"") -> ExecResult:
        if not self.resets:
            raise HypervisorError("agent: silence")
        return ExecResult(0, b"running\n" if "is-system-running" in argv else b"a-boot-id\n", b"")

    @contextmanager
    def restarts(self, _key: Any, _deadline: Any) -> Iterator[Callable[[], bool | None]]:
        yield lambda: None

    def reset(self, _key: Any, _deadline: Any) -> None:
        if not self.button:
            raise HypervisorError("no such button")
        if self.locked:
            self.locked -= 1
            raise HypervisorError("VM is locked (backup)")
        self.resets += 1


class Lying(Silent):
    """A machine whose `reboot` only changes what it says of its boot; its hypervisor sees whether it restarts."""

    def __init__(self) -> None:
        super().__init__(button=True)
        self.boots = 0

    def execute(self, _key: Any, argv: Any, _deadline: Any, *, stdin: bytes = b"") -> ExecResult:
        self.boots += argv == reboot.DEBIAN.restart
        return ExecResult(0, b"running\n" if "is-system-running" in argv else f"boot-{self.boots}\n".encode(), b"")

    @contextmanager
    def restarts(self, _key: Any, _deadline: Any) -> Iterator[Callable[[], bool | None]]:
        yield lambda: bool(self.resets)


def test_a_restart_that_only_the_machine_tells_of_is_none() -> None:
    machine = Lying()
    told = reboot.reboot(cast("Hypervisor", machine), [BENCH.node("ws")])["ws"]
    assert machine.resets == 1
    assert reboot.pressed(told)


def test_a_machine_that_told_nothing_before_is_reset_at_once() -> None:
    """Its next answer might be the old system's."""
    machine = Silent(button=True)
    told = reboot.reboot(cast("Hypervisor", machine), [BENCH.node("ws")])["ws"]
    assert machine.resets == 1
    assert told.startswith("reset: boot id None -> a-boot-id")
    assert reboot.restarted(told)


def test_a_button_that_was_refused_is_pressed_again() -> None:
    """A backup, or a lost answer: a machine that is well would count as one that does not come back."""
    machine = Silent(button=True, locked=1)
    told = reboot.reboot(cast("Hypervisor", machine), [BENCH.node("ws")])["ws"]
    assert machine.resets == 1
    assert reboot.pressed(told)
    assert reboot.restarted(told)


def test_a_machine_that_nobody_could_restart_did_not_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reboot, "REBOOT_SECONDS", 1.0)
    told = reboot.reboot(cast("Hypervisor", Silent(button=False)), [BENCH.node("ws")])["ws"]
    assert not reboot.restarted(told)
