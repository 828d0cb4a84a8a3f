"""The initramfs: busybox, the disk's kernel modules and a short script, as a cpio archive written without root."""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from labs.errors import EnvironmentLackError
from labs.images.boot import INIT

_APPLETS = ("cat", "findfs", "insmod", "loadkmap", "mount", "sh", "sleep", "switch_root")


def module_order(modules_dep: str, wanted: Sequence[str]) -> list[str]:
    """Files to load, dependencies first, for `wanted` module names; those built into the kernel are left out.

    >>> module_order("a/virtio_blk.ko: a/virtio.ko\\na/virtio.ko:", ["virtio_blk", "ext4"])
    ['a/virtio.ko', 'a/virtio_blk.ko']
    """
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        path, _, rest = line.partition(":")
        needs[path.strip()] = rest.split()
    by_name = {posixpath.basename(path).split(".ko")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []

    def visit(path: str) -> None:
        for need in needs[path]:
            visit(need)
        if path not in order:
            order.append(path)

    for name in wanted:
        if name in by_name:
            visit(by_name[name])
    return order


def build(modules_dir: Path, wanted: Sequence[str], keyboard: bytes) -> bytes:
    """The archive for the kernel whose `/lib/modules/VERSION` is `modules_dir`; it loads the modules `wanted`.

    `keyboard` is a binary key map.
    """
    shell = shutil.which("busybox")
    if shell is None:
        raise EnvironmentLackError("busybox: not found (Debian package busybox-static); run ./bootstrap")
    order = module_order((modules_dir / "modules.dep").read_text(), wanted)
    names = [posixpath.basename(path).split(".ko")[0] + ".ko" for path in order]
    archive = Cpio()
    for folder in ("bin", "dev", "modules", "proc", "root", "sys"):
        archive.folder(folder)
    archive.console("dev/console")
    archive.file("bin/busybox", Path(shell).read_bytes(), 0o755)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for path, name in zip(order, names, strict=True):
        archive.file(f"modules/{name}", _read_module(modules_dir / path))
    archive.file("modules/order", "".join(f"{name}\n" for name in names).encode())
    archive.file("keyboard.bmap", keyboard)
    archive.file("init", INIT.encode(), 0o755)
    return archive.finish()


def _read_module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


class Cpio:
    """A cpio archive in the "newc" format that the kernel unpacks."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def folder(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self, name: str) -> None:
        """The console device, which the kernel opens before any script runs."""
        self._add(name, stat.S_IFCHR | 0o600, device=(5, 1))

    def finish(self) -> bytes:
        self._add("TRAILER!!!", 0)
        return bytes(self._data)

    def _add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        header: Mapping[str, int] = {
            "inode": self._inode, "mode": mode, "uid": 0, "gid": 0, "links": 1, "mtime": 0, "size": len(data),
            "major": 0, "minor": 0, "rmajor": device[0], "rminor": device[1], "name": len(encoded), "check": 0,
        }  # fmt: skip
        self._data += b"070701" + b"".join(b"%08x" % value for value in header.values()) + encoded
        self._pad()
        self._data += data
        self._pad()

    def _pad(self) -> None:
        self._data += b"\0" * (-len(self._data) % 4)
