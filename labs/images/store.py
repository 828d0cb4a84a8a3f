"""The image cache: one folder an image, named by role, release and digest, complete or absent."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs.deadline import Deadline
from labs.images import digests, model
from labs.paths import cache_dir

LOCK_SECONDS = 3600.0


@dataclass(frozen=True)
class RoleImage:
    """A built image: a disk that boots by itself, and its kernel and initramfs for direct boots."""

    role: str
    release: str
    digest: str
    disk: Path
    kernel: Path
    initrd: Path
    built: float
    """Unix time."""
    size_bytes: int
    """What the disk takes on the host."""


def images_dir() -> Path:
    return cache_dir() / "images"


def find(role: str, release: str) -> RoleImage | None:
    """The image of `role` as its data are now, or None when it has to be built.

    Raises InputError for an unknown role, EnvironmentLackError for a release that cannot be built.
    """
    model.check_release(release)
    folder = newest(role, release, digests.role_digest(model.load_base(), model.load_role(role), release))
    return None if folder is None else _image(folder)


def find_depot(release: str) -> Path | None:
    """The disk image of the package depot, or None when it has to be built."""
    model.check_release(release)
    folder = newest("depot", release, digests.depot_digest(model.load_base(), model.load_depot(), release))
    return None if folder is None else folder / "depot.img"


def find_base(release: str) -> Path | None:
    """Folder of the base tree that roles are layers of, or None when it has to be built."""
    model.check_release(release)
    return newest("base", release, digests.base_digest(model.load_base(), release))


def list_images() -> list[RoleImage]:
    """Every image in the cache, those of older data too, by role and age."""
    images = [_image(folder) for folder in _complete("*") if (folder / "disk.qcow2").exists()]
    return sorted(images, key=lambda image: (image.role, image.release, -image.built))


def newest(kind: str, release: str, digest: str) -> Path | None:
    """The latest complete folder of this content; a forced build adds one rather than replace what runs."""
    folders = list(_complete(f"{kind}-{release}-{digest[:12]}*"))
    return max(folders, key=lambda folder: float(meta(folder)["built"]), default=None)


def meta(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    return data


def publish(work: Path, kind: str, release: str, digest: str, facts: Mapping[str, object]) -> Path:
    """Make the complete folder `work` the newest image of its kind, in one step."""
    content = {"role": kind, "release": release, "digest": digest, **facts}
    (work / "meta.json").write_text(json.dumps(content, indent=1, sort_keys=True))
    name = f"{kind}-{release}-{digest[:12]}"
    target = images_dir() / name
    number = 2
    while target.exists():
        target = images_dir() / f"{name}-{number}"
        number += 1
    work.chmod(0o755)
    work.rename(target)
    return target


@contextmanager
def lock() -> Iterator[None]:
    """Hold the cache for one builder; the lock goes with the process, however it ends."""
    images_dir().mkdir(parents=True, exist_ok=True)
    with (images_dir() / ".lock").open("w") as file:

        def take() -> bool | None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return True

        Deadline.after(LOCK_SECONDS).poll(take, "another build of images", interval=0.5)
        yield


def free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def allocated_bytes(path: Path) -> int:
    """What a file takes on the disk, holes not counted."""
    return path.stat().st_blocks * 512


def link(source: Path, target: Path) -> None:
    """A second name for a file that never changes; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _complete(pattern: str) -> Iterator[Path]:
    return (path.parent for path in images_dir().glob(f"{pattern}/meta.json"))


def _image(folder: Path) -> RoleImage:
    facts = meta(folder)
    return RoleImage(
        role=facts["role"],
        release=facts["release"],
        digest=facts["digest"],
        disk=folder / "disk.qcow2",
        kernel=folder / "vmlinuz",
        initrd=folder / "initrd",
        built=float(facts["built"]),
        size_bytes=int(facts["size_bytes"]),
    )
