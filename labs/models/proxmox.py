"""The profile of a Proxmox VE cluster: how to reach it, what of it is ours, and how much at once."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from labs.errors import EnvironmentLackError, InputError
from labs.models.loader import Strict

StorageId = Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]$")]
Interface = Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_.]{0,14}$")]
TemplateName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*-[a-z0-9.]+$")]
"""`role-release`; in small letters, as Proxmox VE keeps tags."""
DEFAULT_PORT = 8006


def _host(value: object) -> object:
    """`name`, `name:port`, `[IPv6]`; what is copied from a browser's address line is said to be too much."""
    text = str(value).strip()
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", text):
        raise ValueError(f"{text!r} is not a name or address with an optional port; write pve1.example.org:8006")
    return text


def _fingerprint(value: object) -> object:
    if value is None:
        return None
    digits = re.sub(r"(?i)^\s*(sha-?256\b)?\s*(fingerprint)?\s*[=:]?\s*|[\s:]", "", str(value))
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
        raise ValueError(
            "a SHA-256 fingerprint has 64 hexadecimal digits: openssl x509 -noout -fingerprint -sha256 "
            "-in /etc/pve/local/pve-ssl.pem (or pveproxy-ssl.pem, where there is one)"
        )
    return ":".join(digits[start : start + 2].upper() for start in range(0, 64, 2))


def _only_secret(text: str, where: str) -> str:
    if "=" in text or "!" in text or len(text.split()) > 1:
        raise InputError(f"{where}: only the secret belongs there, without the token's name before it")
    return text


class Range(Strict):
    """Whole numbers, both ends included."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.first > self.last:
            raise ValueError("first is greater than last")
        return self

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1


class BridgeNetwork(Strict):
    """Segments are VLANs of one bridge, which must carry them between the nodes."""

    mode: Literal["bridge"]
    bridge: Interface
    vlans: Range = Range(first=2000, last=2999)

    @model_validator(mode="after")
    def _are_vlans(self) -> BridgeNetwork:
        if self.vlans.last > 4094:
            raise ValueError("vlans: the last VLAN of 802.1Q is 4094")
        return self


class SdnNetwork(Strict):
    """Segments are VNets of one SDN zone, made and deleted by Plateau."""

    mode: Literal["sdn"]
    zone: str = Field(pattern=r"^[a-z][a-z0-9]{0,7}$")
    tags: Range = Range(first=2000, last=3999)
    """VLAN or VNI of the VNets, in the zone types that want one (vlan, qinq, vxlan, evpn)."""


class Management(Strict):
    """The leg by which the grader reaches every machine: its first card, filtered by the Proxmox firewall."""

    bridge: Interface
    vlan: int | None = Field(default=None, ge=1, le=4094)
    network: ipaddress.IPv4Network
    first: ipaddress.IPv4Address
    """Address of the machine with the first VMID; the others follow in the order of the VMIDs."""
    gateway: ipaddress.IPv4Address | None = None
    """Only where the grader is in another network: a machine then has a route out, which the firewall closes."""
    firewall: bool = True
    """False where the bridge itself isolates its ports and leads to the grader only."""


class Candidates(Strict):
    """A Proxmox user for each candidate, who opens the consoles of the own machines and nothing else."""

    realm: str = Field(default="pve", pattern=r"^[A-Za-z][A-Za-z0-9.-]+$")
    role: str = "PlateauCandidate"


class Caps(Strict):
    """How much is asked of the cluster at once."""

    clones_per_storage: int = Field(default=8, ge=1, le=64)
    clones_per_node: int = Field(default=8, ge=1, le=64)
    boots_per_node: int = Field(default=16, ge=1, le=256)
    """Machines of a node between their start and the first answer of their agent."""
    agents_per_node: int = Field(default=3, ge=1, le=16)
    """Agent calls of a node at once: one without an answer holds one of pvedaemon's three workers for 3 s."""
    gradings_per_node: int = Field(default=4, ge=1, le=64)
    """Benches with machines on a node that are graded at once: probes of too many would disturb each other."""
    requests: int = Field(default=24, ge=1, le=64)
    machines: int = Field(default=128, ge=1, le=1024)
    """Machines that the executor works on at once."""


class ProxmoxProfile(Strict):
    """A Proxmox VE cluster, through its API and with a token of its own."""

    driver: Literal["proxmox"]
    hosts: list[Annotated[str, BeforeValidator(_host)]] = Field(min_length=1)
    """API addresses, `name` or `name:port`; the next is tried when one cannot be reached."""
    token: str = Field(pattern=r"^[^@\s]+@[A-Za-z][A-Za-z0-9.-]+![A-Za-z][A-Za-z0-9._-]+$")
    """`user@realm!tokenid`."""
    secret_env: str | None = None
    """Name of the environment variable that holds the token's secret."""
    secret_file: Path | None = None
    """Or a file that only its owner can read; relative to the profile's folder."""
    ca_file: Path | None = None
    """Certificate authority of the API (/etc/pve/pve-root-ca.pem of a node); by default the system's."""
    fingerprint: Annotated[str | None, BeforeValidator(_fingerprint)] = None
    """Or the SHA-256 fingerprint of the one certificate that is accepted, as the web interface, pvenode or openssl
    show it; with a single host, since each node has its own."""
    nodes: list[str] = Field(default_factory=list)
    """Nodes that may carry machines; every online one when empty."""
    pool: str = Field(default="plateau", pattern=r"^[A-Za-z][A-Za-z0-9._-]*$")
    """Parent pool, made once by the administrator; each session has a pool below it."""
    tag: str = Field(default="plateau", pattern=r"^[a-z][a-z0-9_]*$")
    vmids: Range = Range(first=20000, last=29999)
    storage: StorageId = "local"
    """Where templates that Plateau builds have their disks; clones are made beside them."""
    import_storage: StorageId | None = None
    """Where role images are uploaded (content `import`); by default `storage`."""
    templates: dict[TemplateName, int] = Field(default_factory=dict)
    """Templates made by others: `role-release` -> VMID. Plateau's own are found by their tags."""
    accelerator: Literal["kvm", "tcg"] = "kvm"
    """`tcg` for nodes without hardware virtualization."""
    cpu: str | None = None
    """CPU type given to machines; by default the template's."""
    network: BridgeNetwork | SdnNetwork = Field(discriminator="mode")
    management: Management
    candidates: Candidates | None = None
    caps: Caps = Caps()
    parallel: int | None = Field(default=None, ge=1, le=64)
    """Benches graded at once; by default the cores of this machine."""
    memory_reserve_mb: int = Field(default=2048, ge=0)
    """Memory of each node that benches must leave free."""

    @model_validator(mode="after")
    def _consistent(self) -> ProxmoxProfile:
        if (self.secret_env is None) == (self.secret_file is None):
            raise ValueError("give either secret_env or secret_file")
        if self.ca_file is not None and self.fingerprint is not None:
            raise ValueError("give either ca_file or fingerprint")
        if self.fingerprint is not None and len(self.hosts) > 1:
            raise ValueError(
                "fingerprint: it is of one certificate, and each node has its own; with several hosts give ca_file "
                "(/etc/pve/pve-root-ca.pem of a node), or name one host"
            )
        if self.vmids.first < 100:
            raise ValueError("vmids: Proxmox VE's begin at 100")
        network, first = self.management.network, self.management.first
        if first not in network or first + len(self.vmids) - 1 >= network.broadcast_address:
            raise ValueError(
                f"management: {len(self.vmids)} addresses, one a VMID, are wanted from {first} in {network}; "
                "shorten vmids or give a larger network"
            )
        return self

    @property
    def instant(self) -> bool:
        """Machines boot from cold."""
        return False

    @property
    def workers(self) -> int:
        """Machines that the executor works on at once; what runs at once in the cluster is bounded by the caps."""
        return self.caps.machines

    def address(self, vmid: int) -> ipaddress.IPv4Interface:
        """Management address of the machine with that VMID."""
        number = self.management.first + (vmid - self.vmids.first)
        return ipaddress.IPv4Interface(f"{number}/{self.management.network.prefixlen}")

    def beside(self, path: Path) -> ProxmoxProfile:
        """This profile with its relative files taken from the folder of `path`, the file it was read from."""
        found = {
            name: path.parent / value
            for name in ("secret_file", "ca_file")
            if (value := getattr(self, name)) is not None
        }
        return self.model_copy(update=found)

    def secret(self) -> str:
        """The token's secret. Raises EnvironmentLackError or InputError that name where it should be."""
        if self.secret_env is not None:
            value = _only_secret(os.environ.get(self.secret_env, "").strip(), self.secret_env)
            if not value:
                raise EnvironmentLackError(
                    f"{self.secret_env} is not set; it must hold the secret of token {self.token}"
                )
            return value
        assert self.secret_file is not None
        try:
            mode = self.secret_file.stat().st_mode
            text = self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise EnvironmentLackError(
                f"{self.secret_file}: secret_file cannot be read ({problem}); put the secret of {self.token} there"
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            raise InputError(f"{self.secret_file}: others can read it; run chmod 600 {self.secret_file}")
        if not text:
            raise InputError(f"{self.secret_file}: empty; it must hold the secret of token {self.token}")
        return _only_secret(text, str(self.secret_file))
