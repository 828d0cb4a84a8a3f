"""The executor on a cluster: a cohort comes up, what failed is named and repaired by the next run, and all goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import session_of

from labs.bench import BenchNode, compute_benches
from labs.execute import Executor, Outcome
from labs.hypervisors.base import BenchKey
from labs.hypervisors.proxmox import retry
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.journal import Journal
from labs.models.session import Session
from labs.plan import Action, Plan
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster

PEOPLE = ("alex", "sam", "zoe")


class WithoutSsh(Executor):
    """There are no systems in the machines of this cluster to log in to."""

    def _wait_ssh(self, node: BenchNode) -> None:
        pass


@pytest.fixture(params=["sdn", "bridge"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    monkeypatch.setattr(retry, "LATE_SECONDS", 0.2)
    wanted = Wanted(
        nodes=("pve1", "pve2"), storages={"tank": True}, roles=("rtr", "srv", "ws", "probe"), network=request.param
    )
    with cluster(tmp_path / "cluster", wanted, Pace(scale=0.005)) as made:
        yield made


@pytest.fixture
def session(place: Place, tmp_path: Path) -> Session:
    made = session_of(*PEOPLE, path=tmp_path / "session.yaml")
    return Session(made.path, made.file, made.lab, place.profile, made.candidates)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db", "up")
    yield made
    made.close()


def up(session: Session, journal: Journal) -> tuple[Plan, Outcome]:
    driver = ProxmoxHypervisor(session.profile)  # type: ignore[arg-type]
    benches = compute_benches(session)
    plan = driver.plan(session.uid, benches)
    return plan, WithoutSsh(session, driver, journal).up(benches, plan)


def test_cohort_comes_up_is_repaired_and_goes(place: Place, session: Session, journal: Journal) -> None:
    place.proxy.fail("POST", "/clone$", Fault.TASK_KILLED)
    place.proxy.fail("POST", "/clone$", Fault.TASK_LOCKED, times=2)
    place.proxy.fail("PUT", "/config$", Fault.LATE_596)
    plan, outcome = up(session, journal)
    assert plan.count(Action.CREATE) == 12
    ((candidate, broken),) = outcome.errors.items()
    ((node, told),) = broken.items()
    assert f"{session.uid}/{candidate}/{node}: clone: " in told

    plan, outcome = up(session, journal)
    assert [str(one.spec.key) for one in plan.nodes if one.action is not Action.KEEP] == [
        f"{session.uid}/{candidate}/{node}"
    ]
    assert outcome.errors == {}
    statuses = ProxmoxHypervisor(place.profile).list_nodes(session.uid)
    assert len(statuses) == 12
    assert all(status.ready for status in statuses)
    assert len({status.ssh for status in statuses}) == 12
    _, outcome = up(session, journal)
    assert outcome.changed == 0

    driver = ProxmoxHypervisor(place.profile)
    keys = [BenchKey(session.uid, one) for one in PEOPLE]
    outcome = WithoutSsh(session, driver, journal).down(session.uid, keys[:1])
    assert (outcome.changed, outcome.errors) == (4, {})
    assert not any("/alex/" in what for what in driver.leftovers(session.uid))
    outcome = WithoutSsh(session, driver, journal).down(session.uid, keys)
    assert (outcome.changed, outcome.errors) == (8, {})
    assert ProxmoxHypervisor(place.profile).leftovers(session.uid) == []


def test_segments_of_benches_are_apart(place: Place, session: Session, journal: Journal) -> None:
    _, outcome = up(session, journal)
    assert outcome.errors == {}
    networks: dict[str, set[str]] = {}
    for status in ProxmoxHypervisor(place.profile).list_nodes(session.uid):
        vmid = place.vmid(status.key)
        listed = place.proxy.as_root("GET", "/cluster/resources")
        node = next(one["node"] for one in listed if one.get("vmid") == vmid)
        config = place.proxy.as_root("GET", f"/nodes/{node}/qemu/{vmid}/config")
        assert config["net0"].endswith("bridge=vmbr0,firewall=1")
        firewall = place.proxy.as_root("GET", f"/nodes/{node}/qemu/{vmid}/firewall/options")
        assert (int(firewall["enable"]), firewall["policy_out"]) == (1, "DROP")
        cards = {value.partition(",")[2] for name, value in config.items() if name.startswith("net") and name != "net0"}
        networks.setdefault(status.key.candidate, set()).update(cards)
    assert [len(networks[one]) for one in PEOPLE] == [3, 3, 3]
    assert len(set.union(*networks.values())) == 9
