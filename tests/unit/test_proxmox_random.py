"""Random faults and kills: up converges or says why, nothing is orphaned, no stranger is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from labs.deadline import Deadline
from labs.errors import PlateauError
from labs.hypervisors.base import NicSpec, NodeKey, NodeSpec, Power, SegmentSpec
from labs.hypervisors.proxmox import retry
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, STRANGER, Place, Wanted, cluster

SESSION = "random-0000"
SPECS = [
    NodeSpec(NodeKey(SESSION, "camille", name), "ws", "trixie", 384, 1, (NicSpec(f"52:54:00:00:00:0{number}", "lan"),))
    for number, name in enumerate(("one", "two"))
]
SEGMENTS = [SegmentSpec(SPECS[0].key.bench, "lan")]
TARGETS = [
    ("POST", "/clone$"),
    ("PUT", "/config$"),
    ("PUT", "/firewall/options$"),
    ("POST", "/status/start$"),
    ("POST", "/status/stop$"),
    ("DELETE", r"/qemu/\d+$"),
    ("POST", "/pools$"),
    ("DELETE", "/pools$"),
    ("POST", "/vnets$"),
    ("DELETE", "/vnets/p"),
    ("PUT", "/sdn$"),
    ("GET", "/cluster/resources$"),
]
ANSWERS = [
    Fault.LATE_596,
    Fault.NEVER_596,
    Fault.UNREACHABLE_595,
    Fault.NO_WORKER_DONE,
    Fault.NO_WORKER_LOST,
    Fault.DROPPED,
    Fault.LOCKED,
]
FAULTS = some.tuples(some.sampled_from(TARGETS), some.sampled_from(ANSWERS))
CLONES = some.tuples(
    some.just(TARGETS[0]), some.sampled_from([Fault.TASK_LOCKED, Fault.TASK_TAKEN, Fault.TASK_FULL, Fault.TASK_KILLED])
)
KILLS = some.tuples(some.integers(0, 45), some.booleans())
"""After how many calls of the run, and whether the last one was still sent."""


class KilledError(BaseException):
    """The controller ends here, as by SIGKILL: nothing of it runs any more."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        pytest.MonkeyPatch.context() as patch,
        cluster(tmp_path_factory.mktemp("pve"), Wanted(), Pace(scale=0.001)) as made,
    ):
        patch.setenv(SECRET_VARIABLE, SECRET)
        patch.setattr(retry, "LATE_SECONDS", 0.1)
        patch.setattr(retry, "FIRST_PAUSE", 0.02)
        made.proxy.refuse = lambda _method, path: f"/qemu/{STRANGER}" in path or "/qemu/20001" in path
        yield made


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    faults=some.lists(some.one_of(FAULTS, CLONES), max_size=4),
    kills=some.lists(KILLS, max_size=3),
)
def test_up_and_down_converge(
    place: Place, faults: list[tuple[tuple[str, str], Fault]], kills: list[tuple[int, bool]]
) -> None:
    for (method, path), fault in faults:
        place.proxy.fail(method, path, fault)
    for calls, sent in kills:
        attempt(place, up, calls, sent)
    attempt(place, up)
    attempt(place, down, *(kills[0] if kills else ()))
    place.proxy.rules.clear()
    # Whatever happened before: once the cluster is well, a run brings everything up, and another takes it down.
    up(ProxmoxHypervisor(place.profile))
    driver = ProxmoxHypervisor(place.profile)
    statuses = driver.list_nodes(SESSION)
    assert {(one.key, one.power, one.ready) for one in statuses} == {(spec.key, Power.RUNNING, True) for spec in SPECS}
    down(driver)
    assert ProxmoxHypervisor(place.profile).leftovers(SESSION) == []
    listed = place.proxy.as_root("GET", "/cluster/resources")
    assert {one["vmid"] for one in listed if one["type"] == "qemu" and not one["template"]} == {STRANGER, 20001}
    assert place.proxy.strangers == []
    assert place.proxy.sdn.applied == {}


def up(driver: ProxmoxHypervisor) -> None:
    """What the executor does, one machine after the other."""
    driver.ensure_segments(SEGMENTS, SPECS, soon())
    for spec in SPECS:
        if (status := driver.status(spec.key)).power is not Power.ABSENT and not status.ready:
            driver.delete(spec.key, soon())
        driver.ensure_node(spec, soon())
        driver.start(spec.key, soon())
        driver.wait_agent(spec.key, soon())
        driver.mark_ready(spec.key)


def down(driver: ProxmoxHypervisor) -> None:
    for status in driver.list_nodes(SESSION):
        driver.delete(status.key, soon())
    driver.delete_segments(SPECS[0].key.bench, soon())


def attempt(place: Place, work: Any, calls: int | None = None, sent: bool = False) -> None:
    """A run that may fail, with one line that says why, or be killed after so many calls."""
    with pytest.MonkeyPatch.context() as patch:
        if calls is not None:
            patch.setattr(Client, "call", killing(calls, sent))
        told = "well"
        try:
            work(ProxmoxHypervisor(place.profile))
        except PlateauError as problem:
            told = str(problem)
        except KilledError:
            pass
        assert told
        assert "\n" not in told


def killing(calls: int, sent: bool) -> Any:
    """`Client.call`, until the controller is killed; the thread that polls tasks dies with it."""
    original, left = Client.call, [calls]

    def call(self: Client, *arguments: Any, **options: Any) -> Any:
        left[0] -= threading.current_thread() is threading.main_thread()
        if left[0] < 0 and threading.current_thread() is threading.main_thread():
            if sent:
                original(self, *arguments, **options)
            raise KilledError
        return original(self, *arguments, **options)

    return call


def soon() -> Deadline:
    return Deadline.after(20)
