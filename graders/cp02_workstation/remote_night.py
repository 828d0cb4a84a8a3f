"""The part of the updates' trial that runs on the workstation: standard library only, one answer in JSON on stdout.

The machine lives through the minute of its updates, whatever starts them: first two hours too early, when nothing may
be installed, then at its hour. The way back is taken, and the minute comes once more, a day later. Clients of time are
stopped meanwhile, or the clock would not stay where it is put. In the end everything is put back (`remote_keep`).
"""

import datetime
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from graders.cp02_workstation.remote_keep import Keep, Stamps
from graders.cp02_workstation.remote_state import LISTS, at_work, lists_dates, renew_schedules, schedule, version
from graders.remote_launch import PERSON, attempt, pace

QUIET, SETTLED = 45.0, 8.0
"""Seconds without apt at work, after which an update that brought nothing is over, and one that installed."""
NEXT_MORE = 30.0
"""Seconds that the night after lasts beyond the moment at which the first one installed."""
BRINK, RECENT = 10.0, QUIET
"""Seconds before the minute, at which the clock is put back as much while something works that began too early: it
would end after the minute, and pass for on time; and seconds within which it counts as still at work."""
BACK_SECONDS = 600.0
"""Twice what the subject gives."""
LANGUAGE = Path("/etc/default/locale")
Told = dict[str, Any]


class Span(NamedTuple):
    """How long a minute is lived through, in seconds from it."""

    lead: float
    """Before it."""
    late: float
    """After it, without any sign of apt."""
    least: float
    """After it, with a sign, when nothing is installed."""
    end: float
    """After it, whatever is at work."""
    brink: float = 0.0
    """Before it, where what began too early is waited for; 0: nowhere."""


def main(request: str) -> None:
    """Live through it; the answer tells what was there before, in the night, after the way back and the night after."""
    wanted = json.loads(request)
    package, data = wanted["package"], Path(wanted["data"])
    told: Told = {"before": version(package), "data": data.is_file()}
    if told["before"] == wanted["version"] and told["data"]:
        keep = Keep(package, wanted["version"], wanted["mirror"], wanted["suite"])
        try:
            with data.open("a", encoding="utf-8") as stream:
                stream.write(wanted["line"] + "\n")
            trial(wanted, told)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            told["left"] = keep.put_back()
    print(json.dumps(told))


def trial(wanted: Told, told: Told) -> None:
    """Two hours before, the night, the way back, the night after. It ends where the clock does not stay."""
    package, files = wanted["package"], [wanted["data"], *wanted["files"]]
    before, owned, opened = sums(files), rights(wanted["data"]), works(wanted["program"], PERSON)
    lead, late, limit, apart, drift = (wanted[name] for name in ("lead", "late", "limit", "apart", "drift"))
    # The next one, were it in a moment: systemd starts at once what the clock is put beyond.
    minute = next_minute(wanted["minute"], 0)
    short = Span(wanted["early_lead"], wanted["early_late"], wanted["early_late"], 2 * limit)
    early = live(minute - apart, package, short, drift)
    told["early"] = told["night"] = early
    if early["installed"] is not None:
        told["night"] = {**early, "installed": early["installed"] - apart}
    elif abs(early["drift"]) <= drift:
        told["night"] = live(minute, package, Span(lead, late, limit, 2 * limit, BRINK), drift)
    night = told["night"]
    if night["installed"] is None or abs(night["drift"]) > drift:
        return
    told["converted"] = sums(files)[wanted["data"]] != before[wanted["data"]]
    planned, known = schedule(), mirror_known(wanted["suite"])
    told["back"] = go_back(wanted["back"])
    after, plans = sums(files), schedule()
    told["after"] = {
        "version": version(package),
        "changed": [path for path in files if after[path] != before[path]]
        + [f"{wanted['data']} (droits)"] * (rights(wanted["data"]) != owned),
        "works": works(wanted["program"]) and (works(wanted["program"], PERSON) or not opened),
        "unplanned": sorted(name for name, what in planned.items() if plans.get(name) != what),
    }
    if told["after"]["version"] == wanted["version"]:
        least = max(QUIET, night["installed"] + NEXT_MORE)
        span = Span(lead, max(late, least), least, max(2 * limit, least))
        told["next"] = live(next_minute(wanted["minute"], lead + 20), package, span, drift)
        told["next"]["forgotten"] = known and not mirror_known(wanted["suite"])


def live(minute: float, package: str, span: Span, drifted: float) -> Told:
    """Live through a minute until the update is over.

    `installed`: when another version was there, in seconds after the minute. `stall`: the longest time without a look.
    `drift`: how far the clock went astray, which ends it beyond `drifted`. `busy`: apt was still at work in the end.
    """
    start = version(package)
    Stamps.age(minute)
    backwards = time.time() > minute - span.lead
    time.clock_settime(time.CLOCK_REALTIME, minute - span.lead)
    if backwards:
        renew_schedules()
    mark, dates = time.time(), lists_dates()
    began = last = time.monotonic()
    worked: float | None = None
    installed: float | None = None
    stall, astray, held, over = 0.0, 0, 0.0, False
    while not over:
        time.sleep(1)
        now, wall = time.monotonic(), time.time()
        at = wall - minute
        stall, last = max(stall, now - last), now
        # Twice in a row: a machine that stands still between these two lines is not astray.
        astray = astray + 1 if abs(wall - mark - (now - began)) > drifted else 0
        busy = at_work()
        if busy or (worked is None and lists_dates() != dates):
            worked = now
        if installed is None and (there := version(package)) and there != start:
            installed = at
        if (
            installed is None
            and -span.brink < at < 0
            and worked is not None
            and now - worked < RECENT
            and held < span.end
        ):
            time.clock_settime(time.CLOCK_REALTIME, wall - span.brink)
            mark, held = mark - span.brink, held + span.brink
        quiet = now - worked if worked is not None else 0.0
        if installed is not None:
            over = quiet > SETTLED
        elif worked is None:
            over = at > span.late
        else:
            over = quiet > QUIET and at > span.least
        over = over or at > span.end or now - began > span.lead + span.end + held or astray > 1
    drift = (time.time() - mark) - (time.monotonic() - began)
    return {"installed": installed, "version": version(package), "worked": worked is not None, "stall": round(stall, 1),
            "drift": round(drift, 1), "busy": at_work()}  # fmt: skip


def go_back(program: str) -> Told:
    """Run the candidate's program, as root, without a terminal."""
    status, out, err, late = attempt([program], BACK_SECONDS, "/", locale=language())
    return {"status": status, "said": f"{out}{err}"[-600:], "pace": pace() if late else 0.0}


def language() -> str:
    """The machine's own, in which a program may read what others say; empty when it has none."""
    lines = LANGUAGE.read_text(encoding="utf-8", errors="replace").splitlines() if LANGUAGE.is_file() else []
    return next((line.partition("=")[2].strip("\"' ") for line in lines if line.startswith("LANG=")), "")


def works(program: str, account: "Told | None" = None) -> bool:
    """Whether a program ends well, run by root or by that account."""
    if not os.access(program, os.X_OK):
        return False
    try:
        return subprocess.run([program], capture_output=True, check=False, **(account or {})).returncode == 0
    except OSError:
        return False


def rights(path: str) -> "tuple[int, int, int] | None":
    """Mode, owner and group of a file; None when it is not there."""
    try:
        kept = Path(path).stat()
    except OSError:
        return None
    return kept.st_mode, kept.st_uid, kept.st_gid


def mirror_known(suite: str) -> bool:
    """Whether apt knows of the mirror; it forgets what no source names any more when it next reads them."""
    return any(LISTS.glob(f"*_dists_{suite}_*"))


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
