"""Segments of two sessions at once, which know of each other only what the cluster keeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.base import BenchKey, NodeKey, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox import bridge, naming
from labs.hypervisors.proxmox.bridge import BridgeSegments
from labs.hypervisors.proxmox.client import Client
from labs.models.proxmox import BridgeNetwork, ProxmoxProfile, Range

NETWORK = BridgeNetwork(mode="bridge", bridge="vmbr1", vlans=Range(first=100, last=999))
PROFILE = ProxmoxProfile.model_construct(pool="plateau", tag="plateau", vmids=Range(first=20000, last=20999))


class Pools:
    """The comments of the sessions' pools, and the machines; `before` and `after` a writing, somebody else's turn."""

    def __init__(self) -> None:
        self.comments: dict[str, str] = {}
        self.machines: list[dict[str, Any]] = []
        self.before: Callable[[str], None] = lambda _pool: None
        self.after: Callable[[str], None] = lambda _pool: None

    def get(self, path: str, _deadline: Deadline) -> list[dict[str, Any]]:
        if path == "cluster/resources":
            return self.machines
        return [{"poolid": pool, "comment": comment} for pool, comment in self.comments.items()]

    def call(self, _method: str, _path: str, _deadline: Deadline, *, poolid: str, comment: str) -> None:
        self.before(poolid)
        self.comments[poolid] = comment
        self.after(poolid)

    def controller(self) -> BridgeSegments:
        return BridgeSegments(PROFILE, NETWORK, cast(Client, self))

    def vlan(self, session: str) -> int:
        return int(json.loads(self.comments[f"plateau/{session}"])["vlans"]["camille/lan"])


def ensure(pools: Pools, session: str) -> None:
    pools.controller().ensure([SegmentSpec(BenchKey(session, "camille"), "lan")], [], [], Deadline.after(10))


def test_writing_that_arrives_late_takes_nobodys_vlan() -> None:
    """The first session read before the second, and its writing arrives when the second looks no more."""
    pools = Pools()

    def second(pool: str) -> None:
        if pool.endswith("a-0000") and "plateau/b-0000" not in pools.comments:
            ensure(pools, "b-0000")

    pools.before = second
    ensure(pools, "a-0000")
    assert pools.vlan("b-0000") == 100
    assert 100 < pools.vlan("a-0000") <= 999


def test_two_that_choose_at_once_part() -> None:
    pools, both = Pools(), threading.Barrier(2, timeout=10)
    begun: set[str] = set()

    def first(pool: str) -> None:
        if pool not in begun:
            both.wait()  # both have read that everything is free
            begun.add(pool)
            pools.comments[pool] = '{"vlans":{"camille/lan":100}}'
            both.wait()  # and both have written the same

    pools.before = first
    threads = [threading.Thread(target=ensure, args=(pools, session)) for session in ("a-0000", "b-0000")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert pools.vlan("a-0000") != pools.vlan("b-0000")


def test_vlan_under_machines_stays_and_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed between its writing and its reading left the clash."""
    monkeypatch.setattr(bridge, "CLASH_SECONDS", 0.01)
    pools = Pools()
    for session in ("a-0000", "b-0000"):
        pools.comments[f"plateau/{session}"] = '{"vlans":{"camille/lan":100}}'
    spec = NodeSpec(NodeKey("a-0000", "camille", "ws"), "ws", "trixie", 384, 1, ())
    tags = naming.tags("plateau", spec, ready=True)
    pools.machines = [{"type": "qemu", "vmid": 20000, "node": "pve1", "status": "running", "tags": tags}]
    with pytest.raises(HypervisorError, match=r"VLAN 100 is also that of b-0000/camille/lan, .* run plateau down"):
        ensure(pools, "a-0000")
    assert pools.vlan("a-0000") == 100
    ensure(pools, "b-0000")
    assert pools.vlan("b-0000") != 100
    ensure(pools, "a-0000")
    assert pools.vlan("a-0000") == 100
