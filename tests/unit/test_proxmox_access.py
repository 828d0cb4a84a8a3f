"""A candidate's own Proxmox user: the consoles of the own machines, until the bench goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import session_of

from labs import accesssheet
from labs.bench import compute_benches
from labs.deadline import Deadline
from labs.hypervisors.base import BenchKey
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Wanted, cluster

ROLES = ("rtr", "srv", "ws", "probe")


@pytest.mark.parametrize("fault", [None, Fault.LATE_596, Fault.NO_WORKER_LOST])
def test_candidate_sees_the_own_machines_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    with cluster(tmp_path / "cluster", Wanted(roles=ROLES, options={"candidates": {}})) as place:
        (bench,) = compute_benches(session_of("alex"))
        driver = ProxmoxHypervisor(place.profile)
        driver.ensure_segments(bench.segments, [node.spec for node in bench.nodes], soon())
        for node in bench.nodes:
            driver.ensure_node(node.spec, soon())
        for method, path in (("PUT", "/pools$"), ("POST", "/access/users$"), ("PUT", "/access/acl$")):
            if fault is not None:
                place.proxy.fail(method, path, fault)
        graded = [node.spec.key for node in bench.graded_nodes]
        for _ in range(2):
            user = driver.admit(bench.key, graded, bench.password, soon())
        assert user is not None
        pool = f"plateau/{bench.session.uid}/c-alex"
        assert place.proxy.users == {user: {"comment": f"plateau: {bench.key}", f"/pool/{pool}": "PlateauCandidate"}}
        (told,) = place.proxy.as_root("GET", f"/pools?poolid={pool}")
        assert {one["vmid"] for one in told["members"]} == {place.vmid(key) for key in graded}
        sheet = accesssheet.markdown(bench, driver, user)
        assert f"`{user}`" in sheet
        assert sheet.count("novnc=1") == len(graded) == 3
        assert {status.key for status in driver.list_nodes(bench.session.uid)} == {one.spec.key for one in bench.nodes}

        place.proxy.users["alex.other@pve"] = {"comment": "somebody's"}
        fresh = ProxmoxHypervisor(place.profile)
        assert f"user {user}" in fresh.leftovers(bench.session.uid)
        for node in bench.nodes:
            fresh.delete(node.spec.key, soon())
        fresh.delete_segments(BenchKey(bench.session.uid, "alex"), soon())
        assert fresh.leftovers(bench.session.uid) == []
        assert set(place.proxy.users) == {"alex.other@pve"}


def soon() -> Deadline:
    return Deadline.after(40)
