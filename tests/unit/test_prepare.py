"""Preparing the benches of a training version: fresh machines only, and ready only afterwards."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from samples import SESSION, write_session
from test_inventory import Endpoints

from labs import identity, inventory, prepare, ssh
from labs.ansible import PlaybookError
from labs.bench import Bench, compute_benches
from labs.errors import InputError, NotRenewedError
from labs.execute import Executor, Outcome
from labs.hypervisors.base import ExecResult, HostCapacity, NodeKey, NodeSpec, NodeStatus, Power
from labs.journal import Journal
from labs.models.session import load_session
from labs.plan import Action, make_plan, node_plans
from labs.sessionfiles import SessionFiles

HOST = HostCapacity("here", 2, 16384, 16384, 99999, 99, "tcg")


class Machines:
    """A hypervisor that notes what is asked of it, and when a machine is called ready."""

    name = "notes"

    def __init__(self) -> None:
        self.nodes: dict[NodeKey, bool] = {}
        self.told: list[tuple[str, str]] = []
        self.sleeping: set[NodeKey] = set()
        self.frozen: set[NodeKey] = set()
        self.off: set[NodeKey] = set()
        self.silent: set[NodeKey] = set()
        self.networks = 0

    def ensure_segments(self, wanted: Any, nodes: Any, deadline: Any) -> None:
        self.networks += 1

    def ensure_node(self, spec: NodeSpec, deadline: Any) -> None:
        self.nodes.setdefault(spec.key, False)
        self.told.append(("create", spec.key.node))

    def start(self, key: NodeKey, deadline: Any) -> None:
        if key in self.off:
            self.off.remove(key)
            self.told.append(("start", key.node))
        if key in self.sleeping:
            self.sleeping.remove(key)
            self.told.append(("wake", key.node))

    def asleep(self, key: NodeKey, deadline: Any) -> bool:
        return key in self.sleeping

    def snapshot(self, key: NodeKey, name: str, deadline: Any) -> None:
        assert key not in self.sleeping | self.off
        self.frozen.add(key)
        self.told.append((name, key.node))

    def snapshots(self, key: NodeKey, deadline: Any) -> list[str]:
        return ["frozen"] if key in self.frozen else []

    def rollback(self, key: NodeKey, name: str, deadline: Any, *, closed: bool = False) -> None:
        assert self.networks > 1, "a host that was restarted has no switches"
        self.told.append((f"back to {name}", key.node))
        if key in self.silent:
            raise NotRenewedError("its guest agent does not answer")

    def reset(self, key: NodeKey, deadline: Any) -> None:
        self.told.append(("reset", key.node))

    def wait_agent(self, key: NodeKey, deadline: Any) -> None: ...

    def execute(self, key: NodeKey, argv: Any, deadline: Any, stdin: bytes = b"") -> ExecResult:
        return ExecResult(0, b"", b"")

    def guest_setup(self, key: NodeKey) -> str:
        return ""

    def mark_ready(self, key: NodeKey) -> None:
        self.nodes[key] = True
        self.told.append(("ready", key.node))

    def delete(self, key: NodeKey, deadline: Any) -> None:
        self.nodes.pop(key, None)

    def status(self, key: NodeKey) -> NodeStatus:
        return next((one for one in self.list_nodes() if one.key == key), NodeStatus(key, Power.ABSENT, False))

    def list_nodes(self, session: str | None = None) -> list[NodeStatus]:
        return [
            NodeStatus(key, Power.STOPPED if key in self.off else Power.RUNNING, ready, ("192.0.2.1", 22))
            for key, ready in self.nodes.items()
        ]


class World:
    """A session of the version cp03 whose machines are notes; `failure` is what the playbook ends with."""

    def __init__(self, folder: Path) -> None:
        self.session = load_session(str(write_session(folder, SESSION.replace("seed:", "training: cp03\nseed:"))))
        self.benches = compute_benches(self.session, ["alex"])
        self.machines = Machines()
        self.journal = Journal(folder / "journal.db", "up")
        self.failure: Exception | None = None
        self.executor = Executor(self.session, self.machines, self.journal)  # type: ignore[arg-type]

    def prepare(self, bench: Bench, nodes: Sequence[Any], *_more: object) -> None:
        names = [node.name for node in nodes]
        assert not any(self.machines.nodes[node.spec.key] for node in nodes)
        self.machines.told.append(("prepare", " ".join(names)))
        if self.failure:
            raise self.failure

    def up(self) -> Outcome:
        plan = make_plan(self.benches, self.machines.list_nodes(), HOST, [], memory_reserve_mb=0, instant=True)
        return self.executor.up(self.benches, plan)

    def actions(self) -> dict[str, Action]:
        return {plan.spec.key.node: plan.action for plan in node_plans(self.benches, self.machines.list_nodes())}

    def key(self, node: str) -> NodeKey:
        return self.benches[0].node(node).spec.key

    def taken(self) -> list[tuple[str, str]]:
        told, self.machines.told = self.machines.told, []
        return told


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path)
    monkeypatch.setattr(prepare, "prepare", found.prepare)
    monkeypatch.setattr(ssh, "connect", lambda *_: io.BytesIO())
    yield found
    found.journal.close()


def test_ready_only_once_prepared(world: World) -> None:
    assert world.up().errors == {}
    told = world.taken()
    at = told.index(("prepare", "rtr srv ws"))
    assert {one for one in told if one[0] == "create"} <= set(told[:at])
    assert sorted(node for what, node in told[at:] if what == "ready") == ["rtr", "srv", "ws"]
    assert [one for one in told[:at] if one[0] == "ready"] == [("ready", "probe")]
    steps = [(step.action, step.outcome) for step in world.journal.steps(str(world.key("ws")))]
    assert steps[-2:] == [("prepare", "done"), ("mark ready", "done")]


def test_machines_that_sleep_are_woken(world: World) -> None:
    world.up()
    world.taken()
    world.machines.sleeping = {world.key("ws")}
    assert world.up().changed == 1
    assert world.taken() == [("wake", "ws")]
    world.machines.sleeping = {world.key("srv")}
    assert world.executor.snapshot(world.benches, "frozen").errors == {}
    told = world.taken()
    assert told.index(("wake", "srv")) < told.index(("frozen", "srv"))


def test_the_bell_rings_once(world: World) -> None:
    """A freeze that is run again takes what the first one missed, and leaves the others as they were at the bell."""
    world.up()
    world.machines.frozen = {world.key("ws"), world.key("probe")}
    world.taken()
    assert world.executor.snapshot(world.benches, "frozen", replace=False).changed == 2
    assert sorted(world.taken()) == [("frozen", "rtr"), ("frozen", "srv")]
    assert world.executor.snapshot(world.benches, "frozen").changed == 4


def test_the_networks_are_there_before_machines_go_back(world: World) -> None:
    world.up()
    world.taken()
    assert world.executor.rollback(world.benches, "frozen").errors == {}
    assert {what for what, _ in world.taken()} == {"back to frozen"}


def test_what_is_off_at_the_bell_is_started_first(world: World) -> None:
    world.up()
    world.taken()
    world.machines.off = {world.key("ws")}
    assert world.executor.snapshot(world.benches, "frozen").errors == {}
    told = world.taken()
    assert told.index(("start", "ws")) < told.index(("frozen", "ws"))
    assert [node for what, node in told if what == "start"] == ["ws"]


def test_a_stopped_agent_keeps_nobody_from_being_measured(world: World) -> None:
    world.up()
    world.machines.silent = {world.key("ws")}
    assert set(world.executor.rollback(world.benches, "frozen").errors["alex"]) == {"ws"}, "a proof wants them whole"
    assert world.executor.rollback(world.benches, "frozen", closed=True, as_it_was=True).errors == {}
    world.machines.silent = {world.key("probe")}
    outcome = world.executor.rollback(world.benches, "frozen", as_it_was=True)
    assert set(outcome.errors["alex"]) == {"probe"}, "the centre's own answers always"


def test_a_machine_that_hangs_is_reset_and_one_that_is_off_is_started(world: World) -> None:
    world.up()
    world.taken()
    (bench,) = world.benches
    assert world.executor.restart(bench, bench.node("ws")).changed == 1
    assert world.taken() == [("reset", "ws")]
    world.machines.off = {world.key("srv")}
    assert world.executor.restart(bench, bench.node("srv")).errors == {}
    assert world.taken() == [("start", "srv")]


def test_what_somebody_works_in_is_left_alone(world: World) -> None:
    world.up()
    world.taken()
    assert world.up().changed == 0
    assert world.taken() == []
    del world.machines.nodes[world.key("srv")]
    assert world.up().errors == {}
    assert world.taken() == [("create", "srv"), ("prepare", "srv"), ("ready", "srv")]
    del world.machines.nodes[world.key("probe")]
    world.up()
    assert world.taken() == [("create", "probe"), ("ready", "probe")]


def test_a_playbook_that_fails_leaves_nothing_ready(world: World) -> None:
    world.failure = PlaybookError("reseau-cp03.yml: DNS: alex-srv: no such unit")
    assert world.up().errors == {"alex": {"preparation": "reseau-cp03.yml: DNS: alex-srv: no such unit"}}
    assert world.journal.last_error(str(world.key("rtr"))) == str(world.failure)
    assert world.actions() == {"rtr": "recreate", "srv": "recreate", "ws": "recreate", "probe": "keep"}
    world.failure = None
    world.taken()
    assert world.up().errors == {}
    assert world.taken()[3] == ("prepare", "rtr srv ws")
    assert set(world.actions().values()) == {Action.KEEP}


def test_a_run_killed_between_two_machines(world: World) -> None:
    """One was marked ready, the others were not: those are made again, and prepared without it."""
    world.up()
    world.machines.nodes[world.key("srv")] = world.machines.nodes[world.key("ws")] = False
    world.taken()
    world.up()
    assert ("prepare", "srv ws") in world.taken()


def test_the_baseline_is_prepared_again(world: World) -> None:
    world.up()
    world.taken()
    assert world.executor.renew(world.benches).errors == {}
    assert ("prepare", "rtr srv ws") in world.taken()


def test_the_plan_counts_the_preparation(world: World, tmp_path: Path) -> None:
    whole = compute_benches(load_session(str(write_session(tmp_path / "whole"))), ["alex"])
    plans = [make_plan(one, [], HOST, [], memory_reserve_mb=0, instant=True) for one in (whole, world.benches)]
    assert plans[1].seconds > plans[0].seconds
    world.up()
    kept = make_plan(world.benches, world.machines.list_nodes(), HOST, [], memory_reserve_mb=0, instant=True)
    assert kept.seconds == 0


def test_another_version_is_refused_while_there_are_machines(world: World, tmp_path: Path) -> None:
    files = SessionFiles(tmp_path)
    prepare.require_same_version(world.session, world.machines, files)  # type: ignore[arg-type]
    prepare.keep_version(world.session, files)
    world.up()
    prepare.require_same_version(world.session, world.machines, files)  # type: ignore[arg-type]
    other = load_session(str(write_session(tmp_path)))
    with pytest.raises(InputError) as caught:
        prepare.require_same_version(other, world.machines, files)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{tmp_path / 'session.yaml'}: training: its benches were brought up for the training version cp03, "
        "not for the whole lab; run plateau down first, or put that back"
    )
    world.machines.nodes.clear()
    prepare.require_same_version(other, world.machines, files)  # type: ignore[arg-type]


def test_an_inventory_of_one_bench_apart(world: World, tmp_path: Path) -> None:
    """What a preparation reads is in its own folder: the session's inventory may be written at the same time."""
    apart = tmp_path / "apart"
    apart.mkdir()
    files = SessionFiles(tmp_path)
    identity.ensure_keys(world.benches[0], files)
    path = inventory.write_apart(world.benches[0], Endpoints(), files, apart)  # type: ignore[arg-type]
    data = YAML(typ="safe").load(path.read_text().replace("!unsafe ", ""))
    assert set(data["all"]["children"]["candidats"]["hosts"]) == {"alex-rtr", "alex-srv", "alex-ws"}
    assert f'UserKnownHostsFile="{apart / "known_hosts"}"' in data["all"]["vars"]["ansible_ssh_args"]
    assert len((apart / "known_hosts").read_text().splitlines()) == 4
    assert not files.inventory.exists()
