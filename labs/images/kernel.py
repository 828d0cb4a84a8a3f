"""The kernel of a tree: taken out of its tar with the initramfs that starts it, and put where GRUB finds both."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from labs.images import initramfs

BOOT_DIR = "/boot/plateau"
BOOT_FILES = ("vmlinuz", "initrd")


def take(tree: Path, folder: Path, wanted: Sequence[str]) -> str:
    """Write the tree's kernel and its initramfs, which loads `wanted`, to `folder`; return the kernel's version."""
    modules = folder / "modules"
    with tarfile.open(tree) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name.startswith("boot/vmlinuz-") and (data := archive.extractfile(member)) is not None:
                (folder / "vmlinuz").write_bytes(data.read())
                version = name.removeprefix("boot/vmlinuz-")
            elif name == "etc/plateau/keyboard.bmap" and (data := archive.extractfile(member)) is not None:
                keyboard = data.read()
            elif "lib/modules/" in name and member.isfile() and (data := archive.extractfile(member)) is not None:
                target = modules / name.partition("lib/modules/")[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data.read())
    (folder / "initrd").write_bytes(initramfs.build(modules / version, wanted, keyboard))
    shutil.rmtree(modules)
    return version


def put(tree: Path, folder: Path) -> None:
    """Add the kernel and the initramfs of `folder` to the tree's tar."""
    with tarfile.open(tree, "a", format=tarfile.GNU_FORMAT) as archive:
        for name in BOOT_FILES:
            data = (folder / name).read_bytes()
            entry = tarfile.TarInfo(f".{BOOT_DIR}/{name}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


def replace_lines(package: str) -> Sequence[str]:
    """Script lines that remove the kernel packages of a tree, but for those that `package` brought."""
    keep = f"dpkg-query -W -f '${{Depends}}' {package} | grep -o 'linux-image-[^ ,]*'"
    every = "dpkg-query -W -f '${Package}\\n' 'linux-image-*'"
    return [f"apt-get --yes purge $({every} | grep -vxF -e {package} -e $({keep}))"]
