"""What the updates' trial puts back on the workstation: standard library only; `remote_night` is sent with it."""

import contextlib
import os
import time
import urllib.parse
import urllib.request
from pathlib import Path

from graders.cp02_workstation.remote_state import LISTS, at_work, run, said, selection, version

CLIENTS = ("chrony", "ntpsec", "ntp", "openntpd", "systemd-timesyncd")
KEPT = ("/etc/apt", "/var/backups", "/var/lib", "/srv", "/root", "/home", "/opt", "/usr/local")
"""Where updates and ways back leave settings and copies: what comes there in the trial is taken away again."""
LEFT_ALONE = ("/var/lib/dpkg", "/var/lib/apt", "/var/lib/clamav", "/var/lib/chrony", "/var/lib/private")
BIGGEST, HELD = 8_000_000, 64_000_000
"""Bytes of a file, and of all of them, beyond which only that it was there is known."""
IDLE_SECONDS, BUSY_SECONDS = 60.0, 300.0
"""How long the package is tried again: with nothing of apt at work, and in all."""
PAUSE = 2.0


class Keep:
    """What the machine was like, and the way to make it so again. Clients of time are stopped from then on."""

    def __init__(self, package: str, wanted: str, mirror: str) -> None:
        self.package, self.wanted, self.mirror = package, wanted, mirror
        self.selection, self.trees = selection(package), Trees()
        self.lists = {path: path.read_bytes() for path in self._lists()}
        self.wall, self.up = time.time(), time.monotonic()
        self.stopped = [one for one in CLIENTS if run("systemctl", "is-active", "--quiet", one) == 0]
        if self.stopped:
            run("systemctl", "stop", *self.stopped)

    def put_back(self) -> "list[str]":
        """What could not be put back, and why."""
        time.clock_settime(time.CLOCK_REALTIME, self.wall + time.monotonic() - self.up)
        if self.stopped:
            run("systemctl", "start", *self.stopped)
        left = self._put_package_back()
        self.trees.put_back()
        for path in set(self._lists()) - self.lists.keys():
            path.unlink(missing_ok=True)
        for path, content in self.lists.items():
            path.write_bytes(content)
        return left

    def _put_package_back(self) -> "list[str]":
        """Version and selection as they were. What still holds a lock is waited for: dpkg would give up at once."""
        began = time.monotonic()
        idle, why = 0.0, "apt encore à l'œuvre"
        while at_work() or version(self.package) != self.wanted or selection(self.package) != self.selection:
            if idle >= IDLE_SECONDS or time.monotonic() - began >= BUSY_SECONDS:
                break
            if not at_work():
                if version(self.package) != self.wanted:
                    why = self._install()
                if selection(self.package) != self.selection:
                    line = f"{self.package} {self.selection}\n"
                    why = said("dpkg", "--set-selections", given=line) or why
                idle += PAUSE
            time.sleep(PAUSE)
        found = {
            "version": version(self.package) == self.wanted,
            "état du paquet": selection(self.package) == self.selection,
        }
        return [f"{name} ({why})" for name, good in found.items() if not good]

    def _lists(self) -> "list[Path]":
        """What apt knows of the mirror."""
        place = urllib.parse.urlsplit(self.mirror).netloc
        return [path for path in LISTS.glob(f"{place}_*") if path.is_file()]

    def _install(self) -> str:
        """The package as it was, whatever became of it; what was said of it."""
        name = f"{self.package}_{self.wanted}_all.deb"
        file = Path("/run") / f"controle-{name}"
        try:
            with urllib.request.urlopen(f"{self.mirror}/pool/{urllib.parse.quote(name)}", timeout=20) as page:  # noqa: S310
                file.write_bytes(page.read())
            return said("dpkg", "--force-hold", "-i", str(file))
        except OSError as problem:
            return f"{self.mirror} : {problem}"
        finally:
            file.unlink(missing_ok=True)


class Trees:
    """The files of the kept folders as they are; links and what is mounted there are left alone."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()
        self.files: dict[Path, tuple[os.stat_result, bytes | None]] = {}
        held = 0
        for place in KEPT:
            for name, inner, names in os.walk(place):
                folder = Path(name)
                inner[:] = [one for one in inner if self._within(folder / one)]
                self.folders.add(folder)
                for path in map(folder.joinpath, names):
                    if path.is_file() and not path.is_symlink():
                        stat = path.stat()
                        small = stat.st_size <= min(BIGGEST, HELD - held)
                        held += stat.st_size if small else 0
                        self.files[path] = stat, path.read_bytes() if small else None

    def put_back(self) -> None:
        """The files as they were; those that came since are removed, with their folders."""
        now = Trees()
        for path in now.files.keys() - self.files.keys():
            path.unlink()
        for folder in sorted(now.folders - self.folders, reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        for path, (stat, content) in self.files.items():
            there = now.files.get(path)
            if content is None or (there and there[1] == content and there[0].st_mode == stat.st_mode):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.chown(path, stat.st_uid, stat.st_gid)
            path.chmod(stat.st_mode & 0o7777)
            os.utime(path, (stat.st_atime, stat.st_mtime))

    @staticmethod
    def _within(folder: Path) -> bool:
        return str(folder) not in LEFT_ALONE and not folder.is_symlink() and not os.path.ismount(folder)
