"""Templates: which there are, what their machines inherit, and which one a node can clone."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Guest, Snapshot
from labs.models.proxmox import ProxmoxProfile

READ_SECONDS = 30.0
READERS = 8
DISKS = ("scsi", "virtio", "sata", "ide")
VOLUMES = (*DISKS, "efidisk", "tpmstate")


@dataclass(frozen=True)
class Template:
    """A template, with what its configuration tells."""

    vmid: int
    node: str
    storage: str
    shared: bool
    ostype: str
    surplus: tuple[str, ...]
    """Options that a clone copies and must not keep: cards and addresses beyond those it is given."""

    @property
    def linux(self) -> bool:
        return self.ostype.startswith("l")


def role_tag(prefix: str, role: str, release: str) -> str:
    """The tag of a template that Plateau made of a role image."""
    return f"{prefix}.role.{role}-{release}"


def digest_tag(prefix: str, digest: str) -> str:
    """The tag that names the role image a template was made of."""
    return f"{prefix}.digest.{digest[:12]}"


class Templates:
    """Templates of the cluster by role and release; a configuration is read once."""

    def __init__(self, profile: ProxmoxProfile, client: Client) -> None:
        self._profile = profile
        self._client = client
        self._lock = threading.Lock()
        self._read: dict[int, Template] = {}

    def candidates(self, role: str, release: str, snapshot: Snapshot) -> list[Guest]:
        """The templates for a role: the one the profile names, or those made of the role image as it is now."""
        named = self._profile.templates.get(f"{role}-{release}")
        if named is not None:
            return [guest for guest in snapshot.guests if guest.vmid == named and guest.template]
        wanted = {self._profile.tag, role_tag(self._profile.tag, role, release)}
        digest = current_digest(role, release)
        if digest is not None:
            wanted.add(digest_tag(self._profile.tag, digest))
        return [guest for guest in snapshot.guests if guest.template and wanted <= guest.tags]

    def allowed(
        self, wanted: Sequence[tuple[str, str]], snapshot: Snapshot, hosts: Sequence[str]
    ) -> Mapping[tuple[str, str], frozenset[str]]:
        """The hosts that can clone each (role, release): a template's own, or all when its storage is shared."""
        found = {}
        guests = [guest for role, release in set(wanted) for guest in self.candidates(role, release, snapshot)]
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(lambda guest: self.read(guest, snapshot), guests))
        for role, release in set(wanted):
            able: set[str] = set()
            for guest in self.candidates(role, release, snapshot):
                able |= set(hosts) if self.read(guest, snapshot).shared else {guest.node}
            found[role, release] = frozenset(able & set(hosts))
        return found

    def choose(self, role: str, release: str, host: str, snapshot: Snapshot) -> Template:
        """A template that `host` can clone, its own first. Raises EnvironmentLackError that says how to get one."""
        found = [self.read(guest, snapshot) for guest in self.candidates(role, release, snapshot)]
        usable = [template for template in found if template.node == host or template.shared]
        if not usable:
            raise EnvironmentLackError(self.remedy(role, release))
        return min(usable, key=lambda template: (template.node != host, template.vmid))

    def remedy(self, role: str, release: str) -> str:
        """What to do when there is no template for a role."""
        from labs.images import can_build

        named = self._profile.templates.get(f"{role}-{release}")
        if named is not None:
            return f"templates.{role}-{release} of the profile: VM {named} is no template that the token can see"
        if not can_build(role, release):
            return (
                f"no template {role}-{release}, which Plateau cannot build (Windows, for one): give the VMID of yours "
                f"under templates in the profile, {{{role}-{release}: VMID}}"
            )
        return f"no template of role {role} ({release}); run plateau image build {role} --hypervisor PROFILE"

    def read(self, guest: Guest, snapshot: Snapshot) -> Template:
        """A template with its configuration. Raises ApiError when the token may not read it (VM.Audit)."""
        with self._lock:
            found = self._read.get(guest.vmid)
        if found is None:
            path = f"nodes/{guest.node}/qemu/{guest.vmid}/config"
            config = self._client.get(path, Deadline.after(READ_SECONDS))
            found = _template(guest, config, {one.name for one in snapshot.storages if one.shared})
            with self._lock:
                self._read[guest.vmid] = found
        return found

    def forget(self) -> None:
        """Read configurations again: templates were made or removed."""
        with self._lock:
            self._read.clear()


@functools.cache
def current_digest(role: str, release: str) -> str | None:
    """Digest of a role image as its data are now; None for a role that Plateau has no image of.

    Worked out once a process: it is asked for with every machine, and the data do not change meanwhile.
    """
    from labs.images import digests, model

    if not model.can_build(role, release):
        return None
    return digests.role_digest(model.load_base(), model.load_role(role), release)


def _template(guest: Guest, config: Mapping[str, Any], shared: set[str]) -> Template:
    storages, volumes = disks_of(config), _volumes_of(config)
    return Template(
        vmid=guest.vmid,
        node=guest.node,
        storage=storages[0] if storages else "",
        shared=bool(storages) and volumes <= shared,
        ostype=str(config.get("ostype") or "other"),
        surplus=tuple(sorted(name for name in config if name.rstrip("0123456789") in {"net", "ipconfig"})),
    )


def _volumes_of(config: Mapping[str, Any]) -> set[str]:
    """The storages that must be shared for a clone on another node: Proxmox VE asks that of CD drives too."""
    files = [str(value).partition(",")[0] for name, value in config.items() if name.rstrip("0123456789") in VOLUMES]
    return {file.partition(":")[0] for file in files if ":" in file}


def disks_of(config: Mapping[str, Any]) -> list[str]:
    """The storage of each disk, in the order of their names; CD drives are none."""
    return [
        str(value).partition(":")[0]
        for name, value in sorted(config.items())
        if name.rstrip("0123456789") in DISKS and "media=cdrom" not in str(value) and ":" in str(value)
    ]
