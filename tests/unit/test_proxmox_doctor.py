"""Doctor and plan of a cluster: each lack is named with its remedy, each node with its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import session_of

from labs.bench import compute_benches
from labs.doctor import Finding, examine
from labs.errors import EnvironmentLackError
from labs.hypervisors.proxmox.cluster import parse
from labs.hypervisors.proxmox.doctor import _storages, granted
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.hypervisors.proxmox.lintconfig import lint_config
from labs.hypervisors.proxmox.privileges import holds, required
from labs.images import role_names
from labs.plan import Action
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster

ROLES = tuple(role_names())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    wanted = Wanted(nodes=("pve1", "pve2"), roles=ROLES, node_memory_mb=8192)
    with cluster(tmp_path_factory.mktemp("pve"), wanted) as made:
        yield made


@pytest.fixture
def place(shared: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    return shared


def lacking(place: Place, **changes: object) -> dict[str, Finding]:
    profile = place.profile.model_validate({**place.profile.model_dump(), **changes})
    return {finding.what: finding for finding in examine(profile) if not finding.ok}


def test_the_documented_role_is_enough(place: Place) -> None:
    found = {finding.what: finding for finding in examine(place.profile)}
    assert {what for what, finding in found.items() if not finding.ok and "bridge" not in what} == set()
    assert found["SDN zone zone1"].detail == "simple zone: each bench stays on one node"
    assert found["VMIDs"].detail == f"20000-22999, {3000 - 2 * len(ROLES)} free"  # others' machines are not even seen
    assert found["template ws-trixie"].detail.count("VM ") == 2
    assert found["version"].detail == ProxmoxHypervisor(place.profile).software()


def test_missing_things_are_named_with_their_remedy(place: Place) -> None:
    found = lacking(
        place,
        nodes=["pve1", "pve9"],
        storage="tank",
        network={"mode": "sdn", "zone": "other"},
        pool="elsewhere",
        templates={"dc-2022": 9100},
    )
    assert found["node pve9"].detail == "not in the cluster"
    assert found["storage tank"].remedy == "correct storage in the profile, or its rights"
    assert "does not exist" in found["SDN zone other"].detail
    assert found["pool"].remedy == "pvesh create /pools --poolid elsewhere"
    assert "VM 9100 is no template that the token can see" in found["template dc-2022"].remedy
    rights = found["rights on /vms/9100"]
    assert rights.detail.startswith("token lacks VM.Audit, VM.Clone")
    assert "pveum acl modify /vms/9100 --users plateau@pve --roles PlateauTemplate" in rights.remedy


def test_a_template_of_ours_that_is_not_made_yet_is_no_lack(place: Place) -> None:
    found = {one.what: one for one in examine(place.profile.model_copy(update={"tag": "other"}))}
    assert found["template ws-trixie"].ok
    assert found["template ws-trixie"].detail.startswith("none yet: made by plateau image build, or by up")


def test_templates_of_others_are_looked_at() -> None:
    held = {"/storage/tank": {"Datastore.AllocateSpace": 1}, "/sdn/zones/localnetwork/vmbr0": {"SDN.Use": 1}}
    plain = {
        "agent": "1,fstrim_cloned_disks=1",
        "ide2": "tank:vm-9100-cloudinit,media=cdrom",
        "scsi0": "tank:base-9100-disk-0,size=8G",
        "net0": "virtio=BC:24:11:4B:00:71,bridge=vmbr0",
    }
    assert all(finding.ok for finding in lint_config(9100, plain, held))
    assert all(finding.ok for finding in lint_config(9100, {**plain, "agent": "enabled=1"}, held))
    bad = {"scsi0": plain["scsi0"], "sshkeys": "ssh-ed25519%20AAAA", "protection": 1}
    found = [finding for finding in lint_config(9100, bad, held) if not finding.ok]
    assert [finding.remedy for finding in found] == [
        "qm set 9100 --agent 1",
        "qm set 9100 --ide2 tank:cloudinit",
        "qm set 9100 --delete sshkeys",
        "qm set 9100 --protection 0",
    ]


def test_clone_of_a_template_of_others_asks_for_rights_on_its_storage_and_bridges() -> None:
    """403 Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use), before any card of ours is set."""
    config = {
        "agent": "1",
        "ide2": "fast:vm-9100-cloudinit,media=cdrom",
        "scsi0": "fast:base-9100-disk-0,size=8G",
        "net0": "virtio=BC:24:11:4B:00:71,bridge=vmbr9,tag=5",
    }
    details = [finding.detail for finding in lint_config(9100, config, {"/pool/plateau": {}}) if not finding.ok]
    assert details == [
        "the token lacks Datastore.AllocateSpace on its storage fast",
        "the token lacks SDN.Use on bridge vmbr9 of its card net0, which a clone asks for",
    ]


def test_token_with_privilege_separation_is_said_first(place: Place) -> None:
    """GET /access/permissions of such a token, whose user alone was granted something: {}."""
    place.proxy.permissions = {}
    try:
        found = lacking(place)
    finally:
        place.proxy.permissions = None
    assert found["rights"].remedy.startswith("pveum user token modify plateau@pve plateau --privsep 0")


def test_role_of_candidates_is_looked_at(place: Place) -> None:
    wanted = {"candidates": {}}
    assert "role PlateauCandidate" not in lacking(place, **wanted)
    (finding,) = [one for what, one in lacking(place, candidates={"role": "Consoles"}).items() if "Consoles" in what]
    assert finding.detail == "does not exist"
    assert finding.remedy == 'pveum role add Consoles --privs "VM.Audit VM.Console"'
    assert "role Administrator" in lacking(place, candidates={"role": "Administrator"})


@pytest.mark.parametrize(("kind", "fit"), [("dir", True), ("lvmthin", True), ("lvm", False)])
def test_storage_must_have_linked_clones(place: Place, kind: str, fit: bool) -> None:
    """500 Linked clone feature is not supported for …, once for every machine of a cohort."""
    entry = {"type": "storage", "storage": "local", "node": "pve1", "content": "images,import", "plugintype": kind}
    (finding, *_) = _storages(place.profile, parse([entry]), ["pve1"])
    assert finding.ok is fit
    assert fit or finding.detail == "of type lvm, which has no linked clones"


def test_firewall_that_is_off_is_a_lack(place: Place) -> None:
    place.proxy.firewall = False
    try:
        assert "candidates could reach the management network" in lacking(place)["isolation"].detail
        with pytest.raises(EnvironmentLackError, match="the cluster's firewall is off"):
            ProxmoxHypervisor(place.profile).plan("s-1", compute_benches(session_of("alex")))
    finally:
        place.proxy.firewall = True


def test_unreachable_cluster_is_one_finding(place: Place, tmp_path: Path) -> None:
    (finding,) = examine(place.profile.model_copy(update={"hosts": ["127.0.0.1:1"]}))
    assert not finding.ok
    assert "no API at 127.0.0.1:1" in finding.detail


def test_inherited_rights_count_only_where_they_are_inherited() -> None:
    held = {"/": {"Sys.Audit": 0}, "/pool": {"VM.Audit": 1, "VM.Clone": 0}, "/pool/plateau": {"VM.Clone": 1}}
    assert holds(held, "/pool/other", "VM.Audit")
    assert not holds(held, "/pool/other", "VM.Clone")
    assert not holds(held, "/pool/plateau", "VM.Audit")
    assert not holds(held, "/nodes/pve1", "Sys.Audit")


def test_commands_of_the_role_are_those_of_the_documentation(place: Place) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "proxmox.md").read_text(encoding="utf-8")
    profile = place.profile.model_validate(
        {
            **place.profile.model_dump(),
            "network": {"mode": "sdn", "zone": "plateau"},
            "storage": "local",
            "candidates": {},
        }
    )
    for line in granted(required(profile, ["pve1"]), "plateau@pve"):
        assert line in documented, line


def test_plan_has_the_numbers_of_every_node(place: Place) -> None:
    benches = compute_benches(session_of("alex", "sam"))
    plan = ProxmoxHypervisor(place.profile).plan("essai-1", benches)
    needs = {need.resource: need for need in plan.needs}
    assert plan.count(Action.CREATE) == 8
    assert plan.problems == []
    assert plan.missing == ()
    assert plan.seconds > 0
    assert {"memory of pve1", "memory of pve2", "VMIDs", "segments", "storage local of pve1"} <= needs.keys()
    assert needs["memory of pve1"].needed == needs["memory of pve2"].needed > 0
    assert needs["VMIDs"].needed == 8
    assert needs["segments"].needed == 6


def test_plan_that_does_not_fit_names_the_node(place: Place) -> None:
    benches = compute_benches(session_of(*(f"c{number}" for number in range(12))))
    plan = ProxmoxHypervisor(place.profile).plan("essai-1", benches)
    assert any(problem.startswith("memory of pve1: ") for problem in plan.problems)
