"""What the updates' trial puts back on the workstation: standard library only; `remote_night` is sent with it."""

import contextlib
import functools
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from graders.cp02_workstation.remote_state import (
    LISTS,
    active_units,
    at_work,
    renew_schedules,
    run,
    said,
    selection,
    version,
)

CLIENTS = ("chrony", "ntpsec", "ntp", "openntpd", "systemd-timesyncd")
KEPT = (
    "/etc",
    "/var/backups",
    "/var/lib",
    "/var/local",
    "/var/spool/anacron",
    "/var/spool/cron",
    "/srv",
    "/root",
    "/home",
    "/opt",
    "/usr/local",
)
"""Where updates and ways back leave settings and copies: what comes there in the trial is taken away again."""
USUAL = {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "lost+found", "opt", "proc", "root", "run",
         "sbin", "srv", "sys", "tmp", "usr", "var"}  # fmt: skip
USUAL_VAR = {"backups", "cache", "lib", "local", "lock", "log", "mail", "opt", "run", "spool", "tmp"}
"""Folders of `/` and of `/var` that Debian has; any other may be where a candidate keeps points to return to."""
ANTIVIRUS = ("clamav-daemon", "clamav-freshclam", "clamav-clamonacc")
"""Services that look at their signatures when so much time has passed since the last look, which is of tomorrow now."""
LEFT_ALONE = ("/var/lib/dpkg", "/var/lib/apt", "/var/lib/clamav", "/var/lib/chrony", "/var/lib/private")
BIGGEST, HELD = 8_000_000, 64_000_000
"""Bytes of a file, and of all of them, beyond which only that it was there is known."""
IDLE_SECONDS, BUSY_SECONDS = 60.0, 300.0
"""How long the package is tried again: with nothing of apt at work, and in all."""
PAUSE = 2.0
PERIODIC = Path("/var/lib/apt/periodic")
DAYS = 2 * 86400.0


class Keep:
    """What the machine was like, and the way to make it so again. Clients of time are stopped from then on."""

    def __init__(self, package: str, wanted: str, mirror: str, suite: str) -> None:
        self.package, self.wanted, self.mirror, self.suite = package, wanted, mirror, suite
        self.places = [*KEPT, *all_own_folders()]
        self.selection, self.trees = selection(package), Trees(self.places)
        self.units, self.stamps = active_units(), Stamps()
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
        places = sorted({*self.places, *all_own_folders()})
        left += self.trees.put_back(places)
        for path in set(self._lists()) - self.lists.keys():
            path.unlink(missing_ok=True)
        for path, content in self.lists.items():
            path.write_bytes(content)
        undate(time.time(), places)
        self.stamps.put_back()
        self._put_units_back()
        return left

    def _put_units_back(self) -> None:
        """What schedules, at work as it was, and anew: it might wait for the time that it has been."""
        run("systemctl", "daemon-reload")
        now = active_units()
        if gone := sorted(self.units - now):
            run("systemctl", "start", *gone)
        if new := sorted(one for one in now - self.units if one.endswith(".timer")):
            run("systemctl", "stop", *new)
        renew_schedules()
        run("systemctl", "try-restart", *ANTIVIRUS)

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
        """What apt knows of the mirror, by whatever name the source calls it."""
        return [path for path in LISTS.glob(f"*_dists_{self.suite}_*") if path.is_file()]

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


class Stamps:
    """When apt last did its work of each day. Its script leaves it for the morrow when a stamp is of the same day.

    apt.systemd.daily of Debian's package apt, `check_stamp`.
    """

    def __init__(self) -> None:
        self.times = {path: path.stat().st_mtime for path in self._there()}

    def put_back(self) -> None:
        for path in set(self._there()) - self.times.keys():
            path.unlink(missing_ok=True)
        for path, moment in self.times.items():
            path.touch()
            os.utime(path, (moment, moment))

    @staticmethod
    def age(night: float) -> None:
        """As if the last work had been done two days before this night, whatever today's date is for the machine."""
        for path in Stamps._there():
            os.utime(path, (night - DAYS, night - DAYS))

    @staticmethod
    def _there() -> "list[Path]":
        return [path for path in PERIODIC.glob("*") if path.is_file()]


class Trees:
    """The files and links of some folders as they are; what is mounted there is left alone."""

    def __init__(self, places: "Sequence[str]") -> None:
        self.places = places
        self.folders: set[Path] = set()
        self.files: dict[Path, tuple[os.stat_result, bytes | None]] = {}
        self.links: dict[Path, str] = {}
        held = 0
        for path in (Path(folder, one) for place in places for folder, one in self._walk(place)):
            with contextlib.suppress(OSError):  # gone since it was listed, or an antivirus forbids to look
                if path.is_symlink():
                    self.links[path] = str(path.readlink())
                elif path.is_file():
                    stat = path.stat()
                    small = stat.st_size <= min(BIGGEST, HELD - held)
                    held += stat.st_size if small else 0
                    self.files[path] = stat, path.read_bytes() if small else None

    def put_back(self, places: "Sequence[str] | None" = None) -> "list[str]":
        """Files and links as they were; those that came since, there or in `places`, are removed, with their folders.

        What could not be put back, and why.
        """
        now, left = Trees(places or self.places), []
        for path in (now.files.keys() - self.files.keys()) | (now.links.keys() - self.links.keys()):
            left += refused(path, functools.partial(path.unlink, missing_ok=True))
        for folder in sorted(now.folders - self.folders, reverse=True):
            refused(folder, folder.rmdir)  # something may be in it
        for path, target in self.links.items():
            if now.links.get(path) != target:
                left += refused(path, functools.partial(self._link, path, target))
        for path, (stat, content) in self.files.items():
            there = now.files.get(path)
            if content is None or (there and there[1] == content and there[0].st_mode == stat.st_mode):
                continue
            left += refused(path, functools.partial(self._file, path, stat, content))
        return left

    @staticmethod
    def _link(path: Path, target: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    @staticmethod
    def _file(path: Path, stat: os.stat_result, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.chown(path, stat.st_uid, stat.st_gid)
        path.chmod(stat.st_mode & 0o7777)
        os.utime(path, (stat.st_atime, stat.st_mtime))

    def _walk(self, place: str) -> "Iterator[tuple[str, str]]":
        """Folder and name of what may be a file or a link; the folders are noted."""
        for name, inner, names in os.walk(place):
            self.folders.add(Path(name))
            linked = [one for one in inner if Path(name, one).is_symlink()]
            inner[:] = [one for one in inner if one not in linked and self._within(Path(name, one))]
            yield from ((name, one) for one in [*names, *linked])

    @staticmethod
    def _within(folder: Path) -> bool:
        return str(folder) not in LEFT_ALONE and not os.path.ismount(folder)


def refused(path: Path, act: "Callable[[], object]") -> "list[str]":
    """Do it to this path; the path and the reason when it cannot be done."""
    try:
        act()
    except OSError as problem:
        return [f"{path} ({problem.strerror})"]
    return []


def all_own_folders() -> "list[str]":
    """Where a candidate keeps what Debian has no place for."""
    return [*own_folders(Path("/"), USUAL), *own_folders(Path("/var"), USUAL_VAR)]


def own_folders(root: Path, usual: "set[str]") -> "list[str]":
    """The folders there that only this machine has; what is mounted is left alone."""
    own = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink() and path.name not in usual]
    return sorted(str(path) for path in own if not os.path.ismount(path))


def undate(now: float, places: "Sequence[str]") -> None:
    """What the night dated in the future is of now: a client that asks for what is newer would ask in vain for days."""
    for place in places:
        for name, inner, names in os.walk(place):
            inner[:] = [one for one in inner if not os.path.ismount(Path(name, one))]
            for path in (Path(name, one) for one in [*names, *inner]):
                with contextlib.suppress(OSError):
                    if not path.is_symlink() and path.stat().st_mtime > now:
                        os.utime(path, (now, now))
