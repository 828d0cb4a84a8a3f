"""Cables that a check pulls and plugs through the hypervisor, which no machine of the bench can prevent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from labs.deadline import Deadline
from labs.errors import InputError

if TYPE_CHECKING:
    from graders.notebook import Notebook
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor

SECONDS = 30.0
Undo = Callable[[str, Callable[[], object]], None]


class Cables:
    """Pulls and plugs; what a check leaves pulled is plugged when it has ended.

    >>> cables.pull("ws", "lan")
    >>> cables.plug("ws", "lan")
    """

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench, notebook: Notebook, undo: Undo) -> None:
        self._hypervisor, self._bench, self._notebook, self._undo = hypervisor, bench, notebook, undo

    def pull(self, node: str, segment: str) -> None:
        """Take the cable out of the machine's card of that segment."""
        self._notebook.current.acted = True
        self._undo(f"câble de {node} ({segment})", lambda: self._set(node, segment, up=True))
        self._set(node, segment, up=False)

    def plug(self, node: str, segment: str) -> None:
        """Put it back; nothing happens when it is there."""
        self._set(node, segment, up=True)

    def wait(self, seconds: float) -> None:
        """Let the bench react; a judgement from a snapshot does not wait."""
        if self._hypervisor is not None:
            time.sleep(seconds)

    def _set(self, node: str, segment: str, *, up: bool) -> None:
        action = f"{'plug' if up else 'pull'} {node} {segment}"
        if self._hypervisor is None:
            self._notebook.recall("hypervisor", action)
            return
        began = time.monotonic()
        spec = self._bench.node(node).spec
        cards = [index for index, nic in enumerate(spec.nics) if nic.segment == segment]
        if not cards:
            raise InputError(f"cables: {node} has no card on {segment}")
        self._hypervisor.set_link(spec.key, cards[0], up, Deadline.after(SECONDS))
        self._notebook.keep("hypervisor", action, True, time.monotonic() - began)
        self._notebook.add("hypervisor", action, "", time.monotonic() - began)
