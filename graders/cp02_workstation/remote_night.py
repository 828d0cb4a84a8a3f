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
from pathlib import Path
from typing import Any

from graders.cp02_workstation.remote_keep import Keep
from graders.cp02_workstation.remote_state import at_work, touched, version

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
