"""What dpkg, apt and systemd of the workstation say, for the updates' trial: standard library only."""

import hashlib
import os
import subprocess
from pathlib import Path

STATUS = Path("/var/lib/dpkg/status")
LISTS = Path("/var/lib/apt/lists")
LOCKS = (
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/apt/lists/lock",
    "/var/lib/apt/daily_lock",
    "/var/cache/apt/archives/lock",
    "/run/unattended-upgrades.lock",
)
SCHEDULERS = ("cron.service", "cronie.service", "fcron.service", "bcron.service", "cron.target", "atd.service")
PLANS = (
    "etc/crontab",
    "etc/anacrontab",
    "etc/cron.*/*",
    "var/spool/cron/crontabs/*",
    "etc/systemd/system/**/*.timer",
    "etc/systemd/system/**/*.timer.d/*.conf",
)
"""Files of the machine, or links that enable timers, which say what is done when."""


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


def lists_dates() -> "list[float]":
    """When apt's lists were last updated: they change when they are again."""
    return [path.stat().st_mtime if path.exists() else 0.0 for path in (LISTS, LISTS / "partial")]


def schedule() -> "dict[str, str]":
    """What schedules on this machine, timers and daemons at work, and what they are told: something to compare."""
    found = dict.fromkeys(active_units(), "active")
    for path in (path for pattern in PLANS for path in Path("/").glob(pattern)):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def active_units() -> "set[str]":
    """Timers and other schedulers that are at work."""
    command = ["systemctl", "list-units", "--type=timer,service,target", "--state=active", "--plain", "--no-legend"]
    told = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    names = {line.split()[0] for line in told.splitlines() if line.split()}
    return {one for one in names if one.endswith(".timer") or one in SCHEDULERS}


def renew_schedules() -> None:
    """After the clock was put back: timers and daemons would wait for hours that they have seen already.

    A timer that counts from the start of the machine is left alone: started anew, its moment would be past.
    """
    again = [one for one in sorted(active_units()) if one in SCHEDULERS or not shown(one, "TimersMonotonic")]
    if again:
        run("systemctl", "try-restart", *again)


def shown(unit: str, name: str) -> str:
    """A property of a unit."""
    command = ["systemctl", "show", "--value", "-p", name, unit]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout.strip()


def run(*command: str) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def said(*command: str, given: str = "") -> str:
    """The last line that a command wrote when it failed, in English; empty when it did not."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, errors="replace", check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})  # fmt: skip
    lines = f"{done.stdout}\n{done.stderr}".split("\n")
    return "" if done.returncode == 0 else next((one for one in reversed(lines) if one), f"status {done.returncode}")
