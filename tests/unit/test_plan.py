"""The planner: what is done with each machine, and whether it fits, with the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import session_of

from labs.bench import Bench, compute_benches
from labs.hypervisors.base import HostCapacity, NodeStatus, Power
from labs.plan import DISK_PER_NODE_MB, TCG_OVERHEAD_MB, Action, Plan, make_plan

HOST = HostCapacity("here", 2, 16000, 12000, 50000, 100, "tcg")


def benches() -> list[Bench]:
    return compute_benches(session_of("alex"))


def planned(existing: list[NodeStatus], host: HostCapacity = HOST, missing: tuple[str, ...] = ()) -> Plan:
    return make_plan(benches(), existing, host, missing, memory_reserve_mb=1000, instant=True)


def statuses(power: Power, *, ready: bool) -> list[NodeStatus]:
    return [NodeStatus(node.spec.key, power, ready) for node in benches()[0].nodes]


@pytest.mark.parametrize(
    ("power", "ready", "action"),
    [
        (Power.ABSENT, False, Action.CREATE),
        (Power.STOPPED, False, Action.RECREATE),
        (Power.RUNNING, False, Action.RECREATE),
        (Power.STOPPED, True, Action.START),
        (Power.PAUSED, True, Action.START),
        (Power.RUNNING, True, Action.KEEP),
    ],
)
def test_action_follows_from_the_state(power: Power, ready: bool, action: Action) -> None:
    made = planned(statuses(power, ready=ready))
    assert {node.action for node in made.nodes} == {action}
    assert made.count(action) == len(made.nodes) == 4


def test_unknown_machines_are_created() -> None:
    assert planned([]).count(Action.CREATE) == 4


def test_needs_are_sums() -> None:
    made = planned([])
    needs = {need.resource: need for need in made.needs}
    assert needs["memory"].needed == sum(node.spec.memory_mb + TCG_OVERHEAD_MB for node in made.nodes)
    assert needs["memory"].available == 12000 - 1000
    assert needs["disk"].needed == 4 * DISK_PER_NODE_MB
    assert needs["TCP ports"].needed == 8
    assert made.problems == []


def test_what_runs_needs_nothing_more() -> None:
    made = planned(statuses(Power.RUNNING, ready=True), replace(HOST, memory_free_mb=0, disk_free_mb=0, free_ports=0))
    assert all(need.needed == 0 for need in made.needs)
    assert made.seconds == 0
    # Less memory than the reserve is no reason to refuse what needs none.
    assert [problem for problem in made.problems if not problem.startswith("memory: 0 MiB")] == []


def test_stopped_machines_need_memory_but_no_new_disk() -> None:
    needs = {need.resource: need.needed for need in planned(statuses(Power.STOPPED, ready=True)).needs}
    assert needs["memory"] > 0
    assert needs["disk"] == needs["TCP ports"] == 0


def test_does_not_fit_says_by_how_much() -> None:
    made = planned([], replace(HOST, memory_free_mb=2000, disk_free_mb=100, free_ports=3))
    needed = sum(node.spec.memory_mb + TCG_OVERHEAD_MB for node in made.nodes)
    assert made.problems == [
        f"memory: {needed} MiB needed, 1000 MiB available",
        f"disk: {4 * DISK_PER_NODE_MB} MiB needed, 100 MiB available",
        "TCP ports: 8 ports needed, 3 ports available",
    ]


def test_time_grows_with_what_has_to_be_made_and_shrinks_with_cores() -> None:
    quick = planned([]).seconds
    assert planned([], missing=("template rtr (384 MiB, 3 cards)",)).seconds > quick
    assert planned([], missing=("image rtr-trixie",)).seconds > quick
    assert planned([], replace(HOST, cores=4)).seconds == quick / 2
    cold = make_plan(benches(), [], HOST, (), memory_reserve_mb=0, instant=False).seconds
    assert cold > 4 * quick
