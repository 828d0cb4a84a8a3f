"""Sent to a candidate's machine: people nobody knows open sessions there, and everything about them leaves again."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from typing import Any

from graders.remote_launch import attempt, pace

ACCOUNTS = [f"/etc/{name}{end}" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
            for end in ("", "-")]  # fmt: skip
SESSION = 'echo "compte=$(id -un)"; env | grep "^%s="; [ ! -d ~/%s/. ] || echo ouvert; exit 0'
"""What a session does: whose it is, what the variable holds there, whether the folder can be entered."""
SECONDS = 90.0


def home_of(folder: str) -> dict[str, str]:
    """What is in a personal folder: where links lead, sums of files."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                if os.path.islink(path):
                    found[os.path.relpath(path, folder)] = f"-> {os.readlink(path)}"
                elif os.path.isfile(path):
                    with open(path, "rb") as stream:
                        found[os.path.relpath(path, folder)] = hashlib.sha256(stream.read()).hexdigest()
                else:
                    found[os.path.relpath(path, folder)] = "dossier"
    return found


def names_in(folder: str) -> dict[str, tuple[int, int]]:
    """What is directly in a folder, with sizes and moments of the last change: root's may hold much."""
    with os.scandir(folder) as entries:
        kept = [(one.name, one.stat(follow_symlinks=False)) for one in entries]
    return {name: (one.st_size, one.st_mtime_ns) for name, one in kept}


def session(account: str, home: str, variable: str, link: str) -> dict[str, Any]:
    """Open a session as PAM and the account's shell do it, without a terminal."""
    status, out, err, late = attempt(["su", "-l", account, "-c", SESSION % (variable, link)], SECONDS, "/")
    lines = out.splitlines()
    whose = f"compte={account}"
    environment = lines[lines.index(whose) :] if whose in lines else []  # before it, what start-up files print
    values = [line.partition("=")[2] for line in environment if line.startswith(f"{variable}=")]
    target = os.path.join(home, link)
    return {
        "opened": status == 0 and whose in lines,
        "status": status,
        "err": err[-300:],
        "value": values[0] if values else None,
        "target": os.path.realpath(target) if os.path.lexists(target) else None,
        "entered": "ouvert" in lines,
        "pace": pace() if late else 0.0,
    }


class Visits:
    """Sessions, one after the other; once one did not end, those after it count as it does, and are not opened."""

    def __init__(self, variable: str, link: str) -> None:
        self._variable, self._link = variable, link
        self._late: dict[str, Any] | None = None

    def open(self, account: str, home: str) -> dict[str, Any]:
        """What a session of an account showed."""
        seen = self._late or session(account, home, self._variable, self._link)
        self._late = seen if seen["pace"] else None
        return seen


class Newcomers:
    """Groups and accounts made for the occasion, in folders without a model's files."""

    def __init__(self, groups: list[str], accounts: list[dict[str, Any]]) -> None:
        self.groups, self.accounts = groups, accounts
        self.files = {path: self._read(path) for path in ACCOUNTS}
        self.homes = [os.path.join("/home", one["name"]) for one in accounts]

    @staticmethod
    def _read(path: str) -> bytes | None:
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def create(self) -> None:
        """Raises subprocess.CalledProcessError."""
        with tempfile.TemporaryDirectory() as empty:
            for name in self.groups:
                subprocess.run(["groupadd", name], check=True, capture_output=True)
            for one in self.accounts:
                more = [*(["-g", one["primary"]] if one["primary"] else ["-U"]),
                        *(["-G", ",".join(one["groups"])] if one["groups"] else [])]  # fmt: skip
                command = ["useradd", "-m", "-k", empty, "-s", one["shell"], *more, one["name"]]
                subprocess.run(command, check=True, capture_output=True)

    def remove(self) -> list[str]:
        """Take everything away; what is left all the same."""
        for one in self.accounts:
            subprocess.run(["userdel", "-r", "-f", one["name"]], check=False, capture_output=True)
        for name in self.groups:
            subprocess.run(["groupdel", name], check=False, capture_output=True)
        for home in self.homes:
            shutil.rmtree(home, ignore_errors=True)
        for path, data in self.files.items():
            if data is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            elif self._read(path) != data:
                self._write(path, data)
        names = [one["name"] for one in self.accounts if _known(pwd.getpwnam, one["name"])]
        names += [name for name in self.groups if _known(grp.getgrnam, name)]
        return names + [home for home in self.homes if os.path.lexists(home)]

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        """At once, with the rights that the file has."""
        fresh = f"{path}.controle"
        with open(fresh, "wb") as stream:
            shutil.copymode(path, fresh)
            kept = os.stat(path)
            os.chown(fresh, kept.st_uid, kept.st_gid)
            stream.write(data)
            os.fsync(stream.fileno())
        os.replace(fresh, path)


def _known(find: Any, name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def main(text: str) -> None:
    """`text`: {"accounts", "groups" to make, "wanted" groups, "variable", "link"}; answers in JSON.

    An account is {"name", "shell", "primary" group or null, "groups"}; each opens two sessions, and root one.
    """
    asked = json.loads(text)
    missing = [name for name in asked["wanted"] if not _known(grp.getgrnam, name)]
    told: dict[str, Any] = {"missing": missing, "sessions": {}, "left": [], "problem": ""}
    if not missing:
        people = Newcomers(asked["groups"], asked["accounts"])
        visits = Visits(asked["variable"], asked["link"])
        try:
            people.create()
            for _ in range(2):
                for one in asked["accounts"]:
                    home = os.path.join("/home", one["name"])
                    seen = visits.open(one["name"], home)
                    told["sessions"].setdefault(one["name"], []).append({**seen, "home": home_of(home)})
            before = names_in("/root")
            told["root"] = dict(visits.open("root", "/root"))
            told["root"]["same"] = names_in("/root") == before
        except subprocess.CalledProcessError as problem:
            told["problem"] = f"{problem}: {problem.stderr!r}"
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            told["left"] = people.remove()
    print(json.dumps(told))
