"""Templates made of role images: uploaded whole, imported, converted, tagged, and made once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.base import NodeKey, NodeSpec
from labs.hypervisors.proxmox import build as build_module
from labs.hypervisors.proxmox.build import build_templates
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Cluster, Guest
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.hypervisors.proxmox.multipart import Multipart
from labs.hypervisors.proxmox.tasks import Tasks
from labs.hypervisors.proxmox.templates import _template, current_digest
from labs.images import RoleImage
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    with cluster(tmp_path / "cluster", Wanted(nodes=("pve1", "pve2"), roles=("ws",))) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> RoleImage:
    """A disk of the role `srv`, which the cluster has no template of."""
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "8M"], check=True)
    digest = current_digest("srv", "trixie")
    assert digest is not None
    return RoleImage("srv", "trixie", digest, disk, disk, disk, 0.0, disk.stat().st_size)


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    folder = tmp_path / "depot-trixie-0123456789ab"
    folder.mkdir()
    path = folder / "depot.img"
    path.write_bytes(bytes(1 << 20))
    return path


def build(place: Place, image: RoleImage, depot: Path | None = None, steps: list[str] | None = None) -> list[int]:
    client = Client(place.profile)

    def progress(what: str, step: str) -> None:
        if steps is not None:
            steps.append(f"{what}: {step}")

    return build_templates(place.profile, client, Cluster(client), Tasks(client), [image], depot, progress)


def test_template_on_each_node_with_both_disks(place: Place, image: RoleImage, depot: Path) -> None:
    made = build(place, image, depot)
    assert len(made) == 2
    for node, vmid in zip(("pve1", "pve2"), made, strict=True):
        assert vmid in place.profile.vmids
        config = place.proxy.as_root("GET", f"/nodes/{node}/qemu/{vmid}/config")
        assert int(config["template"]) == 1
        assert config["scsihw"] == "virtio-scsi-pci"
        assert config["scsi0"].startswith(f"local:{vmid}/base-{vmid}-disk-")
        assert config["scsi1"].startswith(f"local:{vmid}/base-{vmid}-disk-")
        assert config["ide2"].endswith("media=cdrom")
        assert config["serial0"] == "socket"
        assert config["agent"] == "1"
        assert f"plateau.digest.{image.digest[:12]}" in config["tags"].split(";")
    assert build(place, image, depot) == []
    disk = f"local:import/plateau-srv-trixie-{image.digest[:12]}.qcow2"
    assert place.proxy.imports == {"local:import/plateau-depot-trixie-0123456789ab.qcow2", disk}


def test_made_template_can_be_cloned(place: Place, image: RoleImage) -> None:
    spec = NodeSpec(NodeKey("made-0000", "camille", "srv"), "srv", "trixie", 384, 1, ())
    driver = ProxmoxHypervisor(place.profile)
    assert driver.missing([spec]) == ["image srv-trixie"]
    with pytest.raises(EnvironmentLackError, match="run plateau image build srv --hypervisor PROFILE"):
        driver.ensure_node(spec, Deadline.after(20))
    build(place, image)
    driver = ProxmoxHypervisor(place.profile)
    assert driver.missing([spec]) == []
    driver.ensure_node(spec, Deadline.after(20))
    driver.delete(spec.key, Deadline.after(20))


def test_template_is_listed_as_one_when_the_build_ends(place: Place, image: RoleImage) -> None:
    """The cluster lists a new template without that flag for up to ten seconds; `up` goes on at once."""
    place.proxy.pace.scale, place.proxy.pace.listing_lag = 0.02, 90.0
    spec = NodeSpec(NodeKey("made-0000", "camille", "srv"), "srv", "trixie", 384, 1, ())
    driver = ProxmoxHypervisor(place.profile)
    assert driver.missing([spec])
    assert len(build(place, image)) == 2
    assert ProxmoxHypervisor(place.profile).missing([spec]) == []


def test_upload_that_may_not_be_deleted_is_told(place: Place, image: RoleImage) -> None:
    """403 Permission check failed (/storage/local, Datastore.Allocate): the documented role cannot delete disks."""
    steps: list[str] = []
    build(place, image, steps=steps)
    name = f"local:import/plateau-srv-trixie-{image.digest[:12]}.qcow2"
    assert f"srv on pve1: ready; {name} may be deleted" in steps


@pytest.mark.parametrize("fault", [Fault.LATE_596, Fault.NO_WORKER_DONE, Fault.NO_WORKER_LOST])
def test_creation_whose_answer_was_lost(
    place: Place, image: RoleImage, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(build_module, "LOST_SECONDS", 0.5)
    place.proxy.fail("POST", "/nodes/pve1/qemu$", fault)
    assert len(build(place, image)) == 2
    found = [one for one in place.proxy.as_root("GET", "/cluster/resources") if "srv-trixie" in str(one.get("tags"))]
    assert len(found) == 2


def test_machine_that_a_killed_build_left_is_converted(place: Place, image: RoleImage) -> None:
    place.proxy.fail("POST", "/template$", Fault.UNAUTHORIZED)
    with pytest.raises(EnvironmentLackError):
        build(place, image)
    assert len(build(place, image)) == 2
    found = [one for one in place.proxy.as_root("GET", "/cluster/resources") if "srv-trixie" in str(one.get("tags"))]
    assert [one["template"] for one in found] == [1, 1]


def test_other_digest_is_another_image(place: Place, image: RoleImage) -> None:
    build(place, image)
    outdated = RoleImage("srv", "trixie", "f" * 64, image.disk, image.disk, image.disk, 0.0, 0)
    assert len(build(place, outdated)) == 2
    found = [one for one in place.proxy.as_root("GET", "/cluster/resources") if one.get("template")]
    assert sum("plateau.role.srv-trixie" in one["tags"] for one in found) == 4


def test_number_taken_in_a_race_is_passed_over(place: Place, image: RoleImage) -> None:
    place.proxy.fail("POST", "/nodes/pve1/qemu$", Fault.TASK_CREATE_TAKEN)
    assert len(build(place, image)) == 2


def test_storage_that_no_node_has(place: Place, image: RoleImage) -> None:
    elsewhere = Place(place.proxy, place.profile.model_copy(update={"storage": "tank"}))
    with pytest.raises(EnvironmentLackError, match="storage tank: no online node has it"):
        build(elsewhere, image)


@pytest.mark.parametrize(
    ("drives", "shared"),
    [
        ({}, True),
        ({"ide2": "tank:9100/vm-9100-cloudinit.qcow2,media=cdrom", "sata0": "none,media=cdrom"}, True),
        ({"ide0": "local:iso/virtio-win.iso,media=cdrom,size=708140K"}, False),
        ({"efidisk0": "local:9100/base-9100-disk-1.qcow2,efitype=4m,size=528K"}, False),
        ({"tpmstate0": "local:9100/base-9100-disk-2.raw,size=4M,version=v2.0"}, False),
        ({"unused0": "local:9100/vm-9100-disk-9.qcow2"}, True),
    ],
)
def test_other_nodes_clone_what_is_shared_altogether(drives: dict[str, str], shared: bool) -> None:
    """Else 500 can't clone VM to node 'pve2' (VM uses local storage); a CD drive counts."""
    guest = Guest(9100, "pve1", "stopped", True, frozenset(), None, 4096, 0)
    config = {"scsi0": "tank:9100/base-9100-disk-0.qcow2,size=40G", "ostype": "win11", **drives}
    template = _template(guest, config, {"tank"})
    assert (template.storage, template.shared) == ("tank", shared)


def test_form_is_sent_in_order_and_its_length_is_true(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(b"QFI\xfb" + bytes(3_000_000))
    with path.open("rb") as stream:
        form = Multipart([("content", "import"), ("checksum", "abc")], "disk.qcow2", stream)
        body = b"".join(form)
    assert len(form) == len(body)
    assert body.index(b'name="content"') < body.index(b'name="checksum"') < body.index(b'name="filename"')
    assert form.content_type.partition("boundary=")[2].encode() in body
