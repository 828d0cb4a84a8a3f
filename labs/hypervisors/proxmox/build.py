"""Role images become templates: uploaded, imported into a virtual machine, converted, and tagged with their digest."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs import images
from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
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
READ_SECONDS = 30.0
LISTED_SECONDS = 60.0
"""How long the cluster may take to list a new template as one: its nodes' statistics are up to ten seconds old."""
LOST_SECONDS = 40.0
"""How long a creation whose answer was lost is looked for: pveproxy gives up after 30 s, the work goes on."""
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
        made = [vmid for image in built for vmid in maker.make(image, packages)]
    _await_listing(cluster, made)
    return made


def _await_listing(cluster: Cluster, made: Sequence[int]) -> None:
    """A template can only be chosen for clones once the cluster's listing says that it is one."""

    def listed() -> bool | None:
        return set(made) <= {guest.vmid for guest in cluster.read().guests if guest.template} or None

    if made:
        what = ", ".join(map(str, made))
        Deadline.after(LISTED_SECONDS).poll(listed, f"templates {what} in the listing of the cluster", interval=1.0)


@dataclass(frozen=True)
class _Maker:
    profile: ProxmoxProfile
    client: Client
    cluster: Cluster
    tasks: Tasks
    progress: Progress

    def make(self, image: images.RoleImage, depot: Upload | None) -> list[int]:
        disk = Upload(image.disk, f"plateau-{image.role}-{image.release}-{image.digest[:12]}.qcow2")
        begun = self._begun(image)
        for node, vmid in begun.items():
            self.progress(f"{image.role} on {node}", "template")
            self._convert(node, vmid, Deadline.after(MAKE_SECONDS))
        return [*begun.values(), *(self._on(node, image, disk, depot) for node in self._nodes_without(image, begun))]

    def _begun(self, image: images.RoleImage) -> dict[str, int]:
        """Machines that a killed run made for this image and did not convert (or did, a moment ago), by node."""
        snapshot = self.cluster.read()
        found: dict[str, int] = {}
        for guest in snapshot.guests:
            half = guest.pool == self.profile.pool and guest.vmid in self.profile.vmids and not guest.template
            if half and self._marks(image) <= guest.tags and guest.node not in snapshot.offline:
                config = self.client.get(f"nodes/{guest.node}/qemu/{guest.vmid}/config", Deadline.after(READ_SECONDS))
                if not config.get("lock") and config.get("description") == _description(image):
                    found[guest.node] = guest.vmid
        return found

    def _marks(self, image: images.RoleImage) -> set[str]:
        prefix = self.profile.tag
        return {prefix, role_tag(prefix, image.role, image.release), digest_tag(prefix, image.digest)}

    def _nodes_without(self, image: images.RoleImage, begun: Mapping[str, int]) -> list[str]:
        """The nodes on which a template has to be made."""
        snapshot = self.cluster.read()
        online = [room.node for room in rooms(snapshot, self.profile.nodes, 0)]
        seen = [one for one in snapshot.storages if one.name == self.profile.storage and one.node in online]
        if not seen:
            raise EnvironmentLackError(
                f"storage {self.profile.storage}: no online node has it; see storage in the profile"
            )
        have = {guest.node for guest in snapshot.guests if guest.template and self._marks(image) <= guest.tags}
        have |= begun.keys()
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
        kept = not self._remove_upload(node, sources[0], Deadline.after(60))
        self.progress(label, f"ready; {sources[0]} may be deleted" if kept else "ready")
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
                    description=_description(image),
                    pool=self.profile.pool,
                    tags=";".join(sorted(self._marks(image))),
                    **options,
                )
                self.tasks.wait(upid, f"template {image.role}: import", deadline)
            except ApiError as problem:
                if problem.kind is Kind.EXISTS:
                    continue
                if problem.kind is not Kind.UNKNOWN:
                    raise
                if not self._appears(node, vmid, image, deadline):
                    continue
            return vmid

    def _appears(self, node: str, vmid: int, image: images.RoleImage, deadline: Deadline) -> bool:
        """Whether a creation whose answer was lost was carried out; while it runs, only its own task tells."""
        path, patience = f"nodes/{node}/qemu/{vmid}/config", deadline.sooner(LOST_SECONDS)
        for _ in deadline.ticks(1.0):
            running = self.tasks.running(node, "qmcreate", deadline)
            try:
                config = self.client.get(path, deadline)
            except ApiError as problem:
                if problem.kind not in {Kind.MISSING, Kind.DENIED}:
                    raise
                if not running and patience.expired:
                    return False
            else:
                if not config.get("lock"):
                    return bool(config.get("description") == _description(image))
        return False

    def _options(self, node: str, sources: Sequence[str], deadline: Deadline) -> dict[str, Any]:
        storage = self.profile.storage
        (seen,) = self.client.get(f"nodes/{node}/storage", deadline, storage=storage)
        kind = ",format=qcow2" if seen.get("type") in FILE_STORAGES else ""
        management = self.profile.management
        vlan = "" if management.vlan is None else f",tag={management.vlan}"
        options: dict[str, Any] = {
            "ostype": "l26",
            # Sleep in memory, which machine types from 9.2+pve1 on have only when asked.
            "machine": "pc,enable-s3=1",
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

    def _remove_upload(self, node: str, volume: str, deadline: Deadline) -> bool:
        """The disk was copied; the depot's stays for the next role. False when the token may not delete it.

        That takes Datastore.Allocate, with which it could delete everybody's disks: the documented role has it not.
        """
        storage = volume.partition(":")[0]
        try:
            upid = self.client.call("DELETE", f"nodes/{node}/storage/{storage}/content/{volume}", deadline)
            if isinstance(upid, str):
                self.tasks.wait(upid, f"removal of {volume}", deadline)
        except ApiError as problem:
            if problem.kind not in {Kind.DENIED, Kind.MISSING}:
                raise
            return problem.kind is Kind.MISSING
        return True


def _description(image: images.RoleImage) -> str:
    return f"plateau template of {image.role}-{image.release} {image.digest}"


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
