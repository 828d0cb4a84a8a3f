"""Machines that really reboot: all graded ones at once for the persistence phase, or one for a check."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.powershell import POWERSHELL

if TYPE_CHECKING:
    from graders.login import Login
    from graders.notebook import Notebook
    from labs.bench import Bench, BenchNode
    from labs.hypervisors.base import Hypervisor, NodeKey

REBOOT_SECONDS = 300.0
SHUTDOWN_SECONDS = 60.0
"""The old system may take this long to go; then the reset button is pressed."""
SILENCE_SECONDS = 150.0
"""And this long in all while nothing answers: it goes down and starts."""
SETTLE_SECONDS = 40.0
"""For the machine's own services to be started, once its agent answers."""
SETTLE_INTERVAL = 3.0
"""Between two questions while it starts: asked each second, the agent took a quarter of an emulated processor."""
EMULATED = 3.0
"""How many times longer each of these is where machines are emulated in software: a reset in the middle of a slow boot
begins it again, and a machine that was still starting would count as one that does not come back."""


@dataclass(frozen=True)
class System:
    """How a kind of system is asked by its guest agent."""

    boot_id: tuple[str, ...]
    restart: tuple[str, ...]
    settled: tuple[str, ...]
    """Tells one of SETTLED once nothing is being started any more."""
    answer_seconds: float
    settle_seconds: float


def _powershell(program: str) -> tuple[str, ...]:
    return (POWERSHELL, "-NoProfile", "-NonInteractive", "-Command", program)


DEBIAN = System(
    boot_id=("/bin/cat", "/proc/sys/kernel/random/boot_id"),
    restart=("/bin/sh", "-c", "sync; (sleep 0.5; systemctl reboot) >/dev/null 2>&1 &"),
    settled=("systemctl", "is-system-running"),
    answer_seconds=5.0,
    settle_seconds=SETTLE_SECONDS,
)
WINDOWS = System(
    # Not the time of the last start, which moves with the clock: the process that begins the services' session.
    boot_id=_powershell(
        "Get-Process -Name wininit | ForEach-Object { '{0}-{1}' -f $_.Id, $_.StartTime.ToFileTimeUtc() }"
    ),
    restart=("shutdown.exe", "/r", "/t", "1"),
    settled=_powershell(
        "if ((Get-Service | Where-Object { [string]$_.Status -eq 'StartPending' }) -or "
        "[string](Get-Service -Name WinRM).Status -ne 'Running') { 'starting' } else { 'running' }"
    ),
    answer_seconds=20.0,
    settle_seconds=180.0,
)
"""Never run on a Windows."""
SETTLED = frozenset({"running", "degraded"})
NO_ANSWER = "no answer"
QUESTIONS = 3
RESET = "reset"


def system_of(node: BenchNode) -> System | None:
    """How the machine is rebooted; None when no route tells whether it really was."""
    if node.model.windows:
        return WINDOWS
    return DEBIAN if node.model.unix else None


def reboot(hypervisor: Hypervisor, nodes: Sequence[BenchNode]) -> dict[str, str]:
    """Reboot the machines and wait until they are back; what happened to each, as text for the evidence.

    A machine that does not come back is not an error here: `restarted` tells, and liveness, after.
    """
    slowness = max(1.0 if host.accelerator == "kvm" else EMULATED for host in hypervisor.capacity())
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        told = list(pool.map(lambda node: _reboot_one(hypervisor, node, slowness), nodes))
    return {node.name: text for node, text in zip(nodes, told, strict=True)}


def restarted(told: str) -> bool:
    """Whether what `reboot` told of a machine says that it restarted, and answers."""
    return NO_ANSWER not in told


def whole(told: str) -> bool:
    """Whether all its services were started."""
    return told.rpartition("system ")[2].startswith("running")


def pressed(told: str) -> bool:
    """Whether its reset button was pressed: it restarted, whatever it answers."""
    return told.startswith(f"{RESET}:")


class Restart:
    """Restarts one machine of the bench, and waits until nothing is being started on it any more.

    >>> restart("ws")
    """

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench, notebook: Notebook, login: Login) -> None:
        self._hypervisor, self._bench, self._notebook, self._login = hypervisor, bench, notebook, login

    def __call__(self, node: str) -> None:
        """Raises ProbeError when the machine does not come back."""
        action = f"restart {node}"
        self._login.forget()
        self._notebook.current.acted = True
        if self._hypervisor is None:
            told = str(self._notebook.recall("hypervisor", action))
        else:
            began = time.monotonic()
            told = reboot(self._hypervisor, [self._bench.node(node)])[node]
            self._notebook.keep("hypervisor", action, told, time.monotonic() - began)
            self._notebook.add("hypervisor", action, told, time.monotonic() - began)
        if not restarted(told):
            raise ProbeError(f"{node} was restarted and did not come back: {told}")


def boot_id(hypervisor: Hypervisor, key: NodeKey, deadline: Deadline, system: System = DEBIAN) -> str | None:
    """What is another after each start; None when the agent does not answer."""
    try:
        result = hypervisor.execute(key, system.boot_id, deadline)
    except (HypervisorError, DeadlineError):
        return None
    return result.text.strip() or None if result.exit_status == 0 else None


def _reboot_one(hypervisor: Hypervisor, node: BenchNode, slowness: float) -> str:
    key, began, system = node.spec.key, time.monotonic(), system_of(node)
    assert system is not None
    deadline = Deadline.after(REBOOT_SECONDS * slowness)
    before = boot_id(hypervisor, key, deadline.sooner(2 * system.answer_seconds), system)
    for _ in range(QUESTIONS - 1):  # without it nobody could tell the new start from the old one
        before = before or boot_id(hypervisor, key, deadline.sooner(2 * system.answer_seconds), system)
    with hypervisor.restarts(key, deadline) as seen:
        with contextlib.suppress(HypervisorError, DeadlineError):
            hypervisor.execute(key, system.restart, deadline.sooner(10))
        after, way = _wait_new_boot(hypervisor, key, system, before, deadline, slowness, seen)
    if after is None:
        return f"{way}: boot id {before}, then {NO_ANSWER} for {time.monotonic() - began:.0f} s"
    booted = time.monotonic() - began
    settled = _wait_settled(hypervisor, key, system, deadline.sooner(system.settle_seconds * slowness))
    return f"{way}: boot id {before} -> {after} in {booted:.0f} s, {settled} in {time.monotonic() - began:.0f} s"


def _wait_new_boot(
    hypervisor: Hypervisor,
    key: NodeKey,
    system: System,
    before: str | None,
    deadline: Deadline,
    slowness: float,
    seen: Callable[[], bool | None],
) -> tuple[str | None, str]:
    """The new boot id and how it came about: the reset button is pressed once, when shutting down does not end, at
    once when the old system told nothing that the new one could be told by, or when it claims a restart that the
    hypervisor has not seen. Where the hypervisor refuses, it is pressed again.
    """
    way, asked, began = "reboot", False, time.monotonic()
    for _ in deadline.ticks(1.0):
        now = boot_id(hypervisor, key, deadline.sooner(system.answer_seconds), system) if before else None
        if now is not None and now != before:
            if asked or seen() is not False:
                return now, way
            before = None
        limit = (SHUTDOWN_SECONDS if now is not None else SILENCE_SECONDS) if before else 0.0
        if not asked and time.monotonic() - began >= limit * slowness:
            with contextlib.suppress(HypervisorError, DeadlineError):
                hypervisor.reset(key, deadline)
                asked, way, before = True, RESET, before or "unknown"
    return None, way


def _wait_settled(hypervisor: Hypervisor, key: NodeKey, system: System, deadline: Deadline) -> str:
    """Wait until no service is being started; one that hangs must not hold the grading."""
    state = "unknown"
    for _ in deadline.ticks(SETTLE_INTERVAL):
        with contextlib.suppress(HypervisorError, DeadlineError):
            state = hypervisor.execute(key, system.settled, deadline.sooner(system.answer_seconds)).text.strip()
        if state in SETTLED:
            break
    return f"system {state}"
