"""The power key of a machine, pressed through the hypervisor, which then sees what became of the machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.base import Power

if TYPE_CHECKING:
    from graders.notebook import Notebook
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor, NodeKey

KEY = "power"
"""QEMU's name of it (QKeyCode)."""
PRESSES = 2
QUESTION_SECONDS, AGENT_SECONDS, BACK_SECONDS = 20.0, 30.0, 240.0
SILENCES = 2
"""Waits of AGENT_SECONDS without an answer, after which the machine is reset."""
SETTLED_SECONDS = 10.0
LOOK = 0.5
Undo = Callable[[str, Callable[[], object]], None]


class Becomes(StrEnum):
    """What a machine is after its power key was pressed."""

    ASLEEP = "asleep"
    """Suspended to memory (ACPI S3)."""
    OFF = "off"
    ON = "on"
    """Nothing happened in the time that was given."""


class PowerKey:
    """Presses it; a machine that a check leaves asleep or off runs again when the check has ended.

    >>> power_key.press("ws", 60)
    <Becomes.ASLEEP: 'asleep'>
    >>> power_key.back("ws", 20)
    <Becomes.ON: 'on'>
    """

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench, notebook: Notebook, undo: Undo) -> None:
        self._hypervisor, self._bench, self._notebook, self._undo = hypervisor, bench, notebook, undo
        self._changed: set[str] = set()
        """Machines whose key was pressed, and which were not seen up again since."""

    def state(self, node: str) -> Becomes:
        """What the machine is now. Raises ProbeError when the hypervisor does not tell."""
        return self._noted(node, f"state of {node}", _state)

    def press(self, node: str, seconds: float) -> Becomes:
        """Press the key and watch the machine for so many seconds; press once more when nothing happens by then."""
        self._notebook.current.acted = True

        def act(hypervisor: Hypervisor, key: NodeKey) -> Becomes:
            self._changed.add(node)
            self._undo(f"remise en marche de {node}", lambda: self._leave_running(hypervisor, key))
            found = Becomes.ON
            for _ in range(PRESSES):
                hypervisor.press(key, KEY, Deadline.after(QUESTION_SECONDS))
                found = _watch(hypervisor, key, seconds)
                if found is not Becomes.ON:
                    break
            return found

        return self._noted(node, f"power key of {node}, {seconds:g} s", act)

    def back(self, node: str, seconds: float) -> Becomes:
        """Wake the machine, or power it on, and watch it for so many seconds once it answers.

        Raises ProbeError when it never does.
        """

        def act(hypervisor: Hypervisor, key: NodeKey) -> Becomes:
            _start(hypervisor, key)
            found = _watch(hypervisor, key, seconds)
            if found is Becomes.ON:
                self._changed.discard(node)
            return found

        return self._noted(node, f"{node} back, {seconds:g} s", act)

    def _leave_running(self, hypervisor: Hypervisor, key: NodeKey) -> None:
        """The machine runs and goes on: one that was still shutting down answers for a moment, and is started again."""
        while key.node in self._changed:
            _start(hypervisor, key)
            if _watch(hypervisor, key, SETTLED_SECONDS) is Becomes.ON:
                self._changed.discard(key.node)

    def _noted(self, node: str, action: str, act: Callable[[Hypervisor, NodeKey], Becomes]) -> Becomes:
        if self._hypervisor is None:
            return Becomes(self._notebook.recall("hypervisor", action))
        began = time.monotonic()
        try:
            found = act(self._hypervisor, self._bench.node(node).spec.key)
        except (HypervisorError, DeadlineError) as problem:
            raise ProbeError(str(problem)) from None
        taken = time.monotonic() - began
        self._notebook.keep("hypervisor", action, found.value, taken)
        self._notebook.add("hypervisor", action, found.value, taken)
        return found


def _state(hypervisor: Hypervisor, key: NodeKey) -> Becomes:
    power = hypervisor.status(key).power
    if power is Power.PAUSED:
        raise HypervisorError(f"{key}: halted by its host, whose disk is full, or by hand there")
    if power is not Power.RUNNING:
        return Becomes.OFF
    return Becomes.ASLEEP if hypervisor.asleep(key, Deadline.after(QUESTION_SECONDS)) else Becomes.ON


def _watch(hypervisor: Hypervisor, key: NodeKey, seconds: float) -> Becomes:
    """The first state that is not ON within so many seconds.

    Raises HypervisorError when the last question had no answer; a machine that ends may leave one without.
    """
    found, problem = Becomes.ON, None
    for _ in Deadline.after(seconds).ticks(LOOK):
        try:
            found, problem = _state(hypervisor, key), None
        except (HypervisorError, DeadlineError) as silent:
            problem = silent
        if found is not Becomes.ON:
            return found
    if problem:
        raise problem
    return found


def _start(hypervisor: Hypervisor, key: NodeKey) -> None:
    """Wake the machine or power it on, until its agent answers: what goes off meanwhile is started again.

    One that runs and stays silent (asleep in a way that the hypervisor cannot see, ACPI S0) is reset; not one that was
    off and may still be booting, which a reset would begin again.
    """
    deadline, booting = Deadline.after(BACK_SECONDS), False
    for attempt, _ in enumerate(deadline.ticks(LOOK)):
        with contextlib.suppress(HypervisorError, DeadlineError):
            booting = booting or _state(hypervisor, key) is Becomes.OFF
            if attempt == SILENCES and not booting:
                hypervisor.reset(key, deadline)
            hypervisor.start(key, deadline)
            hypervisor.wait_agent(key, deadline.sooner(AGENT_SECONDS))
            return
    raise ProbeError(f"{key.node} did not answer within {BACK_SECONDS:.0f} s of its start")
