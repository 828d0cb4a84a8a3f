"""CP02-S3: what the power key makes of a machine, as the hypervisor sees it, and the delay of the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import powerkey
from graders.cp02_workstation import check_power
from graders.engine.snapshot import Snapshot
from graders.expect import Expect, Unmet
from graders.notebook import Notebook
from graders.powerkey import Becomes, PowerKey
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.base import NodeStatus, Power
from tests.unit.poste_world import BENCH

if TYPE_CHECKING:
    from graders.login import Login
    from labs.hypervisors.base import Hypervisor, NodeKey


class Machine:
    """A hypervisor with one machine, which becomes `then` when its key is pressed, and `again` once it was woken."""

    def __init__(self, then: Becomes = Becomes.ON, again: Becomes = Becomes.ON) -> None:
        self.state, self.then, self.again = Becomes.ON, then, again
        self.starts = self.resets = self.presses = 0
        self.silent = 0
        """Waits for its agent that end without an answer."""
        self.idle = "ignore"

    def status(self, key: NodeKey) -> NodeStatus:
        return NodeStatus(key, Power.STOPPED if self.state is Becomes.OFF else Power.RUNNING, ready=True)

    def asleep(self, key: NodeKey, deadline: Deadline) -> bool:
        return self.state is Becomes.ASLEEP

    def press(self, key: NodeKey, button: str, deadline: Deadline) -> None:
        assert button == "power"
        self.presses += 1
        self.state = self.then

    def reset(self, key: NodeKey, deadline: Deadline) -> None:
        self.resets += 1

    def start(self, key: NodeKey, deadline: Deadline) -> None:
        self.state = self.again if self.starts == 0 else Becomes.ON
        self.starts += 1

    def wait_agent(self, key: NodeKey, deadline: Deadline) -> None:
        if self.silent and not self.resets:
            self.silent -= 1
            raise DeadlineError("no answer")

    def __call__(self, _node: str) -> Any:
        return SimpleNamespace(run=lambda _command: SimpleNamespace(stdout=f's "{self.idle}"\n'))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powerkey, "LOOK", 0.01)
    monkeypatch.setattr(powerkey, "SETTLED_SECONDS", 0.05)
    monkeypatch.setattr("graders.cp02_workstation.check_power.ASLEEP_SECONDS", 0.05)
    monkeypatch.setattr("graders.cp02_workstation.check_power.AWAKE_SECONDS", 0.05)


def judge(
    machine: Machine | None,
    path: Path | None = None,
    *,
    replay: bool = False,
    undos: list[Callable[[], object]] | None = None,
) -> None:
    """Run the check on the machine, or from the snapshot; `undos` gets what puts things back."""
    notebook = Notebook(Snapshot.load(path) if path and replay else Snapshot(path) if path else None)
    notebook.begin(60, "CP02-S3.b")
    kept = [] if undos is None else undos
    hypervisor = cast("Hypervisor | None", machine)
    key = PowerKey(hypervisor, BENCH, notebook, lambda _what, act: kept.append(act))
    expect = Expect()
    try:
        check_power.check_power_key(key, cast("Login", machine or Machine()), expect)
        expect.conclude()
    finally:
        notebook.snapshot.close()


def test_a_machine_that_sleeps_and_wakes_passes_and_is_left_running() -> None:
    machine, undos = Machine(Becomes.ASLEEP), list[Callable[[], object]]()
    judge(machine, undos=undos)
    assert machine.state is Becomes.ON
    for act in undos:
        act()
    assert machine.starts == 1


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Machine(Becomes.OFF), "éteint"),
        (Machine(Becomes.ON), "en marche"),
        (Machine(Becomes.ASLEEP, again=Becomes.ASLEEP), "après réveil"),
        (Machine(Becomes.ASLEEP, again=Becomes.OFF), "après réveil"),
    ],
)
def test_any_other_end_fails_and_the_machine_runs_again(machine: Machine, words: str) -> None:
    undos: list[Callable[[], object]] = []
    with pytest.raises(Unmet, match=words):
        judge(machine, undos=undos)
    for act in undos:
        act()
    assert machine.state is Becomes.ON


@pytest.mark.parametrize("asleep", [True, False])
def test_a_machine_that_sleeps_of_its_own_fails(asleep: bool) -> None:
    machine = Machine(Becomes.ASLEEP)
    machine.state, machine.idle = (Becomes.ASLEEP, "ignore") if asleep else (Becomes.ON, "suspend")
    with pytest.raises(Unmet, match="de lui-même"):
        judge(machine)
    assert (machine.state, machine.presses) == (Becomes.ON, 0 if asleep else 1)


def test_a_key_that_did_nothing_is_pressed_once_more() -> None:
    machine = Machine(Becomes.ON)
    with pytest.raises(Unmet, match="en marche"):
        judge(machine)
    assert machine.presses == 2


def test_a_machine_that_is_silent_and_not_asleep_is_reset() -> None:
    machine = Machine(Becomes.ON)
    machine.silent = 99
    with pytest.raises(Unmet, match="en marche"):
        judge(machine)
    assert machine.resets == 1


def test_a_machine_that_boots_slowly_is_not_reset() -> None:
    machine = Machine(Becomes.OFF)
    machine.silent = 4
    with pytest.raises(Unmet, match="éteint"):
        judge(machine)
    assert (machine.resets, machine.silent) == (0, 0)


def test_what_is_not_the_keys_doing_is_no_mark() -> None:
    machine = Machine(Becomes.ASLEEP)
    machine.state = Becomes.OFF
    with pytest.raises(ProbeError, match="is off before"):
        judge(machine)
    machine = Machine(Becomes.ASLEEP)
    machine.press = lambda *_: (_ for _ in ()).throw(HypervisorError("its monitor is gone"))  # type: ignore[method-assign]
    with pytest.raises(ProbeError, match="monitor is gone"):
        judge(machine)


def test_a_machine_that_goes_off_while_it_is_asked_is_off() -> None:
    machine = Machine(Becomes.ON)

    def silent(*_: object) -> bool:
        machine.state = Becomes.OFF
        raise HypervisorError("its monitor is gone")

    def press(*_: object) -> None:
        machine.asleep = silent  # type: ignore[method-assign]

    machine.press = press  # type: ignore[method-assign]
    with pytest.raises(Unmet, match="éteint"):
        judge(machine)


@pytest.mark.parametrize("then", list(Becomes))
def test_judged_again_without_the_machine(then: Becomes, tmp_path: Path) -> None:
    def verdict(machine: Machine | None, *, replay: bool) -> str:
        try:
            judge(machine, tmp_path / "snapshot.jsonl", replay=replay)
        except Unmet as unmet:
            return str(unmet)
        return "passed"

    assert verdict(Machine(then), replay=False) == verdict(None, replay=True)


@pytest.mark.parametrize(
    ("seconds", "words"), [(60 * int(str(BENCH.values["ecran"])), ""), (0, "jamais"), (3600, "60 min"), (45, "45 s")]
)
def test_the_screen_goes_off_after_the_minutes_asked_for(seconds: int, words: str) -> None:
    host = SimpleNamespace(check_output=lambda _command: f"{seconds}\n")
    expect = Expect()
    check_power.check_screen(BENCH, cast("Login", lambda _node: host), expect, Deadline.after(0.1))
    if not words:
        expect.conclude()
        return
    with pytest.raises(Unmet, match=words):
        expect.conclude()
