"""A lab with Windows machines on a cluster: cloned from templates that the profile names, configured by their agent."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labs import windows
from labs.bench import BenchNode, compute_benches
from labs.errors import EnvironmentLackError
from labs.execute import Executor
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.journal import Journal
from labs.models.session import Session
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster
from tests.unit.lab_data import bench_of

ROLES = ("membre", "adprobe", "ws")
OTHERS = 22997
"""VMID of the last of the cluster's templates, in the place of the Windows ones."""


class WithoutDoors(Executor):
    """There are no systems in the machines of this cluster to log in to."""

    def _wait_ssh(self, node: BenchNode) -> None:
        pass


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    monkeypatch.setenv("LAB_WINDOWS_PASSWORD", "Secret-du-centre-1")
    monkeypatch.setattr(windows, "wait", lambda *_: None)
    options = {"templates": {"dc-2022": OTHERS, "ws-11": OTHERS}}
    with cluster(tmp_path / "cluster", Wanted(roles=ROLES, options=options), Pace(scale=0.002)) as made:
        yield made


def session_of(place: Place, tmp_path: Path, **profile: Any) -> Session:
    made = bench_of("annuaire-windows", 0).session
    given = place.profile.model_copy(update=profile)
    return Session(tmp_path / "session.yaml", made.file, made.lab, given, made.candidates)


def test_a_bench_with_windows_machines_comes_up(place: Place, tmp_path: Path) -> None:
    session = session_of(place, tmp_path)
    benches, driver = compute_benches(session), ProxmoxHypervisor(place.profile)
    run: list[tuple[list[str], bytes]] = []

    def carry_out(argv: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        run.append((argv, stdin))
        return subprocess.CompletedProcess(argv, 0, b"", b"")

    place.proxy.run = carry_out
    with contextlib.closing(Journal(tmp_path / "journal.db", "up")) as journal:
        outcome = WithoutDoors(session, driver, journal).up(benches, driver.plan(session.uid, benches))
    assert outcome.errors == {}
    assert all(status.ready for status in driver.list_nodes(session.uid))
    scripts = [base64.b64decode(stdin).decode() for argv, stdin in run if argv[0] == "powershell.exe"]
    (bench,) = benches
    assert sorted(scripts) == sorted(windows.script(bench, bench.node(name)) for name in ("dc", "ws"))
    assert len([argv for argv, _ in run if argv[:1] == ["/bin/sh"]]) == 2, "srv and the probe"


def test_without_its_templates_nothing_is_begun(place: Place, tmp_path: Path) -> None:
    session = session_of(place, tmp_path, templates={"ws-11": OTHERS})
    driver = ProxmoxHypervisor(session.profile)  # type: ignore[arg-type]
    with pytest.raises(EnvironmentLackError, match=r"^no template dc-2022, .*\{dc-2022: VMID\}$") as caught:
        driver.plan(session.uid, compute_benches(session))
    assert "\n" not in str(caught.value)
    assert driver.leftovers(session.uid) == []
