"""Role images become templates: uploaded, imported into a virtual machine, converted, and tagged with their digest."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs import images
from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.proxmox.allocator import Allocator
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Cluster
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.placement import rooms
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.tasks import Tasks
from labs.hypervisors.proxmox.templates import digest_tag, role_tag
from labs.models.proxmox import ProxmoxProfile

UPLOAD_SECONDS = 3600.0
MAKE_SECONDS = 1800.0
MEMORY_MB = 512
"""Of the template itself; every machine is given its own."""
FILE_STORAGES = frozenset({"dir", "nfs", "cifs", "cephfs"})
"""Storage types whose disks are files: only qcow2 has snapshots there."""

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Upload:
    """A file to import from: its name on the storage says what is in it."""

    path: Path
    name: str


def build_templates(
    profile: ProxmoxProfile,
    client: Client,
    cluster: Cluster,
    tasks: Tasks,
    built: Sequence[images.RoleImage],
    depot: Path | None,
    progress: Progress,
) -> list[int]:
    """Make templates of these role images wherever one is missing; return the VMIDs of those that were made.

    One for the whole cluster where the storage is shared, otherwise one for each node; the package depot, a raw disk,
    becomes the second disk. Raises HypervisorError or EnvironmentLackError.
    """
    maker = _Maker(profile, client, cluster, tasks, progress)
    with tempfile.TemporaryDirectory(prefix="plateau-import-") as folder:
        packages = None if depot is None else _depot(depot, Path(folder))
        return [vmid for image in built for vmid in maker.make(image, packages)]


@dataclass(frozen=True)
class _Maker:
    profile: ProxmoxProfile
    client: Client
    cluster: Cluster
    tasks: Tasks
    progress: Progress

    def make(self, image: images.RoleImage, depot: Upload | None) -> list[int]:
        disk = Upload(image.disk, f"plateau-{image.role}-{image.release}-{image.digest[:12]}.qcow2")
        return [self._on(node, image, disk, depot) for node in self._nodes_without(image)]

    def _nodes_without(self, image: images.RoleImage) -> list[str]:
        """The nodes on which a template has to be made."""
        snapshot = self.cluster.read()
        online = [room.node for room in rooms(snapshot, self.profile.nodes, 0)]
        seen = [one for one in snapshot.storages if one.name == self.profile.storage and one.node in online]
        if not seen:
            raise EnvironmentLackError(
                f"storage {self.profile.storage}: no online node has it; see storage in the profile"
            )
        wanted = {
            self.profile.tag,
            role_tag(self.profile.tag, image.role, image.release),
            digest_tag(self.profile.tag, image.digest),
        }
        have = {guest.node for guest in snapshot.guests if guest.template and wanted <= guest.tags}
        if any(one.shared for one in seen):
            return [] if have else [seen[0].node]
        return [one.node for one in seen if one.node not in have]

    def _on(self, node: str, image: images.RoleImage, disk: Upload, depot: Upload | None) -> int:
        label = f"{image.role} on {node}"
        deadline = Deadline.after(UPLOAD_SECONDS)
        sources = []
        for upload in (disk, depot):
            if upload is not None:
                self.progress(label, f"upload {upload.name}")
                sources.append(self._upload(node, upload, deadline))
        self.progress(label, "import")
        vmid = self._create(node, image, sources, Deadline.after(MAKE_SECONDS))
        self.progress(label, "template")
        self._convert(node, vmid, Deadline.after(MAKE_SECONDS))
        self._remove_upload(node, sources[0], Deadline.after(60))
        self.progress(label, "ready")
        return vmid

    def _upload(self, node: str, upload: Upload, deadline: Deadline) -> str:
        storage = self.profile.import_storage or self.profile.storage
        volume = f"{storage}:import/{upload.name}"
        content = f"nodes/{node}/storage/{storage}/content"
        try:
            listed = self.client.get(content, deadline, content="import")
        except ApiError as problem:
            raise EnvironmentLackError(f"storage {storage}: {problem}; see import_storage in the profile") from None
        if any(one.get("volid") == volume for one in listed):
            return volume
        fields = [
            ("content", "import"),
            ("checksum-algorithm", "sha256"),
            ("checksum", _sha256(upload.path)),
        ]
        with upload.path.open("rb") as stream:
            upid = self.client.upload(f"nodes/{node}/storage/{storage}/upload", fields, stream, upload.name, deadline)
        self.tasks.wait(upid, f"upload of {upload.name}", deadline)
        return volume

    def _create(self, node: str, image: images.RoleImage, sources: Sequence[str], deadline: Deadline) -> int:
        numbers = Allocator(self.profile.vmids)
        tags = [self.profile.tag, role_tag(self.profile.tag, image.role, image.release)]
        tags.append(digest_tag(self.profile.tag, image.digest))
        options = self._options(node, sources, deadline)
        while True:
            vmid = numbers.take_last(self.cluster.read())
            try:
                upid = self.client.call(
                    "POST",
                    f"nodes/{node}/qemu",
                    deadline,
                    vmid=vmid,
                    name=f"plateau-{image.role}-{image.release}",
                    description=f"plateau template of {image.role}-{image.release} {image.digest}",
                    pool=self.profile.pool,
                    tags=";".join(tags),
                    **options,
                )
                self.tasks.wait(upid, f"template {image.role}: import", deadline)
            except ApiError as problem:
                if problem.kind is Kind.EXISTS:
                    continue
                if problem.kind is Kind.UNKNOWN:
                    raise HypervisorError(
                        f"template {image.role}: the answer was lost, VM {vmid} may be there half made; "
                        "delete it and run the command again"
                    ) from None
                raise
            return vmid

    def _options(self, node: str, sources: Sequence[str], deadline: Deadline) -> dict[str, Any]:
        storage = self.profile.storage
        (seen,) = self.client.get(f"nodes/{node}/storage", deadline, storage=storage)
        kind = ",format=qcow2" if seen.get("type") in FILE_STORAGES else ""
        management = self.profile.management
        vlan = "" if management.vlan is None else f",tag={management.vlan}"
        options: dict[str, Any] = {
            "ostype": "l26",
            "memory": MEMORY_MB,
            "cores": 1,
            "scsihw": "virtio-scsi-pci",
            "boot": "order=scsi0",
            "ide2": f"{storage}:cloudinit",
            "agent": "1",
            "serial0": "socket",
            "net0": f"virtio,bridge={management.bridge}{vlan}",
        }
        for index, source in enumerate(sources):
            options[f"scsi{index}"] = f"{storage}:0,import-from={source}{kind}"
        if self.profile.accelerator == "tcg":
            options["kvm"] = False
        if self.profile.cpu is not None:
            options["cpu"] = self.profile.cpu
        return options

    def _convert(self, node: str, vmid: int, deadline: Deadline) -> None:
        path = f"nodes/{node}/qemu/{vmid}"

        def converted() -> bool:
            return bool(int(self.client.get(f"{path}/config", deadline).get("template") or 0))

        settle(
            lambda: self.client.call("POST", f"{path}/template", deadline),
            converted,
            self.tasks,
            f"template {vmid}",
            deadline,
        )

    def _remove_upload(self, node: str, volume: str, deadline: Deadline) -> None:
        """The disk was copied; the depot's stays for the next role. A token that may not delete leaves it."""
        storage = volume.partition(":")[0]
        try:
            upid = self.client.call("DELETE", f"nodes/{node}/storage/{storage}/content/{volume}", deadline)
            if isinstance(upid, str):
                self.tasks.wait(upid, f"removal of {volume}", deadline)
        except ApiError as problem:
            if problem.kind not in {Kind.DENIED, Kind.MISSING}:
                raise


def _depot(found: Path, folder: Path) -> Upload:
    """The package depot as qcow2, the format that an import takes with certainty; named like its cache folder."""
    target = folder / f"plateau-{found.parent.name}.qcow2"
    try:
        subprocess.run(
            ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(found), str(target)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise EnvironmentLackError("qemu-img cannot convert the package depot; run ./bootstrap") from None
    return Upload(target, target.name)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
