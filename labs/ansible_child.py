"""The child of labs.ansible: run one playbook with ansible-runner and print what happens, one JSON object a line."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

STATUS = {
    "runner_on_start": "started",
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
NO_HOST = "playbook_on_no_hosts_matched"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Read the request whose path is the only argument; return Ansible's exit status."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cancelled = watch_signals()
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # nothing but events on our stdout

    def tell(event: dict[str, Any]) -> None:
        print(json.dumps(event), file=events, flush=True)

    def on_event(event: dict[str, Any]) -> bool:
        told = translate(event)
        if told is not None and not (request["partial"] and event["event"] == NO_HOST):
            tell(told)
        return False  # keep no copy on disk

    import ansible_runner

    private = Path(request["folder"]) / "runner"
    private.mkdir()
    try:
        run = ansible_runner.run(
            private_data_dir=str(private),
            project_dir=str(Path(request["playbook"]).parent),
            playbook=request["playbook"],
            inventory=request["inventory"],
            limit=request["limit"] or None,
            extravars=request["variables"],
            event_handler=on_event,
            cancel_callback=cancelled.is_set,
            settings={"pexpect_timeout": 1},  # how often it looks at cancel_callback, in seconds
            suppress_env_files=True,
            quiet=True,
        )
        if run.rc != 0:
            tell({"problem": words(run.stdout.read())})
        return int(run.rc)
    finally:
        kill_descendants()


def watch_signals() -> threading.Event:
    """The event that is set when we are asked to stop, which the kernel also does when our parent dies."""
    cancelled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cancelled.set())
    kernel = ctypes.CDLL(None)
    kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return cancelled


def kill_descendants() -> None:
    """End Ansible's workers and SSH masters: each leads a session of its own, out of reach of ansible-runner's killpg.

    We are their subreaper, so whoever lost its parent is our child now.
    """
    until = time.monotonic() + 5
    while (pids := descendants(os.getpid())) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def descendants(ancestor: int) -> list[int]:
    """Every process below `ancestor`, zombies included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    level = [ancestor]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def translate(event: dict[str, Any]) -> dict[str, Any] | None:
    """One of ansible-runner's events as (task, host, status, message), or None when it says nothing to us."""
    data = event.get("event_data") or {}
    if event["event"] == NO_HOST:
        return {"problem": "no host of the inventory matches"}
    if event["event"] == "playbook_on_stats":
        return {"hosts": recap(data)}
    status = STATUS.get(event["event"])
    if status is None:
        return None
    result = data.get("res") or {}
    if status == "ok" and result.get("changed"):
        status = "changed"
    if status == "failed" and data.get("ignore_errors"):
        status = "ignored"
    told = {"task": data.get("task") or "", "host": data.get("host") or "", "status": status}
    if status in {"failed", "unreachable"}:
        told["message"] = message(result)
    return told


def message(result: dict[str, Any]) -> str:
    """What a failed task has to say, in one line: the module's message, or what the command wrote."""
    parts = [_without_ssh(str(result.get(field) or "")) for field in ("msg", "stderr", "module_stderr", "stdout")]
    if "Host key verification failed" in parts[0]:
        return "its SSH host key is not the one that Plateau gave it; run plateau up, then again"
    if parts[0] in {"non-zero return code", "MODULE FAILURE"}:
        parts = [*parts[1:], parts[0]]
    for item in result.get("results") or []:
        if isinstance(item, dict) and item.get("failed"):
            parts.insert(0, message(item))
    return next((" ".join(part.split()) for part in parts if part), "failed without a message")


def _without_ssh(text: str) -> str:
    """What the command itself wrote: ssh(1) says last that it leaves its shared connection."""
    kept = [line for line in text.strip().splitlines() if not line.startswith("Shared connection to ")]
    return "\n".join(kept).strip()


def recap(stats: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Ansible's recap, host by host."""
    columns = {"ok": "ok", "changed": "changed", "failed": "failures", "unreachable": "dark"}
    names = sorted({name for column in (*columns.values(), "skipped") for name in stats.get(column) or {}})
    return {name: {ours: (stats.get(theirs) or {}).get(name, 0) for ours, theirs in columns.items()} for name in names}


def words(output: str) -> str:
    """Ansible's own complaint (a syntax error, a missing file) when no task failed."""
    import re

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in output.splitlines()]
    complaints = [line for line in lines if re.match(r"(\[?ERROR\]?|fatal)", line, re.IGNORECASE)]
    told = (complaints or [line for line in lines if line] or ["no message"])[0]
    return f"{told} Run ./bootstrap collections." if "couldn't resolve module/action" in told else told


if __name__ == "__main__":
    sys.exit(main())
