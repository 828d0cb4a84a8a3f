"""The part of plateau_tree that runs on the machine: standard library only, one answer in JSON on stdout.

Few calls of systemctl, each for all units, and no daemon-reload that nothing needs: that one takes 7 s on an emulated
machine.
"""

import json
import os
import subprocess
import time

UNIT_FOLDERS = ("/etc/systemd/system/", "/usr/local/lib/systemd/", "/usr/lib/systemd/system/")
STARTS_AT_BOOT = {"enabled", "enabled-runtime", "static", "generated", "alias", "indirect"}


def main(request: str) -> None:
    """Files first, then services; print what changed, or what failed."""
    wanted = json.loads(request)
    changed: list[str] = []
    commands: list[list[str]] = []
    seconds: dict[str, float] = {}
    answer = {}
    packages: list[str] = []
    try:
        packages = missing(wanted.get("packages", []))
        if packages and not wanted["check"]:
            started = time.monotonic()
            install(packages)
            seconds["install"] = round(time.monotonic() - started, 1)
        for path, file in wanted["files"].items():
            if put(path, file["content"], int(file["mode"], 8), wanted["check"]):
                changed.append(path)
        changed += [path for path in wanted.get("remove", []) if remove(path, wanted["check"])]
        if any(path.startswith(UNIT_FOLDERS) for path in changed):
            commands.append(["daemon-reload"])
        services, stopped = wanted.get("services", {}), wanted.get("stopped", [])
        commands += plan(services, wanted.get("reload", []), stopped, changed, wanted.get("first", []))
        for command in [] if wanted["check"] else commands:
            started = time.monotonic()
            systemctl(*command)
            seconds[command[0]] = round(time.monotonic() - started, 1)
    except subprocess.CalledProcessError as problem:
        answer = {"failed": True, "msg": f"{' '.join(problem.cmd)}: {' '.join((problem.stderr or '').split())}"}
    except subprocess.TimeoutExpired as problem:
        answer = {"failed": True, "msg": f"{' '.join(problem.cmd)}: no end after {problem.timeout:g} s"}
    except OSError as problem:
        answer = {"failed": True, "msg": str(problem)}
    told = {"changed": bool(changed or commands or packages), "packages": packages, "files": changed, "commands": commands, "seconds": seconds}
    print(json.dumps({**told, **answer}))


def missing(packages: list) -> list:
    """Those that are not installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *packages]
    there = subprocess.run(query, check=False, capture_output=True, text=True).stdout.split("\n") if packages else []
    return [name for name in packages if f"{name} installed" not in there]


def install(packages: list) -> None:
    """Install Debian packages from the machine's own sources, without questions; no service is started.

    Each package would reload systemd, several seconds each on an emulated machine: it is done once, at the end.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    for order in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        command = ["apt-get", "-q", *order]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, env=environment)
    systemctl("daemon-reload")


def plan(services: dict, reload: list, stopped: list, changed: list, first: list) -> list:
    """The systemctl commands that are needed, in order."""
    units = [*services, *stopped]
    if not units:
        return []
    active, enabled = ask("is-active", units), ask("is-enabled", units)
    starts, restarts, reloads = [], [], []
    for unit, paths in services.items():
        touched = any(path == read or path.startswith(read.rstrip("/") + "/") for path in changed for read in paths)
        if active[unit] != "active":
            starts.append(unit)
        elif touched:
            (reloads if unit in reload else restarts).append(unit)
    begun = starts + restarts
    orders = [
        ("disable --no-reload", [unit for unit in stopped if enabled[unit] == "enabled"]),
        ("stop", [unit for unit in stopped if active[unit] not in {"inactive", "failed"}]),
        ("enable --no-reload", [unit for unit in services if enabled[unit] not in STARTS_AT_BOOT]),
        ("reload", reloads),
        ("restart", [unit for unit in begun if unit in first]),
        ("restart", [unit for unit in begun if unit not in first]),
    ]
    return [[*order.split(), *names] for order, names in orders if names]


def ask(question: str, units: list) -> dict:
    """What systemctl answers for each unit; in one call, but for old scripts, which it answers before the others."""
    alone = [unit for unit in units if is_old_script(unit)] if question == "is-enabled" else []
    together = [unit for unit in units if unit not in alone]
    lines = systemctl(question, *together, check=False).splitlines() if together else []
    if len(lines) != len(together):  # is-enabled says nothing on stdout about a unit that does not exist
        alone, together, lines = units, [], []
    answers = dict(zip(together, lines))
    for unit in alone:
        answers[unit] = systemctl(question, unit, check=False).strip() or "not-found"
    return answers


def put(path: str, content: str, mode: int, dry: bool) -> bool:
    """Write `path` atomically unless it is already so; a symbolic link is replaced by a file."""
    data = content.encode()
    try:
        with open(path, "rb") as stream:
            same = stream.read() == data and not os.path.islink(path)
        same = same and os.stat(path).st_mode & 0o7777 == mode
    except OSError:
        same = False
    if same or dry:
        return not same
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.plateau"
    with open(temporary, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
    os.replace(temporary, path)
    return True


def remove(path: str, dry: bool) -> bool:
    """Delete a file, a link or an empty folder; False when it was not there."""
    if not os.path.lexists(path):
        return False
    if not dry:
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    return True


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl; raises CalledProcessError with its words when it fails."""
    command, environment = ["systemctl", *arguments], dict(os.environ)
    if not any(is_old_script(argument) for argument in arguments):
        environment["SYSTEMCTL_SKIP_SYSV"] = "1"  # else update-rc.d (Perl) runs for each unit that also has a script
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=150, env=environment).stdout


def is_old_script(unit: str) -> bool:
    """Whether the service is an /etc/init.d script only, which systemctl enables by way of update-rc.d."""
    has_unit = any(os.path.exists(f"{folder}{unit}.service") for folder in UNIT_FOLDERS)
    return os.path.exists(f"/etc/init.d/{unit}") and not has_unit
