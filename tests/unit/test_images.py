"""Image data, digests, the initramfs and the cache: everything that needs neither network nor machine."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from labs import images
from labs.errors import EnvironmentLackError, InputError
from labs.hypervisors.base import NodeKey, NodeSpec
from labs.hypervisors.qemu.driver import QemuHypervisor
from labs.images import digests, initramfs, model, stage, store
from labs.images.model import FileEntry, Role
from labs.models.profile import Profile


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "plateau" / "images"
    folder.mkdir(parents=True)
    return folder


def test_every_role_is_valid_and_the_lab_roles_are_there() -> None:
    roles = [model.load_role(name) for name in model.role_names()]
    assert {"rtr", "srv", "ws", "probe"} <= {role.name for role in roles}
    assert model.load_base().package_names("trixie")
    assert "frr" in model.load_depot().package_names("bookworm")


def test_unknown_role_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'toaster'.*probe, rtr, srv, .*ws"):
        store.find("toaster", "trixie")


def test_unknown_release_is_named(cache: Path) -> None:
    with pytest.raises(EnvironmentLackError, match=r"'potato'.*trixie, bookworm"):
        store.find_depot("potato")


def test_a_package_may_belong_to_one_release() -> None:
    packages = model.parse({"packages": ["dbus", {"name": "dhcpcd-base", "only": ["trixie"]}]}, model.Depot, "x.yaml")
    assert packages.package_names("bookworm") == ["dbus"]
    assert packages.package_names("trixie") == ["dbus", "dhcpcd-base"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "web", "packages": ["nginx"]}, "title"),
        ({"name": "web", "title": "Web", "packages": ["nginx; reboot"]}, "packages.0.name"),
        ({"name": "web", "title": "Web", "packages": [], "files": [{"path": "etc/x", "content": ""}]}, "files.0.path"),
        ({"name": "web", "title": "Web", "packages": [], "colour": "red"}, "colour"),
    ],
)
def test_wrong_data_name_the_file_and_the_field(data: object, field: str) -> None:
    with pytest.raises(InputError, match=rf"^web\.yaml: {field}: ") as caught:
        model.parse(data, Role, "web.yaml")
    assert "\n" not in str(caught.value)


def test_digests_follow_the_content_and_nothing_else() -> None:
    base, role, depot = model.load_base(), model.load_role("ws"), model.load_depot()
    digest = digests.role_digest(base, role, "trixie")
    assert digest == digests.role_digest(model.load_base(), model.load_role("ws"), "trixie")
    assert digest != digests.role_digest(base, role, "bookworm")
    assert digest != digests.role_digest(base, role.model_copy(update={"commands": ("true",)}), "trixie")
    quieter = base.model_copy(update={"finish": ("true",)})
    assert digest != digests.role_digest(quieter, role, "trixie")
    assert digests.base_digest(base, "trixie") == digests.base_digest(quieter, "trixie")
    assert digests.depot_digest(base, depot, "trixie") == digests.depot_digest(quieter, depot, "trixie")
    fewer = base.model_copy(update={"packages": base.packages[1:]})
    assert digests.depot_digest(base, depot, "trixie") != digests.depot_digest(fewer, depot, "trixie")


def test_dependencies_are_loaded_first_and_built_in_modules_left_out() -> None:
    dep = "drivers/scsi/sd_mod.ko.xz: drivers/scsi/scsi_mod.ko.xz drivers/scsi/scsi_common.ko.xz\n"
    dep += "drivers/scsi/scsi_mod.ko.xz: drivers/scsi/scsi_common.ko.xz\ndrivers/scsi/scsi_common.ko.xz:\n"
    names = [Path(path).name for path in initramfs.module_order(dep, ["sd_mod", "ext4"])]
    assert names == ["scsi_common.ko.xz", "scsi_mod.ko.xz", "sd_mod.ko.xz"]


def test_an_image_exists_only_once_published(cache: Path) -> None:
    digest = digests.role_digest(model.load_base(), model.load_role("ws"), "trixie")
    assert store.find("ws", "trixie") is None
    for size in (1, 2):
        work = cache / ".tmp-ws"
        work.mkdir()
        (work / "disk.qcow2").write_bytes(b"")
        assert [image.size_bytes for image in store.list_images()] == list(range(size - 1, 0, -1))
        store.publish(work, "ws", "trixie", digest, {"built": float(size), "size_bytes": size})
    newest = store.find("ws", "trixie")
    assert newest is not None
    assert newest.size_bytes == 2
    assert newest.disk.parent.name == f"ws-trixie-{digest[:12]}-2"
    assert json.loads((newest.disk.parent / "meta.json").read_text())["role"] == "ws"


def test_files_go_into_the_tree_as_root_with_their_mode() -> None:
    data = stage.files_tar([FileEntry(path="/etc/sudoers.d/x", content="é\n", mode="0440")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["etc", "etc/sudoers.d", "etc/sudoers.d/x"]
        member = archive.getmember("etc/sudoers.d/x")
        assert (member.mode, member.uid, member.size) == (0o440, 0, 3)


def test_a_depot_of_older_data_is_built_again_though_every_role_is_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines without the packages that the subject promises are no bench."""
    built = []
    facts = {"disk": cache, "kernel": cache, "initrd": cache, "built": 0.0, "size_bytes": 0}
    image = store.RoleImage(role="ws", release="trixie", digest="d", **facts)
    monkeypatch.setattr(images, "find", lambda _role, _release: image)
    monkeypatch.setattr(images, "build", lambda roles, release, progress: built.append((roles, release)))
    hypervisor = QemuHypervisor(Profile(instant=False))
    spec = NodeSpec(NodeKey("s", "c", "ws"), "ws", "trixie", 384, 1, ())
    assert hypervisor.missing([spec]) == ["package depot trixie"]
    hypervisor.prepare([spec], lambda _what, _step: None)
    assert built == [(["ws"], "trixie")]
