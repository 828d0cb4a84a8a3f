"""The driver against a cluster that fails as Proxmox VE does: lost answers, locks, races, full storages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, HypervisorError, NotRenewedError
from labs.hypervisors.base import BenchKey, NicSpec, NodeKey, NodeSpec, Power, SegmentSpec
from labs.hypervisors.proxmox import driver as proxmox_driver
from labs.hypervisors.proxmox import retry, sdn
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.hypervisors.qemu import resume
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, STRANGER, Place, Wanted, cluster

SESSION = "faults-0000"
KEY = NodeKey(SESSION, "camille", "ws")
SPEC = NodeSpec(KEY, "ws", "trixie", 384, 1, (NicSpec("52:54:00:00:00:01", "lan"),))
SEGMENTS = [SegmentSpec(KEY.bench, "lan")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with cluster(tmp_path_factory.mktemp("pve"), Wanted(nodes=("pve1", "pve2")), Pace(scale=0.002)) as made:
        yield made


@pytest.fixture
def place(shared: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    # The cluster of the tests carries things out 500 times faster.
    monkeypatch.setattr(retry, "LATE_SECONDS", 0.3)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(sdn, "RELOAD_SECONDS", 0.3)
    monkeypatch.setattr(sdn, "PENDING_SECONDS", 0.3)
    monkeypatch.setattr(proxmox_driver, "STRANGE_CLONE_SECONDS", 3.0)
    yield shared
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    shared.proxy.rules.clear()
    shared.proxy.forget_hanging()
    driver = ProxmoxHypervisor(shared.profile)
    sessions = {status.key.session for status in driver.list_nodes()} | {SESSION}
    for session in sessions:
        for status in driver.list_nodes(session):
            driver.delete(status.key, soon())
        driver.delete_segments(BenchKey(session, KEY.candidate), soon())
        assert driver.leftovers(session) == []
    left = {one["vmid"] for one in shared.proxy.as_root("GET", "/cluster/resources") if "vmid" in one}
    assert {number for number in left if number < 22000} == {STRANGER, 20001}


@pytest.fixture
def driver(place: Place) -> ProxmoxHypervisor:
    return ProxmoxHypervisor(place.profile)


def soon() -> Deadline:
    return Deadline.after(40)


def made(driver: ProxmoxHypervisor, seconds: float = 40) -> None:
    driver.ensure_segments(SEGMENTS, [SPEC], soon())
    driver.ensure_node(SPEC, Deadline.after(seconds))


def numbers(place: Place) -> list[int]:
    """VMIDs of the session's machines, whatever their tags."""
    listed = place.proxy.as_root("GET", "/cluster/resources")
    return sorted(one["vmid"] for one in listed if str(one.get("pool", "")).endswith(SESSION) and "vmid" in one)


@pytest.mark.parametrize(
    "fault", [Fault.LATE_596, Fault.NEVER_596, Fault.UNREACHABLE_595, Fault.NO_WORKER_DONE, Fault.NO_WORKER_LOST,
              Fault.DROPPED, Fault.LOCKED, Fault.TASK_LOCKED, Fault.TASK_TAKEN]
)  # fmt: skip
def test_clone_happens_exactly_once(place: Place, driver: ProxmoxHypervisor, fault: Fault) -> None:
    rule = place.proxy.fail("POST", "/clone$", fault)
    made(driver)
    assert rule.seen == 1
    assert len(numbers(place)) == 1
    assert driver.status(KEY).power is Power.STOPPED


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        *(
            ("PUT", "/config$", fault)
            for fault in (Fault.LATE_596, Fault.NEVER_596, Fault.NO_WORKER_LOST, Fault.DROPPED, Fault.LOCKED)
        ),
        *(
            (method, path, fault)
            for method, path in (
                ("PUT", "/firewall/options$"),
                ("POST", "/pools$"),
                ("POST", "/vnets$"),
                ("PUT", "/sdn$"),
            )
            for fault in (Fault.LATE_596, Fault.NO_WORKER_LOST)
        ),
    ],
)
def test_every_step_of_making_survives(
    place: Place, driver: ProxmoxHypervisor, method: str, path: str, fault: Fault
) -> None:
    rule = place.proxy.fail(method, path, fault)
    made(driver)
    assert rule.seen == 1
    config = place.proxy.as_root("GET", f"/nodes/{driver._existing(KEY).node}/qemu/{place.vmid(KEY)}/config")
    assert config["net1"].startswith("virtio=52:54:00:00:00:01,bridge=p")
    assert "net7" not in config


@pytest.mark.parametrize("fault", [Fault.LATE_596, Fault.NEVER_596, Fault.NO_WORKER_DONE, Fault.TASK_LOCKED])
def test_power_survives(place: Place, driver: ProxmoxHypervisor, fault: Fault) -> None:
    made(driver)
    place.proxy.fail("POST", "/status/start$", fault)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    assert driver.status(KEY).power is Power.RUNNING
    place.proxy.fail("POST", "/status/shutdown$", fault)
    driver.stop(KEY, soon())
    assert driver.status(KEY).power is Power.STOPPED


@pytest.mark.parametrize("fault", [Fault.LOCKED, Fault.TASK_LOCKED])
def test_reset_waits_for_a_lock(place: Place, driver: ProxmoxHypervisor, fault: Fault) -> None:
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    boot = place.proxy.boot_of(place.vmid(KEY))
    place.proxy.fail("POST", "/status/reset$", fault)
    driver.reset(KEY, soon())
    assert place.proxy.boot_of(place.vmid(KEY)) != boot


def test_reset_whose_answer_was_lost_is_not_repeated(place: Place, driver: ProxmoxHypervisor) -> None:
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    before = place.proxy.calls["POST /nodes/pveN/qemu/N/status/reset"]
    place.proxy.fail("POST", "/status/reset$", Fault.LATE_596)
    with pytest.raises(HypervisorError, match="camille/ws: Connection timed out"):
        driver.reset(KEY, soon())
    assert place.proxy.calls["POST /nodes/pveN/qemu/N/status/reset"] == before + 1


@pytest.mark.parametrize("state", ["io-error", "paused"])
def test_a_machine_goes_on_after_a_full_storage_or_a_pause(place: Place, driver: ProxmoxHypervisor, state: str) -> None:
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    place.proxy.halt(place.vmid(KEY), state)
    assert driver.status(KEY).power is Power.PAUSED
    assert [status.power for status in ProxmoxHypervisor(place.profile).list_nodes(SESSION)] == [Power.PAUSED]
    assert not driver.asleep(KEY, soon())
    driver.start(KEY, soon())
    assert ProxmoxHypervisor(place.profile).status(KEY).power is Power.RUNNING


@pytest.mark.parametrize("fault", [None, Fault.LATE_596, Fault.NEVER_596, Fault.NO_WORKER_DONE])
def test_sleep_ends(place: Place, driver: ProxmoxHypervisor, fault: Fault | None) -> None:
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    assert not driver.asleep(KEY, soon())
    driver.press(KEY, "power", soon())
    assert driver.asleep(KEY, soon())
    assert driver.status(KEY).power is Power.RUNNING
    if fault:
        place.proxy.fail("POST", "/status/resume$", fault)
    driver.start(KEY, soon())
    assert not driver.asleep(KEY, soon())
    driver.wait_agent(KEY, soon())


def test_snapshots_of_a_stopped_machine_are_told(place: Place, driver: ProxmoxHypervisor) -> None:
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    driver.snapshot(KEY, "frozen", soon())
    driver.stop(KEY, soon(), force=True)
    assert driver.snapshots(KEY, soon()) == ["frozen"]
    path = f"/nodes/{driver._existing(KEY).node}/qemu/{place.vmid(KEY)}/config"
    place.proxy.as_root("PUT", path, lock="snapshot")
    with pytest.raises(DeadlineError, match="is still being taken"):
        driver.snapshots(KEY, Deadline.after(2))
    place.proxy.as_root("PUT", path, delete="lock", skiplock=1)


def test_rollback_to_a_machine_without_an_agent_says_so_in_time(
    place: Place, driver: ProxmoxHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its candidate had stopped the agent: it runs as it did then, its clock and randomness too."""
    made(driver)
    driver.start(KEY, soon())
    driver.wait_agent(KEY, soon())
    driver.snapshot(KEY, "frozen", soon())
    driver.rollback(KEY, "frozen", soon())
    monkeypatch.setattr(resume, "RENEW_SECONDS", 1.0)
    place.proxy.pace.boot = 1e9
    began = time.monotonic()
    try:
        with pytest.raises(NotRenewedError, match="camille/ws: randomness and clock could not be renewed"):
            driver.rollback(KEY, "frozen", Deadline.after(300))
    finally:
        place.proxy.pace.boot = 17.0
    assert time.monotonic() - began < 60
    assert driver.status(KEY).power is Power.RUNNING


def test_key_of_a_stopped_machine(driver: ProxmoxHypervisor) -> None:
    made(driver)
    with pytest.raises(HypervisorError, match="not running"):
        driver.press(KEY, "power", soon())


@pytest.mark.parametrize("fault", [Fault.LATE_596, Fault.NEVER_596, Fault.NO_WORKER_DONE, Fault.NO_WORKER_LOST,
                                   Fault.DROPPED, Fault.LOCKED, Fault.TASK_LOCKED])  # fmt: skip
def test_destroy_survives(place: Place, driver: ProxmoxHypervisor, fault: Fault) -> None:
    made(driver)
    driver.start(KEY, soon())
    place.proxy.fail("DELETE", r"/qemu/\d+$", fault)
    driver.delete(KEY, soon())
    assert numbers(place) == []


def test_full_storage_is_said(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("POST", "/clone$", Fault.TASK_FULL)
    with pytest.raises(HypervisorError, match=r"camille/ws: clone: .*No space left on device"):
        made(driver)


def test_interrupted_task_is_an_error_and_leaves_nothing(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("POST", "/clone$", Fault.TASK_KILLED)
    with pytest.raises(HypervisorError, match=r"camille/ws: clone: .*interrupted by signal"):
        made(driver)
    assert numbers(place) == []


def test_hanging_task_ends_with_the_deadline(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("POST", "/clone$", Fault.TASK_HANGS)
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"camille/ws: clone: task UPID:.* had not ended"):
        made(driver, seconds=1.5)
    assert time.monotonic() - began < 6


def test_lock_that_stays_held_is_named(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("PUT", "/config$", Fault.LOCKED, times=1000)
    with pytest.raises(DeadlineError, match="the last answer was: can't lock file"):
        made(driver, seconds=3)


def test_refused_token_is_one_line_and_not_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "wrong")
    before = sum(place.proxy.calls.values())
    with pytest.raises(EnvironmentLackError) as problem:
        ProxmoxHypervisor(place.profile).list_nodes()
    assert "does not accept token plateau@pve!plateau: wrong secret" in str(problem.value)
    assert "\n" not in str(problem.value)
    assert sum(place.proxy.calls.values()) == before + 1


def test_token_that_expires_meanwhile_fails_fast(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("GET", "/tasks/", Fault.UNAUTHORIZED)
    with pytest.raises(EnvironmentLackError, match="does not accept token"):
        made(driver)
    driver = ProxmoxHypervisor(place.profile)
    made(driver)
    assert len(numbers(place)) == 1


def test_untrusted_certificate_is_refused(place: Place) -> None:
    for wrong in (
        place.profile.model_copy(update={"ca_file": None}),
        place.profile.model_copy(update={"ca_file": None, "fingerprint": ":".join(["00"] * 32)}),
    ):
        with pytest.raises(EnvironmentLackError, match="certificate is not the one the profile trusts"):
            ProxmoxHypervisor(wrong).list_nodes()


def test_pinned_certificate_is_accepted(place: Place) -> None:
    assert place.profile.ca_file is not None
    ProxmoxHypervisor(place.profile.model_copy(update={"ca_file": None, "fingerprint": fingerprint(place)})).capacity()


def test_next_host_is_asked_when_one_is_down(place: Place) -> None:
    hosts = ["127.0.0.1:1", *place.profile.hosts]
    assert ProxmoxHypervisor(place.profile.model_copy(update={"hosts": hosts})).capacity()
    with pytest.raises(EnvironmentLackError, match=r"no API at 127.0.0.1:1: .*check hosts in the profile"):
        ProxmoxHypervisor(place.profile.model_copy(update={"hosts": hosts[:1]})).capacity()


def test_lagging_listing_misleads_nobody(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.pace.listing_lag = 1e6
    try:
        made(driver)
        driver.start(KEY, soon())
        again = ProxmoxHypervisor(place.profile)
        assert [(status.key, status.power) for status in again.list_nodes(SESSION)] == [(KEY, Power.RUNNING)]
        again.delete(KEY, soon())
    finally:
        place.proxy.pace.listing_lag = 0.0


def test_apply_that_failed_on_a_node_is_found_and_repeated(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.sdn.failing = {"pve1": 1, "pve2": 1}
    made(driver)
    place.proxy.sdn.failing = {"pve1": 9, "pve2": 9}
    other = SegmentSpec(KEY.bench, "wan")
    with pytest.raises(HypervisorError, match=r"pve[12]: 1 VNets are not available after SDN was applied"):
        driver.ensure_segments([*SEGMENTS, other], [SPEC], soon())
    place.proxy.sdn.failing = {}
    driver.ensure_segments([*SEGMENTS, other], [SPEC], soon())


def test_others_pending_sdn_changes_are_not_applied(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.sdn.vnets["theirs"] = {"zone": "zone1", "alias": "of the administrator"}
    try:
        with pytest.raises(EnvironmentLackError, match=r"pending changes that are not ours .VNet theirs."):
            made(driver)
    finally:
        del place.proxy.sdn.vnets["theirs"]


def test_pending_change_of_a_zone_that_the_token_does_not_see_is_not_applied(
    place: Place, driver: ProxmoxHypervisor
) -> None:
    """500 could not acquire lock for SDN config: configuration has pending changes."""
    place.proxy.sdn.hidden_change = True
    applied = place.proxy.sdn.applies
    try:
        with pytest.raises(EnvironmentLackError, match="in a zone that the token does not see"):
            made(driver)
    finally:
        place.proxy.sdn.hidden_change = False
    assert place.proxy.sdn.applies == applied
    made(driver)
    assert not place.proxy.sdn.locked


def test_pending_change_of_another_run_is_waited_for(
    place: Place, driver: ProxmoxHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its creation of VNets and its apply, a run with another token and zone looks like an administrator."""
    monkeypatch.setattr(sdn, "PENDING_SECONDS", 30.0)
    place.proxy.sdn.hidden_change = True
    applies = threading.Timer(0.5, setattr, (place.proxy.sdn, "hidden_change", False))
    applies.start()
    made(driver)
    assert not applies.is_alive()


def test_repeated_apply_carries_out_nobodys_change_either(place: Place, driver: ProxmoxHypervisor) -> None:
    made(driver)
    place.proxy.sdn.on_node.clear()  # as after a reload by hand that failed
    place.proxy.sdn.hidden_change = True
    applied = place.proxy.sdn.applies
    try:
        with pytest.raises(EnvironmentLackError, match="in a zone that the token does not see"):
            driver.ensure_segments(SEGMENTS, [SPEC], soon())
    finally:
        place.proxy.sdn.hidden_change = False
    assert place.proxy.sdn.applies == applied
    driver.ensure_segments(SEGMENTS, [SPEC], soon())
    assert place.proxy.sdn.applies == applied + 1


def test_lock_of_sdn_whose_answer_was_lost_is_told(place: Place, driver: ProxmoxHypervisor) -> None:
    """Nobody holds its token: everybody else's changes of SDN would be refused, and nobody would know why."""
    place.proxy.fail("POST", "/sdn/lock$", Fault.LATE_596)
    try:
        with pytest.raises(EnvironmentLackError, match="pvesh delete /cluster/sdn/lock --force 1 on a node"):
            made(driver)
    finally:
        place.proxy.sdn.locked = False
    place.proxy.fail("POST", "/sdn/lock$", Fault.UNREACHABLE_595)
    made(driver)
    assert not place.proxy.sdn.locked


def test_destroyed_machine_is_proved_gone_though_a_403_hides_it(place: Place, driver: ProxmoxHypervisor) -> None:
    """What was destroyed is in no pool: the token gets the 403 of a stranger's machine, whether it exists or not."""
    made(driver)
    number, before = place.vmid(KEY), place.proxy.calls["GET /cluster/nextid"]
    rule = place.proxy.fail("DELETE", rf"/qemu/{number}$", Fault.TASK_LOST)
    with pytest.raises(HypervisorError, match=f"VM {number} is still there after it was destroyed"):
        driver.delete(KEY, soon())
    assert rule.seen == 1
    driver.delete(KEY, soon())
    assert place.proxy.calls["GET /cluster/nextid"] == before + 2


def test_node_that_is_down_costs_no_patience(place: Place, driver: ProxmoxHypervisor) -> None:
    made(driver)
    driver.mark_ready(KEY)
    node = driver._existing(KEY).node
    other = {"pve1": "pve2", "pve2": "pve1"}[node]
    place.proxy.offline.add(node)
    try:
        again, began = ProxmoxHypervisor(place.profile), time.monotonic()
        (status,) = again.list_nodes(SESSION)
        assert (status.power, status.ready, status.host) == (Power.STOPPED, True, node)
        for act in (again.start, again.delete, again.wait_agent):
            with pytest.raises(HypervisorError, match=f"its node {node} is offline; start {node}"):
                act(KEY, soon())
        assert any(KEY.session in what for what in again.leftovers(SESSION))
        assert [host.host for host in again.capacity()] == [other]
        someone = SegmentSpec(BenchKey(SESSION, "sam"), "lan")
        spec = replace(SPEC, key=NodeKey(SESSION, "sam", "ws"))
        again.ensure_segments([*SEGMENTS, someone], [SPEC, spec], soon())
        assert again.ensure_node(spec, soon()).host == other
        again.delete(spec.key, soon())
        assert time.monotonic() - began < 10
    finally:
        place.proxy.offline.clear()
    driver.delete_segments(someone.bench, soon())


def test_half_made_clone_of_a_killed_run_is_taken_up(place: Place, driver: ProxmoxHypervisor) -> None:
    place.proxy.fail("PUT", "/config$", Fault.LOCKED, times=1000)
    with pytest.raises(DeadlineError):
        made(driver, seconds=3)
    place.proxy.rules.clear()
    again = ProxmoxHypervisor(place.profile)
    assert [(status.key, status.ready) for status in again.list_nodes(SESSION)] == [(KEY, False)]
    before = numbers(place)
    made(again)
    assert numbers(place) == before


def test_clone_that_still_runs_is_waited_for(place: Place, driver: ProxmoxHypervisor) -> None:
    """Its run was killed: nobody waits for it, and nobody sees its machine before it ends."""
    driver.ensure_segments(SEGMENTS, [SPEC], soon())
    place.proxy.pace.clone = 700.0
    try:
        with pytest.raises(DeadlineError):
            driver.ensure_node(SPEC, Deadline.after(0.5))
        again = ProxmoxHypervisor(place.profile)
        assert again.list_nodes(SESSION) == []
        made(again)
    finally:
        place.proxy.pace.clone = 0.2
    assert len(numbers(place)) == 1


def test_clone_that_ended_since_the_last_listing_is_seen(place: Place, driver: ProxmoxHypervisor) -> None:
    driver.ensure_segments(SEGMENTS, [SPEC], soon())
    place.proxy.pace.clone = 1e6
    try:
        with pytest.raises(DeadlineError):
            driver.ensure_node(SPEC, Deadline.after(1))
    finally:
        place.proxy.pace.clone = 0.2
    again = ProxmoxHypervisor(place.profile)
    assert again.list_nodes(SESSION) == []
    place.proxy.forget_hanging()
    made(again)
    assert len(numbers(place)) == 1


def test_clone_of_somebody_else_leaves_time_for_the_segments(
    place: Place, driver: ProxmoxHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxmox_driver, "STRANGE_CLONE_SECONDS", 120.0)
    place.proxy.fail("POST", "/clone$", Fault.TASK_HANGS)
    with pytest.raises(DeadlineError):
        made(driver, seconds=0.5)
    ProxmoxHypervisor(place.profile).ensure_segments(
        [*SEGMENTS, SegmentSpec(KEY.bench, "wan")], [SPEC], Deadline.after(5)
    )


@pytest.fixture
def elsewhere(place: Place, tmp_path: Path) -> Iterator[Place]:
    """The machines are on pve2, their template on pve1: its storage is shared."""
    wanted = Wanted(nodes=("pve1", "pve2"), storages={"tank": True}, options={"nodes": ["pve2"]})
    with cluster(tmp_path / "elsewhere", wanted, Pace(scale=0.002, clone=1000.0)) as made:
        yield made


def test_clone_to_another_node_happens_once_though_its_answer_is_lost(elsewhere: Place) -> None:
    """Its task runs on the template's node, and nobody may read its configuration before it ends."""
    driver = ProxmoxHypervisor(elsewhere.profile)
    rule = elsewhere.proxy.fail("POST", "/clone$", Fault.LATE_596)
    made(driver)
    assert rule.seen == 1
    assert elsewhere.proxy.calls["POST /nodes/pveN/qemu/N/clone"] == 1
    assert driver.status(KEY).host == "pve2"


def test_clone_that_still_runs_on_another_node_is_waited_for_by_down(elsewhere: Place) -> None:
    driver = ProxmoxHypervisor(elsewhere.profile)
    driver.ensure_segments(SEGMENTS, [SPEC], soon())
    with pytest.raises(DeadlineError):
        driver.ensure_node(SPEC, Deadline.after(1))
    assert elsewhere.proxy.calls["POST /nodes/pveN/qemu/N/clone"] == 1
    ProxmoxHypervisor(elsewhere.profile).delete_segments(KEY.bench, soon())
    assert numbers(elsewhere) == []


def test_machine_that_changed_hands_is_left_alone(place: Place, driver: ProxmoxHypervisor) -> None:
    made(driver)
    number, node = place.vmid(KEY), driver._existing(KEY).node
    path = f"/nodes/{node}/qemu/{number}/config"
    tags = place.proxy.as_root("GET", path)["tags"]
    machine = driver._existing(KEY)
    place.proxy.as_root("PUT", path, tags="mine", description="somebody's now")
    with pytest.raises(HypervisorError, match="is not ours any more; it was left alone"):
        driver._machines.delete(machine, soon())
    driver.delete(KEY, soon())
    assert place.proxy.as_root("GET", path)["tags"] == "mine"
    place.proxy.as_root("PUT", path, tags=tags, description=f"plateau: {KEY}")


def fingerprint(place: Place) -> str:
    import hashlib
    import ssl

    host, _, port = place.profile.hosts[0].partition(":")
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))
    text = hashlib.sha256(certificate).hexdigest().upper()
    return ":".join(text[start : start + 2] for start in range(0, 64, 2))
