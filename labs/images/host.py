"""What building images needs of this machine: programs, space, and a way to be root in a tree of files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from labs.errors import EnvironmentLackError
from labs.images.store import free_bytes

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "apt-config": "apt",
    "apt-ftparchive": "apt-utils",
    "busybox": "busybox-static",
    "grub-mkimage": "grub-common",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
}
"""Program -> the Debian package that has it."""

GRUB_DIR = Path("/usr/lib/grub/i386-pc")
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def environment() -> dict[str, str]:
    """The environment of the builder's programs: an ordinary user's PATH may lack /usr/sbin."""
    return {**os.environ, "PATH": _SEARCH_PATH, "LC_ALL": "C.UTF-8"}


def missing_programs() -> list[str]:
    """One line for each program that is not there, with its Debian package."""
    needs = dict(PROGRAMS)
    if not is_root():
        needs["newuidmap"] = "uidmap"
    lines = [
        f"{program}: not found (Debian package {package}); run ./bootstrap"
        for program, package in needs.items()
        if shutil.which(program, path=_SEARCH_PATH) is None
    ]
    if not (GRUB_DIR / "boot.img").exists():
        lines.append("GRUB's boot.img: not found (Debian package grub-pc-bin); run ./bootstrap")
    return lines


def check_programs() -> None:
    """Raise EnvironmentLackError for the first missing program."""
    for line in missing_programs():
        raise EnvironmentLackError(line)


def check_space(path: Path, needed_bytes: int) -> None:
    """Raise EnvironmentLackError, telling both figures, when `path` has not `needed_bytes` free."""
    free = free_bytes(path)
    if free < needed_bytes:
        raise EnvironmentLackError(f"{path}: {needed_bytes >> 20} MB needed to build images, {free >> 20} MB free")


def is_root() -> bool:
    return os.geteuid() == 0


def mode() -> str:
    """How mmdebstrap gets a root's rights over the tree."""
    return "root" if is_root() else "unshare"


def as_root(*command: str) -> list[str]:
    """`command` with a root's rights over the tree: ours, or those of our subordinate user ids."""
    return [*command] if is_root() else ["mmdebstrap", "--unshare-helper", *command]


def apt_acquire_options() -> str:
    """This machine's way through proxies and its validity rules, as lines of an apt.conf."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", '%f "%v";%n'], env=environment(), capture_output=True, text=True, check=True
    ).stdout
    names = ("acquire::http::", "acquire::https::", "acquire::retries", "acquire::check-")
    lines = [line for line in dump.splitlines() if line.lower().startswith(names)]
    return "".join(f"{line}\n" for line in lines if "detect" not in line.lower())
