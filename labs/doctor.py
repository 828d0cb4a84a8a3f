"""What this machine lacks to run benches, one finding each, with the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labs.errors import EnvironmentLackError
from labs.models.profile import AnyProfile, Profile
from labs.paths import ROOT

PACKAGES = ROOT / "debian-packages.txt"
DISK_MB = 6144
"""Images of one lab (about 3 GB) with the room to build them."""
MEMORY_MB = 3072


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    package: str | None = None


def examine(profile: AnyProfile) -> list[Finding]:
    """Everything the profile's hypervisor needs, in a fixed order; for the embedded one, the image builder too."""
    if profile.driver == "proxmox":
        from labs.hypervisors.proxmox import doctor as cluster

        return cluster.examine(profile)
    return [*_programs(), _user_namespaces(), *_capacity(profile), _accelerator(profile)]


def packages() -> dict[str, str | None]:
    """The Debian packages of `debian-packages.txt`: package -> program that proves it, if any."""
    found: dict[str, str | None] = {}
    for line in PACKAGES.read_text().splitlines():
        if line and not line.startswith("#"):
            package, program = line.split()
            found[package] = None if program == "-" else program
    return found


def fix(findings: list[Finding]) -> None:
    """Install the Debian packages that are missing. Raises EnvironmentLackError when that is not possible."""
    missing = sorted({finding.package for finding in findings if finding.package and not finding.ok})
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        command.insert(0, "sudo")
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise EnvironmentLackError(f"could not run {' '.join(command)}: {problem}") from None


def _programs() -> list[Finding]:
    # /sbin is not on an ordinary user's PATH in Debian, and some of these programs live there.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    findings = []
    for package, program in packages().items():
        found = shutil.which(program, path=path) if program else _installed(package)
        told = found or "not found"
        findings.append(Finding(program or package, found is not None, told, f"apt-get install {package}", package))
    return findings


def _installed(package: str) -> str | None:
    """The package's version, as dpkg-query(1) knows it."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", package]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return None
    state, _, version = answer.partition(" ")
    return version.strip() if state[1:2] == "i" else None  # wanted or held, and there


def _user_namespaces() -> Finding:
    what = "image building"
    if os.geteuid() == 0:
        return Finding(what, True, "as root")
    user = os.environ.get("USER") or str(os.geteuid())
    names = {user, str(os.geteuid())}
    ranges = (Path("/etc/subuid"), Path("/etc/subgid"))
    missing = [str(path) for path in ranges if not any(line.split(":")[0] in names for line in _lines(path))]
    detail = f"{user} has no line in {' and '.join(missing)}" if missing else "in a user namespace"
    return Finding(what, not missing, detail, f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")


def _capacity(profile: Profile) -> list[Finding]:
    from labs.hypervisors import open_hypervisor

    host = open_hypervisor(profile).capacity()[0]
    return [
        Finding(
            "disk",
            host.disk_free_mb >= DISK_MB,
            f"{host.disk_free_mb} MiB free, {DISK_MB} wanted for images and a bench",
            "free some space, or point XDG_STATE_HOME and XDG_CACHE_HOME to another disk",
        ),
        Finding(
            "memory",
            host.memory_free_mb >= MEMORY_MB,
            f"{host.memory_free_mb} MiB available, {MEMORY_MB} wanted for one bench",
            "stop what uses memory on this machine",
        ),
    ]


def _accelerator(profile: Profile) -> Finding:
    from labs import images
    from labs.hypervisors.qemu import kvm

    if profile.accelerator != "auto":
        return Finding("accelerator", True, f"{profile.accelerator}, set by the profile")
    kernels = [image.kernel for image in images.list_images()]
    if not kernels:
        return Finding("accelerator", True, "not probed yet: the probe boots a kernel of a role image")
    if shutil.which("qemu-system-x86_64") is None:
        return Finding("accelerator", True, "not probed: QEMU is missing")
    works = kvm.usable(kernels[0])
    return Finding("accelerator", True, "KVM: a probe guest ran" if works else "software emulation (no usable KVM)")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
