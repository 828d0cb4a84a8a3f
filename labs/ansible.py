"""Run a playbook in a process of our own and tell how it went, task by task.

ansible-runner takes over the process it runs in, and Ansible's workers lead sessions of their own, so all of it lives
under a child (labs/ansible_child.py) that ends when we do and leaves no process behind, SSH masters included: a bench
that is rolled back must not meet a connection from before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, InterruptedRunError, PlateauError
from labs.inventory import host_name
from labs.paths import PLAYBOOKS

if TYPE_CHECKING:
    from labs.bench import Bench

Status = Literal["started", "ok", "changed", "skipped", "ignored", "failed", "unreachable"]
Progress = Callable[[str, str, Status], None]
"""Called with (task, host, status) as things happen."""

FOREIGN = ("ANSIBLE_", "AWX_", "RUNNER_", "PYTHON")


@dataclass(frozen=True)
class HostSummary:
    """How many tasks of a host ended in each way."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0


@dataclass(frozen=True)
class Summary:
    """Outcome of a playbook in which nothing failed."""

    hosts: Mapping[str, HostSummary]
    seconds: float

    @property
    def changed(self) -> int:
        return sum(host.changed for host in self.hosts.values())


class PlaybookError(PlateauError):
    """A playbook did not end well; names the task, the host and the first message."""


def run_playbook(
    playbook: str | Path,
    inventory: Path,
    deadline: Deadline,
    *,
    limit: Sequence[str] = (),
    variables: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    fail_fast: bool = False,
    partial: bool = False,
) -> Summary:
    """Run `playbook` (a path, or a name under playbooks/) on the hosts or groups of `limit`, or on all.

    With `partial`, `limit` may leave some of its plays, or all, without a host: they are passed over.

    Raises PlaybookError for the first failure (with `fail_fast` at once, else when the other hosts are done),
    DeadlineError when time is up, InterruptedRunError once `cancelled` is set; nothing is left running in any case, nor
    after Ctrl-C.
    """
    path = playbook_path(playbook)
    folder = Path(tempfile.mkdtemp(prefix="plateau-ansible-"))
    started = time.monotonic()
    try:
        request = {
            "folder": str(folder),
            "playbook": str(path),
            "inventory": str(inventory.absolute()),
            "limit": ",".join(limit),
            "variables": dict(variables or {}),
            "partial": partial,
        }
        child = _child(request, folder)
        hosts = _follow(child, path, deadline, progress, cancelled, fail_fast=fail_fast)
        return Summary(hosts, time.monotonic() - started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(
    playbook: Path,
    inventory: Path,
    benches: Sequence[Bench],
    tell: Callable[[str, str], None],
    *,
    cancelled: threading.Event | None = None,
) -> Summary:
    """Run a playbook on the machines of `benches`, telling (machine, what it is at).

    Twenty minutes, two more per bench: making a domain takes ten on two cores that emulate seven machines.
    """
    hosts = [host_name(node) for bench in benches for node in bench.nodes]

    def progress(task: str, host: str, status: Status) -> None:
        tell(host, task if status == "started" else f"{task}: {status}")

    deadline = Deadline.after(1200 + 120 * len(benches))
    alone = len(benches) == 1  # its other machines may wait for what failed
    return run_playbook(
        playbook, inventory, deadline, limit=hosts, progress=progress, cancelled=cancelled, fail_fast=alone
    )


def playbook_path(playbook: str | Path) -> Path:
    """The playbook's file. Raises PlaybookError when there is none."""
    path = Path(playbook)
    for candidate in (path, PLAYBOOKS / path):
        if candidate.is_file():
            return candidate.absolute()
    raise PlaybookError(f"{playbook}: no such playbook, here or in {PLAYBOOKS}")


def environment(folder: Path) -> dict[str, str]:
    """What Ansible sees of the user's environment: nothing that configures it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "PYTHONUNBUFFERED": "1",
    }


def _child(request: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "labs.ansible_child", str(folder / "request.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(folder),
            cwd=PLAYBOOKS,
            start_new_session=True,
        )


@dataclass
class _Told:
    """What a child's events have told so far."""

    failure: str | None = None
    """The first one."""
    hosts: dict[str, HostSummary] | None = None
    busy: dict[str, str] = field(default_factory=dict)
    """The task that each host is at."""

    def take(self, event: Mapping[str, Any], progress: Progress | None) -> None:
        """One more event."""
        if "hosts" in event:
            self.hosts = {name: HostSummary(**counts) for name, counts in event["hosts"].items()}
            return
        if "problem" in event:
            self.failure = self.failure or str(event["problem"])
            return
        task, host, status = str(event["task"]), str(event["host"]), cast(Status, event["status"])
        if progress is not None:
            progress(task, host, status)
        if status == "started":
            self.busy[host] = task
        else:
            self.busy.pop(host, None)
        if status in {"failed", "unreachable"} and self.failure is None:
            self.failure = f"{task}: {host}: {event.get('message') or status}"


def _follow(
    child: subprocess.Popen[bytes],
    playbook: Path,
    deadline: Deadline,
    progress: Progress | None,
    cancelled: threading.Event | None,
    *,
    fail_fast: bool,
) -> dict[str, HostSummary]:
    """Read the child's events until it ends. Raises as run_playbook does."""
    told, code = _Told(), 0
    try:
        for event in _events(child, deadline, playbook, cancelled):
            told.take(event, progress)
            if fail_fast and told.failure is not None:
                break
        else:
            code = child.wait(timeout=max(1.0, deadline.remaining))
    except DeadlineError as late:
        if told.failure is None:
            at = ", ".join(f"{host} at {task!r}" for host, task in sorted(told.busy.items()))
            raise DeadlineError(f"{late} ({at or 'between two tasks'})") from None
    finally:
        _kill(child)
    if told.failure is not None:
        raise PlaybookError(f"{playbook.name}: {told.failure}")
    if code != 0 or told.hosts is None:
        raise EnvironmentLackError(f"{playbook.name}: Ansible did not run (status {code}): {_last_words(child)}")
    return told.hosts


def _events(
    child: subprocess.Popen[bytes], deadline: Deadline, playbook: Path, cancelled: threading.Event | None
) -> Iterator[dict[str, Any]]:
    import selectors

    assert child.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            while not selector.select(min(1.0, deadline.remaining)):
                if deadline.expired:
                    raise DeadlineError(f"{playbook.name}: still running at the deadline; it was stopped")
                if cancelled is not None and cancelled.is_set():
                    raise InterruptedRunError(f"{playbook.name}: cut short")
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child: politely, so that it ends what it started, then for good."""
    if child.stdout is not None:
        child.stdout.close()
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience)


def _last_words(child: subprocess.Popen[bytes]) -> str:
    request = Path(cast(Sequence[str], child.args)[-1])
    with contextlib.suppress(OSError):
        lines = (request.parent / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1].strip()
    return "no message"
