"""Sent to a candidate's machine: runs of `ranger-journal`, and what each left in its folder and elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from graders.remote_launch import attempt, pace

PLACE = "/srv"
LANGUAGE = "fr_FR.UTF-8"
"""Of the machine, whose order is not that of bytes."""
DEEP = ("/tmp", "/var/tmp")
SHALLOW = ("/", "/srv", "/var/lib")
"""Only what is directly in them: the centre's depot is below, and what services keep."""
LOGS, SYSTEM_LOGS = "/var/log", re.compile(r"^/var/log/(?:journal/|syslog|messages|user\.log|daemon\.log)")
TAIL = 65536
SHOWN = 6000
"""Characters of a file that are brought back, with the sum of the whole."""


def files_of(folder: str) -> dict[str, Any]:
    """Each file under a folder: the sum of its bytes, and its beginning."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                with open(path, "rb") as stream:
                    data = stream.read()
            except OSError:
                continue  # a link that leads nowhere, a pipe: neither is a result
            found[os.path.relpath(path, folder)] = {
                "sum": hashlib.sha256(data).hexdigest(),
                "text": data.decode("utf-8", "replace")[:SHOWN],
            }
    return found


def homes() -> list[str]:
    """Where people keep files of their own."""
    return ["/root", *(os.path.join("/home", name) for name in os.listdir("/home"))]


def signs(paths: list[str], deep: bool = True) -> dict[str, tuple[int, int]]:
    """Every path below some, or directly in them; with its size and the moment of its last change when it is a file."""
    found = {}
    for top in paths:
        for parent, folders, names in os.walk(top):
            found.update(dict.fromkeys([parent, *(os.path.join(parent, name) for name in folders)], (0, 0)))
            for path in (os.path.join(parent, name) for name in names):
                with contextlib.suppress(OSError):
                    kept = os.lstat(path)
                    found[path] = (kept.st_size, kept.st_mtime_ns)
            if not deep:
                break
    return found


def kept_logs() -> dict[str, tuple[int, int]]:
    """The signs of the logs, and of what people keep: an editor, a shell and the like write there meanwhile."""
    return {**signs([LOGS]), **signs(homes(), deep=False)}


def logs_of(place: str, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """Logs that came or changed and that speak of a run's place: services write theirs meanwhile."""
    found = []
    for path in differing(before, after):
        if path in after and os.path.isfile(path) and not SYSTEM_LOGS.search(path):
            with contextlib.suppress(OSError), open(path, "rb") as stream:  # it may be turned at this very moment
                stream.seek(-min(TAIL, os.path.getsize(path)), os.SEEK_END)
                if os.path.basename(place).encode() in stream.read():
                    found.append(path)
    return found


def everything(watched: list[str]) -> dict[str, tuple[int, int]]:
    """The signs of some places, and of those where a program that is careless leaves something."""
    found = {
        **dict.fromkeys(signs(homes(), deep=False), (0, 0)),
        **signs(list(SHALLOW), deep=False),
        **signs([*watched, *DEEP]),
    }
    return {path: kept for path, kept in found.items() if "/systemd-private-" not in path}


def differing(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """Paths that came, went or changed."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


class Aside:
    """The branch's own folder, out of the way while the script fills a new one; then put back."""

    def __init__(self, folder: str) -> None:
        self.folder, self.kept = folder, f"{folder}.controle-{os.getpid()}"
        self.there = os.path.lexists(folder)
        if self.there:
            os.rename(folder, self.kept)

    def put_back(self) -> list[str]:
        """What could not be put back."""
        if os.path.islink(self.folder) or os.path.isfile(self.folder):
            os.unlink(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.there and not os.path.lexists(self.folder):
            os.rename(self.kept, self.folder)
        return [self.folder] if os.path.lexists(self.folder) != self.there or os.path.lexists(self.kept) else []


def tell_apart(folder: str, work: Callable[[str], list[dict[str, Any]]]) -> None:
    """Do the work in a folder that disappears, the branch's own out of the way; print its runs, and what is left."""
    place = os.path.realpath(tempfile.mkdtemp(prefix="controle-", dir=PLACE))
    os.chmod(place, 0o755)
    aside = Aside(folder)
    runs, left = [], [folder]
    try:
        runs = work(place)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = aside.put_back()
        shutil.rmtree(place)
    print(json.dumps({"runs": runs, "left": left}))


def config_file(place: str, index: int, values: dict[str, Any]) -> tuple[str, str]:
    """A configuration file with these values, and the folder that it names."""
    folder = os.path.join(place, values["dossier"])
    path = os.path.join(place, f"réglages {index}.conf")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("# Réglages du contrôle\n#copies=99\n\n")
        stream.writelines(f"{name}={value}\n" for name, value in {**values, "dossier": folder}.items())
    return path, folder


def trial(script: str, index: int, run: dict[str, Any], place: str, asked: dict[str, Any]) -> dict[str, Any]:
    """One run of the script."""
    command, folder = [script, *run["options"]], asked["folder"]
    if run["config"] is not None:
        path, folder = config_file(place, index, run["config"])
        command += ["--config", path]
    if run["journal"] is not None:
        journal = os.path.join(place, run["journal"])
        command.append(journal)
        if run["folder"]:
            os.makedirs(journal)
        elif run["content"] is not None:
            with open(journal, "w", encoding="utf-8", newline="") as stream:
                stream.write(run["content"])
    watched = [place, asked["folder"], *asked["watched"]]
    before, logs = everything(watched), kept_logs()
    status, out, err, late = attempt(command, run["seconds"], place, locale=LANGUAGE)
    changed = sorted({*differing(before, everything(watched)), *logs_of(place, logs, kept_logs())})
    strays = [path for path in changed if path != folder and not path.startswith(f"{folder}/")]
    return {"status": status, "out": out[-6000:], "err": err[-600:], "files": files_of(folder),
            "changed": len(changed), "strays": strays[:20], "pace": pace() if late else 0.0}  # fmt: skip


def run_each(asked: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The runs of the request; once one was late, those after it count as late too, and are not made."""
    told: list[dict[str, Any]] = []
    for index, run in enumerate(asked["runs"]):
        late = bool(told and told[-1]["pace"])
        told.append(told[-1] if late else trial(asked["script"], index, run, place, asked))
    return told


def main(text: str) -> None:
    """`text`: {"script", "folder": of the branch, "watched": other places, "runs"}. Prints one answer in JSON."""
    asked = json.loads(text)
    tell_apart(asked["folder"], lambda place: run_each(asked, place))
