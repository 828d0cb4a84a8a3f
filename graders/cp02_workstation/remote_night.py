"""The part of the updates' trial that runs on the workstation: standard library only, one answer in JSON on stdout.

The machine lives through the minute of its updates, whatever starts them: the clock is put shortly before it and runs
on. Then the way back is taken, and the minute comes once more, a day later. Clients of time are stopped meanwhile, or
the clock would not stay where it is put. In the end the clock, the package, its data, what apt knows of it, its
settings and the copies that were made are put back.
"""

import datetime
import hashlib
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

CLIENTS = ("chrony", "ntpsec", "ntp", "openntpd", "systemd-timesyncd")
STATUS = Path("/var/lib/dpkg/status")
LISTS = Path("/var/lib/apt/lists")
KEPT = ("/etc/apt", "/var/backups", "/var/lib", "/srv", "/root", "/home", "/opt", "/usr/local")
"""Where updates and ways back leave settings and copies: what comes there in the trial is taken away again."""
LEFT_ALONE = ("/var/lib/dpkg", "/var/lib/apt", "/var/lib/clamav", "/var/lib/chrony", "/var/lib/private")
BIGGEST, HELD = 8_000_000, 64_000_000
"""Bytes of a file, and of all of them, beyond which only that it was there is known."""
LOCKS = (
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/apt/lists/lock",
    "/var/lib/apt/daily_lock",
    "/var/cache/apt/archives/lock",
    "/run/unattended-upgrades.lock",
)
QUIET, SETTLED = 45.0, 8.0
"""Seconds without apt at work, after which an update that brought nothing is over, and one that installed."""
BACK_SECONDS = 300.0
Told = dict[str, Any]


def main(request: str) -> None:
    """Live through it; the answer tells what was there before, in the night, after the way back and the night after."""
    wanted = json.loads(request)
    package, data = wanted["package"], Path(wanted["data"])
    told: Told = {"before": version(package), "data": data.is_file()}
    if told["before"] == wanted["version"] and told["data"]:
        keep = Keep(package, wanted["version"], wanted["mirror"])
        try:
            with data.open("a", encoding="utf-8") as stream:
                stream.write(wanted["line"] + "\n")
            trial(wanted, told)
        finally:
            told["left"] = keep.put_back()
    print(json.dumps(told))


def trial(wanted: Told, told: Told) -> None:
    """The night, the way back, the night after."""
    package, files = wanted["package"], [wanted["data"], *wanted["files"]]
    before = sums(files)
    minute = next_minute(wanted["minute"], wanted["lead"] + 20)
    told["night"] = live(minute, package, wanted, wait=True)
    if not told["night"]["installed"]:
        return
    told["converted"] = sums(files)[wanted["data"]] != before[wanted["data"]]
    told["back"] = go_back(wanted["back"])
    after = sums(files)
    told["after"] = {
        "version": version(package),
        "changed": [path for path in files if after[path] != before[path]],
        "works": subprocess.run([wanted["program"]], capture_output=True, check=False).returncode == 0
        if os.access(wanted["program"], os.X_OK)
        else False,
    }
    if told["after"]["version"] == wanted["version"]:
        told["next"] = live(next_minute(wanted["minute"], wanted["lead"] + 20), package, wanted, wait=False)


def live(minute: float, package: str, wanted: Told, *, wait: bool) -> Told:
    """Wait from `lead` seconds before the minute until the update is over.

    Without any sign of apt that is `late` seconds after the minute; with one, `limit` seconds after it, or without
    `wait` once it is over. A machine that is still at it gets twice the time: the centre's may be slow.
    `installed`: when another version was there, in seconds after the minute. `stall`: the longest time without a look.
    `drift`: how far the clock went astray. `busy`: apt was still at work when the time was over.
    """
    start = version(package)
    time.clock_settime(time.CLOCK_REALTIME, minute - wanted["lead"])
    mark = time.time()
    began = last = time.monotonic()
    worked: float | None = None
    installed: float | None = None
    stall, over = 0.0, False
    while not over:
        time.sleep(1)
        now, at = time.monotonic(), time.time() - minute
        stall, last = max(stall, now - last), now
        busy = at_work()
        if busy or (worked is None and touched(mark)):
            worked = now
        if installed is None and (there := version(package)) and there != start:
            installed = at
        quiet = now - worked if worked is not None else 0.0
        if installed is not None:
            over = quiet > SETTLED
        elif worked is None:
            over = at > wanted["late"]
        else:
            over = quiet > QUIET and at > (wanted["limit"] if wait else QUIET)
        over = over or at > 2 * wanted["limit"]
    drift = (time.time() - mark) - (time.monotonic() - began)
    return {"installed": installed, "version": version(package), "worked": worked is not None, "stall": round(stall, 1),
            "drift": round(drift, 1), "busy": at_work()}  # fmt: skip


def go_back(program: str) -> Told:
    """Run the candidate's program, as root, without a terminal."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    home = {"PATH": path, "HOME": "/root", "USER": "root", "LOGNAME": "root", "LANG": "C.UTF-8"}
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=home, cwd="/", timeout=BACK_SECONDS, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"status": None, "said": f"pas terminé en {BACK_SECONDS:.0f} s", "late": True}
    except OSError as problem:
        return {"status": None, "said": os.strerror(problem.errno or 0), "late": False}
    return {"status": done.returncode, "said": done.stdout.decode("utf-8", "replace")[-600:], "late": False}


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
        """What could not be put back."""
        time.clock_settime(time.CLOCK_REALTIME, self.wall + time.monotonic() - self.up)
        if self.stopped:
            run("systemctl", "start", *self.stopped)
        if version(self.package) != self.wanted:
            self._install()
        if selection(self.package) != self.selection:
            line = f"{self.package} {self.selection}\n".encode()
            subprocess.run(["dpkg", "--set-selections"], input=line, capture_output=True, check=False)
        self.trees.put_back()
        for path in set(self._lists()) - self.lists.keys():
            path.unlink()
        for path, content in self.lists.items():
            path.write_bytes(content)
        found = {
            "version": version(self.package) == self.wanted,
            "état du paquet": selection(self.package) == self.selection,
        }
        return [name for name, good in found.items() if not good]

    def _lists(self) -> "list[Path]":
        """What apt knows of the mirror."""
        place = urllib.parse.urlsplit(self.mirror).netloc
        return [path for path in LISTS.glob(f"{place}_*") if path.is_file()]

    def _install(self) -> None:
        """The package as it was, whatever became of it."""
        name = f"{self.package}_{self.wanted}_all.deb"
        file = Path("/run") / f"controle-{name}"
        try:
            with urllib.request.urlopen(f"{self.mirror}/pool/{urllib.parse.quote(name)}", timeout=20) as page:  # noqa: S310
                file.write_bytes(page.read())
            run("dpkg", "--force-hold", "-i", str(file))
        except OSError:
            return  # the version that is read afterwards tells
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


def version(package: str) -> str:
    """The installed version; empty when the package is not wholly installed."""
    return stanza(package)[1]


def selection(package: str) -> str:
    """`install` or `hold`, say; empty when dpkg does not know the package."""
    return stanza(package)[0]


def stanza(package: str) -> "tuple[str, str]":
    """Selection and version of a package, as dpkg wrote them down."""
    for text in STATUS.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        if text.lstrip("\n").startswith(f"Package: {package}\n"):
            fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and line[0] != " ")
            words = fields.get("Status", "").split()
            there = words[1:] == ["ok", "installed"]
            return (words[0] if words else ""), (fields.get("Version", "") if there else "")
    return "", ""


def at_work() -> bool:
    """Whether something holds one of the locks of apt, dpkg or unattended-upgrades."""
    wanted = set()
    for path in LOCKS:
        try:
            wanted.add(str(Path(path).stat().st_ino))
        except OSError:
            continue
    held = Path("/proc/locks").read_text(encoding="utf-8").split("\n")
    return any(
        words[5].rpartition(":")[2] in wanted for words in map(str.split, held) if len(words) > 5 and "->" not in words
    )


def touched(since: float) -> bool:
    """Whether apt's lists were updated since then."""
    return any(path.exists() and path.stat().st_mtime >= since for path in (LISTS, LISTS / "partial"))


def sums(paths: "list[str]") -> "dict[str, str]":
    """SHA-256 of files; empty for one that is not there."""
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else "" for path in paths}


def next_minute(moment: str, margin: float) -> float:
    """When this time of day, as the machine counts, comes next, `margin` seconds from now at the soonest."""
    hour, minute = map(int, moment.split(":"))
    day = datetime.datetime.now()  # the time of day of this machine
    when = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if when.timestamp() < day.timestamp() + margin:
        when += datetime.timedelta(days=1)
    return when.timestamp()


def run(*command: str) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
