"""Remove from the cache what no machine uses and no current image needs: older builds and their RAM templates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from labs import images
from labs.hypervisors.qemu.machine import all_machines
from labs.images import store
from labs.paths import cache_dir, state_dir


def prune() -> tuple[list[str], int]:
    """Names of the folders removed, and how many bytes they took."""
    with store.lock():
        kept = _used() | _current()
        removed, size = [], 0
        for folder in [*_folders(cache_dir() / "templates"), *_folders(store.images_dir())]:
            if folder not in kept:
                size += sum(store.allocated_bytes(file) for file in folder.rglob("*") if file.is_file())
                shutil.rmtree(folder)
                removed.append(folder.name)
        for lock in (cache_dir() / "templates").glob("*.lock"):
            if not lock.with_suffix("").exists():
                lock.unlink()
    return removed, size


def _used() -> set[Path]:
    """What the disks of existing machines rest on."""
    used: set[Path] = set()
    for _, content in all_machines(state_dir() / "qemu"):
        paths = [content.kernel, content.depot, f"{content.template}/disk.qcow2" if content.template else None]
        used |= {Path(path).parent for path in paths if path}
    return used


def _current() -> set[Path]:
    """Images as their data are now, with the trees they are layers of, the depots, and their templates."""
    current: set[Path] = set()
    digests: set[str] = set()
    for release in images.RELEASES:
        for role in images.role_names():
            image = images.find(role, release)
            if image is not None:
                current.add(image.disk.parent)
                digests.add(image.digest)
        depot = images.find_depot(release)
        if depot is not None:
            current.add(depot.parent)
        base = images.find_base(release)
        if base is not None:
            current.add(base)
    for folder in _folders(cache_dir() / "templates"):
        if json.loads((folder / "meta.json").read_text())["image"] in digests:
            current.add(folder)
    return current


def _folders(parent: Path) -> list[Path]:
    return sorted(path.parent for path in parent.glob("*/meta.json"))
