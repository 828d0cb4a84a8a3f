"""A cluster to test against, with the privileges that docs/proxmox.md gives to Plateau's token and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox.privileges import required
from labs.hypervisors.proxmox.templates import current_digest, digest_tag, role_tag
from labs.models.proxmox import ProxmoxProfile
from tests.pve_proxy.model import Pace, Sdn
from tests.pve_proxy.proxy import Proxy

TOKEN = "plateau@pve!plateau"
SECRET = "a-secret-of-the-tests"
SECRET_VARIABLE = "PLATEAU_TEST_SECRET"
STRANGER = 150
"""A machine of somebody else, outside our range; another is inside it, without our marks."""


@dataclass(frozen=True)
class Wanted:
    """What the cluster has."""

    nodes: tuple[str, ...] = ("pve1",)
    storages: Mapping[str, bool] = field(default_factory=lambda: {"local": False})
    """Name -> shared between the nodes."""
    roles: tuple[str, ...] = ("ws",)
    zone: str = "simple"
    node_memory_mb: int = 65536
    network: str = "sdn"
    options: Mapping[str, Any] = field(default_factory=dict)
    """More of the profile."""


@dataclass(frozen=True)
class Place:
    """The proxy, and the profile that leads to it."""

    proxy: Proxy
    profile: ProxmoxProfile

    def vmid(self, key: NodeKey) -> int:
        """Number of the machine that carries the tags of `key`."""
        wanted = {f"{self.profile.tag}.{letter}.{part}" for letter, part in zip("scn", vars(key).values(), strict=True)}
        for one in self.proxy.as_root("GET", "/cluster/resources"):
            if wanted <= set(str(one.get("tags", "")).split(";")):
                return int(one["vmid"])
        raise KeyError(key)


def profile_data(wanted: Wanted, port: int, certificate: Path) -> dict[str, Any]:
    """The profile as its file would have it."""
    network: dict[str, Any] = {"mode": "sdn", "zone": "zone1"}
    if wanted.network == "bridge":
        network = {"mode": "bridge", "bridge": "vmbr1", "vlans": {"first": 100, "last": 999}}
    return {
        "driver": "proxmox",
        "hosts": [f"127.0.0.1:{port}"],
        "token": TOKEN,
        "secret_env": SECRET_VARIABLE,
        "ca_file": str(certificate),
        "vmids": {"first": 20000, "last": 22999},
        "storage": next(iter(wanted.storages)),
        "network": network,
        "management": {"bridge": "vmbr0", "network": "10.66.0.0/16", "first": "10.66.1.0"},
        **wanted.options,
    }


@contextmanager
def cluster(folder: Path, wanted: Wanted = Wanted(), pace: Pace | None = None) -> Iterator[Place]:
    """A running cluster; the caller puts SECRET into the environment variable SECRET_VARIABLE."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = folder / "fakepve.crt"
    profile = ProxmoxProfile.model_validate(profile_data(wanted, 1, certificate))
    with _fakepve(folder, _content(wanted, profile)) as port:
        sdn = Sdn({"zone1": wanted.zone})
        proxy = Proxy(
            port,
            certificate,
            pace=pace or Pace(),
            sdn=sdn,
            node_memory_mb=wanted.node_memory_mb,
            nodes=list(wanted.nodes),
            token=f"{TOKEN}={SECRET}",
        )
        proxy.start()
        try:
            made = ProxmoxProfile.model_validate(profile_data(wanted, proxy.port, certificate))
            (folder / "profile.json").write_text(made.model_dump_json())
            yield Place(proxy, made)
        finally:
            proxy.stop()


@contextmanager
def _fakepve(folder: Path, content: dict[str, Any]) -> Iterator[int]:
    program = [sys.executable, str(Path(__file__).with_name("cluster.py")), str(folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(content) + "\n")
        process.stdin.flush()
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(20)


def _content(wanted: Wanted, profile: ProxmoxProfile) -> dict[str, Any]:
    grants = [[TOKEN, one.path, sorted(one.privileges)] for one in required(profile, wanted.nodes)]
    return {
        "nodes": wanted.nodes,
        "storages": wanted.storages,
        "pools": [profile.pool],
        "tokens": {TOKEN: SECRET},
        "grants": grants,
        "guests": [*_templates(wanted, profile), *_strangers(wanted)],
    }


def _templates(wanted: Wanted, profile: ProxmoxProfile) -> Iterator[dict[str, Any]]:
    number = profile.vmids.last
    for storage, shared in list(wanted.storages.items())[:1]:
        for node in wanted.nodes[:1] if shared else wanted.nodes:
            for role in wanted.roles:
                tags = [profile.tag, role_tag(profile.tag, role, "trixie")]
                tags.append(digest_tag(profile.tag, current_digest(role, "trixie") or ""))
                config = {
                    "scsi0": f"{storage}:{number}/base-{number}-disk-0.qcow2,size=8G",
                    "ide2": f"{storage}:{number}/vm-{number}-cloudinit.qcow2,media=cdrom",
                    "net0": "virtio=BC:24:11:4B:00:71,bridge=vmbr0",
                    "net7": "virtio=BC:24:11:4B:00:72,bridge=vmbr0",
                    "ipconfig0": "ip=dhcp",
                    "scsihw": "virtio-scsi-pci",
                    "ostype": "l26",
                    "agent": "1",
                    "serial0": "socket",
                    "memory": "512",
                    "tags": ";".join(tags),
                    "template": 1,
                }
                yield {
                    "vmid": number,
                    "name": f"plateau-{role}",
                    "node": node,
                    "template": True,
                    "config": config,
                    "pool": profile.pool,
                }
                number -= 1


def _strangers(wanted: Wanted) -> Iterator[dict[str, Any]]:
    for number in (STRANGER, 20001):
        config = {"scsi0": f"local:{number}/vm-{number}-disk-0.qcow2,size=8G", "memory": "1024"}
        yield {"vmid": number, "name": f"stranger-{number}", "node": wanted.nodes[0], "config": config}
