"""What the driver waits for, and for how long, on clients that tell what a test wants."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from labs.deadline import Deadline
from labs.errors import DeadlineError
from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox import agent, snapshots, starts
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind, classify
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.power import Power
from labs.hypervisors.proxmox.starts import Starts
from labs.hypervisors.proxmox.tasks import TaskFailedError, Tasks
from labs.models.proxmox import Caps

KEY = NodeKey("waits-0000", "camille", "ws")
MACHINE = Machine(KEY, 20000, "pve1", complete=True)


def soon() -> Deadline:
    return Deadline.after(20)


class Locked:
    """A machine that a backup holds: each start's task is refused at once."""

    def __init__(self, times: int) -> None:
        self.left = times

    def call(self, *_arguments: Any, **_options: Any) -> str:
        return "UPID:pve1:0:0:0:qmstart:20000:plateau@pve:"

    def running(self, _machine: Machine, _deadline: Deadline) -> bool:
        return False

    def wait(self, _upid: str, what: str, _deadline: Deadline) -> None:
        if self.left:
            self.left -= 1
            raise TaskFailedError(f"{what}: VM is locked (backup)", Kind.BUSY)


def test_start_is_repeated_at_leisure_while_a_backup_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(starts.time, "sleep", pauses.append)
    locked: Any = Locked(2000)
    begun = Starts(Caps(), cast(Client, locked), cast(Machines, locked), cast(Tasks, locked), Power())
    begun._running[KEY] = (MACHINE, "UPID")
    begun.finish(KEY, Deadline.after(3600))
    assert len(pauses) == 2000
    assert pauses[-1] == 5.0


class Saving:
    """A machine whose snapshot another run takes; it is complete after some looks at the configuration."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def get(self, path: str, _deadline: Deadline) -> Any:
        if path.endswith("/config"):
            self.looks -= 1
            return {"lock": "snapshot"} if self.looks >= 0 else {}
        unfinished = {"snapstate": "prepare"} if self.looks >= 0 else {}
        return [{"name": "frozen", **unfinished}, {"name": "current"}]


def test_snapshot_that_another_run_takes_is_waited_for() -> None:
    """Taken for none, it would be deleted once it is complete, and a later state be kept in its place."""
    assert snapshots.settled(cast(Client, Saving(1)), MACHINE, soon()) == ["frozen"]
    with pytest.raises(DeadlineError, match=r"still being taken; .* run qm unlock 20000 on pve1"):
        snapshots.settled(cast(Client, Saving(9999)), MACHINE, Deadline.after(0.1))


class Halves:
    """Two nodes: what is asked of pve1 has no answer until the test ends, tasks of pve2 have ended."""

    user = "plateau@pve"

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def get(self, path: str, _deadline: Deadline, **_parameters: Any) -> Any:
        if path.startswith("nodes/pve1"):
            self.asked.set()
            self.over.wait(20)
        return {"status": "stopped", "exitstatus": "OK"}


def test_node_without_an_answer_delays_its_own_tasks_only() -> None:
    client = Halves()
    tasks = Tasks(cast(Client, client))
    stuck = threading.Thread(target=tasks.wait, args=("UPID:pve1:0:0:0:qmstart:1:u:", "a start", soon()))
    try:
        stuck.start()
        assert client.asked.wait(10)
        for number in range(3):
            tasks.wait(f"UPID:pve2:0:0:0:qmstart:{number}:u:", "another", Deadline.after(5))
        assert stuck.is_alive()
    finally:
        client.over.set()
    stuck.join(5)
    assert not stuck.is_alive()
    assert tasks.waiting() == set()


class Busy:
    """An agent that answers with these errors first, to a command and to the question for its end."""

    def __init__(self, begin: list[str], look: list[str]) -> None:
        self.begin, self.look = begin, look
        self.begun = 0

    def call(self, _method: str, _path: str, _deadline: Deadline, **_parameters: Any) -> Any:
        self._refuse(self.begin)
        self.begun += 1
        return {"pid": 7}

    def get(self, _path: str, _deadline: Deadline, **_parameters: Any) -> Any:
        self._refuse(self.look)
        return {"exited": 1, "exitcode": 0, "out-data": "well"}

    def _refuse(self, errors: list[str]) -> None:
        if errors:
            text = errors.pop(0)
            raise ApiError(text, classify(500, text))


MISSED = "QEMU guest agent is not running"
HELD = "can't lock file '/var/lock/qemu-server/lock-20000.conf' - got timeout"
UNHEARD = "VM 20000 qmp command 'guest-ping' failed - got timeout"
PERHAPS = "VM 20000 qmp command 'guest-exec' failed - got timeout"


def run(client: Busy, deadline: Deadline) -> str:
    return agent.execute(cast(Client, client), MACHINE.path, "ws", ["true"], deadline, stdin=b"", linux=True).text


def test_a_ping_that_was_missed_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "FIRST_PAUSE", 0.01)
    client = Busy(
        [MISSED, HELD, UNHEARD], [MISSED, HELD, "VM 20000 qmp command 'guest-exec-status' failed - got timeout"]
    )
    assert run(client, soon()) == "well"
    assert client.begun == 1


def test_command_that_may_have_been_begun_is_not_repeated() -> None:
    with pytest.raises(ApiError, match="'guest-exec' failed - got timeout"):
        run(client := Busy([PERHAPS], []), soon())
    assert client.begun == 0
    with pytest.raises(ApiError, match="Invalid parameter 'pid'"):
        run(Busy([], ["Agent error: Invalid parameter 'pid'"]), soon())


def test_agent_that_stays_silent_is_told_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "FIRST_PAUSE", 0.01)
    with pytest.raises(ApiError, match=MISSED):
        run(Busy([MISSED] * 999, []), Deadline.after(0.1))
    with pytest.raises(DeadlineError, match="ws: true had not ended before the deadline"):
        run(Busy([], [MISSED] * 999), Deadline.after(0.1))
