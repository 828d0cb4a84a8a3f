"""Parts of the Proxmox driver that only compute: the listing, marks, placement, slots, numbers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError
from labs.hypervisors.base import BenchKey, NicSpec, NodeKey, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.allocator import Allocator
from labs.hypervisors.proxmox.batch import Batch
from labs.hypervisors.proxmox.cluster import Guest, Host, Snapshot, parse
from labs.hypervisors.proxmox.network import trunk_tags
from labs.hypervisors.proxmox.placement import OVERHEAD_MB, Room, place, rooms
from labs.hypervisors.proxmox.power import Power
from labs.hypervisors.proxmox.slots import Boots, Slots
from labs.models.proxmox import Range

ANYWHERE = {("ws", "trixie"): frozenset({"n1", "n2"})}


def spec_of(candidate: str, node: str = "ws", memory: int = 1000, nics: tuple[NicSpec, ...] = ()) -> NodeSpec:
    return NodeSpec(NodeKey("s-1", candidate, node), "ws", "trixie", memory, 1, nics)


def guest(vmid: int, node: str = "n1", memory: int = 1000, status: str = "running") -> Guest:
    return Guest(vmid, node, status, False, frozenset(), None, memory, 0)


def test_listing_has_numbers_in_any_form_and_keys_may_lack() -> None:
    entries: list[dict[str, Any]] = [
        {"type": "qemu", "vmid": "400", "node": "pve1", "status": "running", "tags": "alpha;zed", "pool": "range"},
        {"type": "qemu", "vmid": 401, "node": "pve1", "status": "unknown", "maxmem": 805306368},
        {"type": "node", "node": "pve1", "status": "online", "level": "", "cgroup-mode": 2},
        {"type": "network", "network": "localnetwork", "node": "pve1"},
        {"type": "pool", "pool": "range/sub", "id": "/pool/range/sub"},
    ]
    found = parse(entries)
    assert [one.vmid for one in found.guests] == [400, 401]
    assert found.guests[0].tags == {"alpha", "zed"}
    assert found.guests[1].memory_mb == 768
    assert found.hosts == (Host("pve1", True, 0, 0, 0),)


def test_tags_tell_the_machine_and_change_with_its_specification() -> None:
    spec = spec_of("camille")
    tags = naming.tags("plateau", spec, ready=True).split(";")
    assert naming.key_of("plateau", tags) == spec.key
    assert naming.is_ready("plateau", tags)
    assert (
        naming.specification_of("plateau", tags) == naming.digest(spec) != naming.digest(spec_of("camille", memory=9))
    )
    assert naming.key_of("plateau", [tag for tag in tags if tag != "plateau"]) is None
    assert naming.key_of("plateau", ["plateau", "plateau.s.x", "plateau.c.y"]) is None


def test_names_are_dns_names_and_identifiers_fit() -> None:
    key = NodeKey("my_session-1a2b3c4d", "0camille", "srv_1")
    assert naming.host_name(key) == "srv-1.0camille.my-session-1a2b3c4d"
    segment = SegmentSpec(key.bench, "lan")
    assert len(naming.vnet(segment)) == 8
    assert naming.segment_of(naming.alias(segment)) == segment
    assert naming.segment_of("range net 1") is None
    assert naming.described("plateau: a/b/c\n") == NodeKey("a", "b", "c")


def test_memory_that_was_promised_counts_though_it_is_not_used_yet() -> None:
    hosts = (Host("n1", True, 8, 10000, 500), Host("n2", True, 8, 10000, 9000), Host("n3", False, 8, 10000, 0))
    snapshot = Snapshot((guest(1), guest(2, status="paused"), guest(3, status="stopped")), hosts)
    assert rooms(snapshot, [], 1000) == [Room("n1", 9000 - 2 * (1000 + OVERHEAD_MB)), Room("n2", 0)]
    assert [room.node for room in rooms(snapshot, ["n2", "n3"], 0)] == ["n2"]


def test_benches_stay_together_and_fill_nodes_evenly() -> None:
    specs = [spec_of(candidate, node) for candidate in "abcd" for node in ("ws", "srv")]
    chosen = place(specs, [Room("n1", 8000), Room("n2", 8000)], ANYWHERE, {}, together=False)
    homes = {candidate: {chosen[spec.key] for spec in specs if spec.key.candidate == candidate} for candidate in "abcd"}
    assert all(len(nodes) == 1 for nodes in homes.values())
    assert sorted(next(iter(nodes)) for nodes in homes.values()) == ["n1", "n1", "n2", "n2"]


def test_a_bench_is_split_only_where_its_network_allows() -> None:
    specs = [spec_of("a", node) for node in ("w1", "w2", "w3")]
    free = [Room("n1", 2200), Room("n2", 2200)]
    assert len(set(place(specs, free, ANYWHERE, {}, together=False).values())) == 2
    assert len(set(place(specs, free, ANYWHERE, {}, together=True).values())) == 1


def test_a_bench_joins_its_machines_and_templates_decide() -> None:
    free = [Room("n1", 100), Room("n2", 9000)]
    pinned = {BenchKey("s-1", "a"): "n1"}
    assert set(place([spec_of("a")], free, ANYWHERE, pinned, together=False).values()) == {"n1"}
    only = {("ws", "trixie"): frozenset({"n1"})}
    assert set(place([spec_of("a")], free, only, {}, together=False).values()) == {"n1"}
    with pytest.raises(EnvironmentLackError, match="no online node has a template of ws-trixie"):
        place([spec_of("a")], free, {}, {}, together=False)


def test_numbers_are_given_once_and_strangers_are_passed_over() -> None:
    numbers = Allocator(Range(first=100, last=104))
    snapshot = Snapshot((guest(101),))
    assert [numbers.take(snapshot) for _ in range(3)] == [100, 102, 103]
    assert numbers.take_last(snapshot) == 104
    with pytest.raises(EnvironmentLackError, match="no VMID of 100-104 is free"):
        numbers.take(snapshot)
    numbers.give_back(102)
    assert numbers.take(snapshot) == 102


def test_slots_bound_what_runs_at_once() -> None:
    slots = Slots(1)
    second = slots.hold("local", Deadline.after(0.01))
    with slots.hold("local", Deadline.after(1)), pytest.raises(DeadlineError, match="still busy with 1"), second:
        pass
    with slots.hold("local", Deadline.after(1)), slots.hold("other", Deadline.after(1)):
        pass


def test_boots_are_entered_once_and_left() -> None:
    boots = Boots(1)
    boots.enter("n1", "a", Deadline.after(1))
    boots.enter("n1", "a", Deadline.after(1))
    with pytest.raises(DeadlineError):
        boots.enter("n1", "b", Deadline.after(0.01))
    assert boots.leave("n1", "a") is not None
    boots.enter("n1", "b", Deadline.after(1))


def test_one_machine_of_a_node_finds_out_how_long_a_boot_takes() -> None:
    now = 1000.0
    power, first, second = Power(lambda: now), NodeKey("s", "c", "a"), NodeKey("s", "c", "b")
    for key in (first, second):
        power.started(key)
    assert power.patience(first, "n1") == 0
    assert power.patience(second, "n1") > 0
    now += 10
    power.missed(first, now)
    assert power.patience(first, "n1") == 0
    now += 10
    power.answered(first)
    assert power.patience(second, "n1") == 0
    power.answered(second)
    third, fourth = NodeKey("s", "c", "d"), NodeKey("s", "c", "e")
    for key in (third, fourth):
        power.started(key)
    assert power.patience(third, "n1") == 15, "the scout asks between what was too early and what sufficed"
    now += 15
    assert power.patience(third, "n1") == 0
    assert 0 < power.patience(fourth, "n1") <= 5
    now += 5
    assert power.patience(fourth, "n1") == 0
    assert power.patience(NodeKey("s", "c", "not started by us"), "n1") == 0


def test_wishes_of_many_threads_are_carried_out_together() -> None:
    begun, go, batches = threading.Event(), threading.Event(), []

    def work(items: list[int]) -> None:
        batches.append(sorted(items))
        begun.set()
        go.wait(5)

    batch = Batch(work)
    threads = [threading.Thread(target=batch.submit, args=(number,)) for number in range(6)]
    threads[0].start()
    begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(batch._wishes) < 5:
        pass
    go.set()
    for thread in threads:
        thread.join(5)
    assert batches == [[0], [1, 2, 3, 4, 5]]


def test_trunks_of_a_bench_must_agree() -> None:
    trunk = NicSpec("m", None, ((10, "lan"), (20, "wan")))
    assert trunk_tags([spec_of("a", nics=(trunk,))]) == {BenchKey("s-1", "a"): {"lan": 10, "wan": 20}}
    other = NicSpec("m", None, ((30, "lan"),))
    with pytest.raises(EnvironmentLackError, match="Proxmox VE translates no tags"):
        trunk_tags([spec_of("a", nics=(trunk,)), spec_of("a", "srv", nics=(other,))])
