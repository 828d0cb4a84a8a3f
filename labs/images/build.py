"""Build what is missing of a release: its base tree, role images on top of it, and the package depot."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from labs.images import boot, depot, digests, disk, host, kernel, model, store
from labs.images.aptsources import debian_archive
from labs.images.model import FileEntry, Role
from labs.images.stage import Log, Stage, install_lines
from labs.images.store import RoleImage

Progress = Callable[[str, str], None]

_BASE_MB, _ROLE_MB, _DEPOT_MB = 1500, 3000, 1200
_WORK_PREFIX = f"plateau-images-{os.getuid()}-"
_VERSIONS = "/plateau-versions.tsv"


def build(
    roles: Sequence[str],
    release: str = model.DEFAULT_RELEASE,
    *,
    progress: Callable[[str, str], None],
    mirror: str | None = None,
    force: bool = False,
) -> list[RoleImage]:
    """Return the images of `roles`, and make sure of the release's depot; only what is missing or outdated is built.

    `progress(role, step)` is called as each step begins, from several threads. With `force` everything is built
    again, beside the images that running machines may use. Raises InputError for an unknown role, EnvironmentLackError
    for what the machine lacks, BuildFailedError with the path of the log.
    """
    model.check_release(release)
    wanted = [model.load_role(name) for name in dict.fromkeys(roles)]
    missing = [role for role in wanted if force or store.find(role.name, release) is None]
    if missing or force or store.find_depot(release) is None:
        host.check_programs()
        progress("base", "waiting for the image cache")
        with store.lock():
            _Build(release, mirror, progress).run(missing, force=force)
    return [image for role in wanted if (image := store.find(role.name, release)) is not None]


@dataclass(frozen=True)
class _Build:
    release: str
    mirror: str | None
    progress: Progress

    def run(self, roles: Sequence[Role], *, force: bool) -> None:
        _remove_leftovers()
        roles = [role for role in roles if force or store.find(role.name, self.release) is None]
        with_depot = force or store.find_depot(self.release) is None
        if not roles and not with_depot:
            return
        host.check_space(store.images_dir(), (_BASE_MB + _ROLE_MB * len(roles[:2]) + _DEPOT_MB) << 20)
        base = self._base(force=force)
        with_depot = with_depot or self._depot_is_older(base)
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(self._depot, base)] if with_depot else []
            jobs += [pool.submit(self._role, role, base) for role in roles]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _depot_is_older(self, base: Path) -> bool:
        """Whether packages of the depot may ask for exact versions that a newer base tree no longer has."""
        depot_image = store.find_depot(self.release)
        built = 0.0 if depot_image is None else float(store.meta(depot_image.parent)["built"])
        return built < float(store.meta(base)["built"])

    def _base(self, *, force: bool) -> Path:
        data = model.load_base()
        digest = digests.base_digest(data, self.release)
        found = store.newest("base", self.release, digest)
        if found is not None and not force:
            return found
        with self._work("base") as (work, folder, log):
            self.progress("base", "Debian packages")
            packages = data.package_names(self.release)
            stage = self._stage(work, log)
            tree = folder / "root.tar"
            hooks = stage.files_hooks("base", data.files, data.commands)
            stage.make(packages, tree, f"base {self.release}", [*hooks, *_versions_hooks(folder)])
            self.progress("base", "kernel and initramfs")
            version = kernel.take(tree, folder, boot.KERNEL_MODULES)
            facts = {"packages": _versions(folder, packages), "kernel": version, "built": time.time()}
            return store.publish(folder, "base", self.release, digest, facts)

    def _role(self, role: Role, base: Path) -> None:
        data = model.load_base()
        with self._work(role.name) as (work, folder, log):
            packages = role.package_names(self.release)
            self.progress(role.name, "packages")
            tree = work / "role.tar"
            stage = self._stage(work, log)
            files = [FileEntry(path="/boot/grub/grub.cfg", content=boot.GRUB_CFG), *role.files, *_dpkg_filters(data)]
            script = [*install_lines(packages), *_own_kernel(role), *role.commands, *_units(role, data), *data.finish]
            hooks = stage.files_hooks("role", files, script)
            hooks = [f'mkdir -p "$1{kernel.BOOT_DIR}"', *_versions_hooks(folder, hooks)]
            stage.extend(base / "root.tar", tree, f"{role.name} {self.release}", hooks)
            if role.kernel is None:
                version = store.meta(base)["kernel"]
                for name in kernel.BOOT_FILES:
                    store.link(base / name, folder / name)
            else:
                version = kernel.take(tree, folder, boot.OWN_KERNEL_MODULES)
            kernel.put(tree, folder)
            self.progress(role.name, "disk")
            disk.build(tree, work, folder / "disk.qcow2", log, f"{role.name} {self.release}: disk")
            explicit = [*data.package_names(self.release), *packages]
            facts = {
                "packages": _versions(folder, explicit),
                "kernel": version,
                "built": time.time(),
                "size_bytes": store.allocated_bytes(folder / "disk.qcow2"),
            }
            store.publish(folder, role.name, self.release, digests.role_digest(data, role, self.release), facts)
        self.progress(role.name, "done")

    def _depot(self, base: Path) -> None:
        data = model.load_depot()
        with self._work("depot") as (work, folder, log):
            self.progress("depot", "packages")
            names = data.package_names(self.release)
            count = depot.build(self._stage(work, log), base / "root.tar", names, folder, log)
            shutil.rmtree(folder / "debs")
            size = store.allocated_bytes(folder / "depot.img")
            facts = {"built": time.time(), "debs": count, "size_bytes": size}
            digest = digests.depot_digest(model.load_base(), data, self.release)
            store.publish(folder, "depot", self.release, digest, facts)
        self.progress("depot", "done")

    def _stage(self, work: Path, log: Log) -> Stage:
        sources = debian_archive(self.mirror).lines(self.release)
        return Stage(self.release, sources, work, log, model.load_base().path_filters)

    @contextlib.contextmanager
    def _work(self, name: str) -> Iterator[tuple[Path, Path, Log]]:
        """A scratch folder for trees, the folder that becomes the image, and the log, kept when the build fails."""
        logs = store.images_dir() / "logs"
        logs.mkdir(exist_ok=True)
        log = Log(logs / f"{name}-{self.release}.log")
        log.path.write_bytes(b"")
        folder = Path(tempfile.mkdtemp(prefix=f".tmp-{name}-", dir=store.images_dir()))
        # An ordinary user's trees belong to subordinate user ids, which may not enter the user's own folders.
        work = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=None if not host.is_root() else store.images_dir()))
        work.chmod(0o1777)
        try:
            yield work, folder, log
            log.path.unlink()
        finally:
            _remove(work)
            shutil.rmtree(folder, ignore_errors=True)


def _own_kernel(role: Role) -> list[str]:
    return [] if role.kernel is None else [*install_lines([role.kernel]), *kernel.replace_lines(role.kernel)]


def _units(role: Role, base: model.Base) -> list[str]:
    disabled = [*base.disabled, *role.disabled]
    lines = [f"systemctl disable {unit} 2>/dev/null || true" for unit in disabled]
    return [*lines, *(f"ln -sf /dev/null /etc/systemd/system/{unit}" for unit in base.masked)]


def _dpkg_filters(base: model.Base) -> list[FileEntry]:
    return [FileEntry(path="/etc/dpkg/dpkg.cfg.d/plateau", content="".join(f"{line}\n" for line in base.path_filters))]


def _versions_hooks(folder: Path, then: Sequence[str] = ()) -> list[str]:
    """Hooks that run `then` and write every package's version to `folder`."""
    query = f'chroot "$1" dpkg-query -W -f "\\${{Package}}\\t\\${{Version}}\\n" > "$1{_VERSIONS}"'
    return [*then, query, f"download {_VERSIONS} {folder}/versions.tsv", f'rm "$1{_VERSIONS}"']


def _versions(folder: Path, names: Sequence[str]) -> dict[str, str]:
    file = folder / "versions.tsv"
    versions = dict(line.split("\t", 1) for line in file.read_text().splitlines())
    file.unlink()
    return {name: versions[name] for name in names if name in versions}


def _remove_leftovers() -> None:
    """What a killed build left; the lock is held, so nobody uses it."""
    for place in {store.images_dir(), Path(tempfile.gettempdir())}:
        for path in place.glob(f"{_WORK_PREFIX}*"):
            _remove(path)
    for path in store.images_dir().glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _remove(work: Path) -> None:
    """Delete a scratch folder: first what is ours, then what belongs to our subordinate user ids."""
    shutil.rmtree(work, ignore_errors=True)
    if work.exists():
        command = host.as_root("find", str(work), "-xdev", "-mindepth", "1", "-delete")
        subprocess.run(command, env=host.environment(), stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(work, ignore_errors=True)
