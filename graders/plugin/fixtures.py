"""What a check may ask for.

bench, probe, login, host, device, windows, cables, power_key, restart, expect, undo, deadline, patience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.cables import Cables
from graders.check import spec_of
from graders.devices import Device, Windows
from graders.plugin.keys import BENCH_RUN, MEASUREMENT
from graders.powerkey import PowerKey
from graders.reboot import Restart
from labs.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from graders.engine.bench import BenchEngine
    from graders.expect import Expect
    from graders.login import Login
    from graders.notebook import Measurement
    from graders.plugin.run import BenchRun
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline


@pytest.fixture
def _bench_run(request: pytest.FixtureRequest) -> BenchRun:
    return cast("BenchRun", request.node.stash[BENCH_RUN])


@pytest.fixture
def bench(_bench_run: BenchRun) -> Bench:
    """The candidate's bench: everything expected is computed from `bench.values`."""
    return _bench_run.bench


@pytest.fixture
def probe(_bench_run: BenchRun) -> ProbeClient:
    """The probe machine: `probe.call("icmp.ping", "lan", address=…)`."""
    return _bench_run.probe


@pytest.fixture
def login(_bench_run: BenchRun) -> Login:
    """Logs in to a candidate's machine: `login("ws")` is a testinfra host."""
    return _bench_run.login


@pytest.fixture
def host(request: pytest.FixtureRequest, _bench_run: BenchRun) -> Hosts:
    """testinfra's host: of the check's only machine, or `host("ws")`. What it asks is collected in few exchanges."""
    spec = spec_of(request.function)
    return Hosts(_bench_run.engine, spec.nodes if spec else ())


@pytest.fixture
def device(_bench_run: BenchRun) -> Callable[[str], Device]:
    """A network device of the bench: `device("rtr").json("show ip ospf neighbor json")`."""
    return lambda node: Device(_bench_run.engine, node)


@pytest.fixture
def windows(_bench_run: BenchRun) -> Callable[[str], Windows]:
    """A Windows machine of the bench: `windows("dc").query("Get-Service dns | Select-Object Name, Status")`."""
    return lambda node: Windows(_bench_run.engine, node)


@pytest.fixture
def cables(_bench_run: BenchRun, undo: Callable[[str, Callable[[], object]], None]) -> Cables:
    """Cables of the bench's machines: `cables.pull("ws", "lan")`; plugged again when the check has ended."""
    login = _bench_run.login
    return Cables(login.hypervisor, _bench_run.bench, _bench_run.notebook, undo)


@pytest.fixture
def power_key(_bench_run: BenchRun, undo: Callable[[str, Callable[[], object]], None]) -> PowerKey:
    """The machines' power key: `power_key.press("ws", 60)`; they run again when the check has ended."""
    login = _bench_run.login
    return PowerKey(login.hypervisor, _bench_run.bench, _bench_run.notebook, undo)


@pytest.fixture
def restart(_bench_run: BenchRun) -> Restart:
    """Restarts a machine of the bench and waits for it: `restart("ws")`."""
    login = _bench_run.login
    return Restart(login.hypervisor, _bench_run.bench, _bench_run.notebook, login)


class Hosts:
    """Hosts of one bench; without a name, the host of the machine that the check declares with `nodes=`."""

    def __init__(self, engine: BenchEngine, nodes: tuple[str, ...]) -> None:
        self._engine, self._nodes = engine, nodes

    def __call__(self, node: str) -> Any:
        return self._engine.host(node)

    def __getattr__(self, name: str) -> Any:
        if len(self._nodes) != 1:
            count = len(self._nodes)
            raise InputError(f"host.{name}: the check has {count} machines in nodes=; write host(NODE).{name}")
        return getattr(self._engine.host(self._nodes[0]), name)


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expect:
    """The expectations of this check."""
    return _measurement(request).expect


@pytest.fixture
def undo(request: pytest.FixtureRequest) -> Callable[[str, Callable[[], object]], None]:
    """Registers what puts back a write, before the write: `undo("boîte d'essai", lambda: host.run("rm -r …"))`.

    Run when the check has ended, however it ended, the last first. One that fails makes the verdict `error`: the
    machine is no longer as the candidate left it.
    """
    measured = _measurement(request)
    return lambda what, act: measured.undos.append((what, act))


@pytest.fixture
def deadline(request: pytest.FixtureRequest) -> Deadline:
    """The moment by which this check must end."""
    return _measurement(request).deadline


@pytest.fixture
def patience(_bench_run: BenchRun, deadline: Deadline) -> Deadline:
    """How long a behaviour may take to be there: a lost packet now, a whole start-up after a reboot."""
    return _patience(_bench_run, deadline)


def renew(item: pytest.Item) -> None:
    """The check is measured again: what was given to it for the first time has run out since."""
    run, measured = item.stash[BENCH_RUN], item.stash[MEASUREMENT]
    given = cast("pytest.Function", item).funcargs
    fresh = {"deadline": measured.deadline, "patience": _patience(run, measured.deadline)}
    given.update({name: value for name, value in fresh.items() if name in given})


def _patience(run: BenchRun, deadline: Deadline) -> Deadline:
    return deadline.sooner(40.0 if run.rebooted else 4.0)


def _measurement(request: pytest.FixtureRequest) -> Measurement:
    return cast("Measurement", request.node.stash[MEASUREMENT])
