"""The part of the antivirus trial that runs on the workstation: standard library only, one answer in JSON on stdout.

Files are dropped in a folder that nobody knows, then read again and again, by a person: an antivirus may leave root
alone (clamonacc, `OnAccessExcludeRootUID`). What cannot be read any more, not as it was, or by root alone, was stopped.
The folder disappears in the end, with what the quarantine kept of it.
"""

import base64
import glob
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from graders.remote_launch import PERSON

LOOK = 1.0
WATCHED = 3.0
"""Seconds between a new folder and its first file: inotifywait(1) -r takes a moment to watch what has just been made,
and people do not write there at once."""
COPY_EVERY = 20.0
"""Between two copies of the sample whose signature is being published: what controls a file once, when it is written,
controls the next one."""


def main(request: str) -> None:
    """Drop the files, wait, tell."""
    wanted = json.loads(request)
    folder = Path(wanted["place"]) / wanted["word"]
    told: dict[str, Any] = {"place": Path(wanted["place"]).is_dir()}
    if told["place"]:
        try:
            folder.mkdir(mode=0o777)
            folder.chmod(0o777)
            time.sleep(WATCHED)
            told |= trial(folder, wanted)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            told["left"] = take_away(wanted["quarantine"], [wanted["word"], *wanted["files"]])
    print(json.dumps(told))


def trial(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """When each dangerous file was stopped (seconds), which harmless ones are as they were, when the new one was."""
    files = {name: base64.b64decode(content) for name, content in wanted["files"].items()}
    dangerous = set(wanted["dangerous"])
    for name, content in files.items():
        write(folder / name, content)
    began = time.monotonic()
    stopped: dict[str, float] = {}
    while len(stopped) < len(dangerous) and time.monotonic() - began < wanted["limit"]:
        time.sleep(LOOK)
        for name in sorted(dangerous - stopped.keys()):
            if read(folder / name) != files[name]:
                stopped[name] = round(time.monotonic() - began, 1)
    fresh = None
    if wanted["fresh"] and stopped:
        fresh = wait_for_signature(
            folder, wanted["word"], base64.b64decode(wanted["fresh"]), began + wanted["fresh_limit"]
        )
    time.sleep(LOOK)
    same = [name for name, content in files.items() if name not in dangerous and read(folder / name) == content]
    return {"stopped": stopped, "same": same, "fresh": None if fresh is None else round(fresh - began, 1)}


def wait_for_signature(folder: Path, word: str, content: bytes, end: float) -> "float | None":
    """When a copy of the file was stopped; None when none was."""
    copies: list[Path] = []
    due = 0.0
    while (now := time.monotonic()) < end:
        if now >= due:
            copies.append(folder / f"{word}-{len(copies)}.bin")
            write(copies[-1], content)
            due = now + COPY_EVERY
        time.sleep(LOOK)
        if any(read(copy) != content for copy in copies):
            return time.monotonic()
    return None


def write(path: Path, content: bytes) -> None:
    """A file as a person leaves it there; a control that forbids it on the spot has stopped it."""
    subprocess.run(["tee", "--", str(path)], input=content, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   umask=0, check=False, **PERSON)  # fmt: skip


def read(path: Path) -> "bytes | None":
    """What a person reads there; None when it is gone, or not for people to read, whoever they are."""
    try:
        if not open_to_people(path.stat()):
            return None
    except OSError:
        return None
    done = subprocess.run(
        ["cat", "--", str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False, **PERSON
    )
    return done.stdout if done.returncode == 0 else None


def open_to_people(file: os.stat_result) -> bool:
    """Whether its mode lets anybody but root read it: its owner, its group, the others."""
    owner, group = file.st_mode & 0o400 and file.st_uid, file.st_mode & 0o040 and file.st_gid
    return bool(file.st_mode & 0o004 or owner or group)


def take_away(quarantine: str, names: "list[str]") -> "list[str]":
    """Remove what the quarantine kept, which may have got a suffix or a prefix; what could not be removed."""
    left = []
    for name in names:
        for path in list(Path(quarantine).rglob(f"*{glob.escape(name)}*")):
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            except OSError:
                left.append(str(path))
    return left
