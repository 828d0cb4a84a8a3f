"""Did the host let the machines run? One that waited for a processor is slow through no fault of its candidate's."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labs.errors import PlateauError

if TYPE_CHECKING:
    from graders.notebook import Notebook
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor

SLOWED = "machines kept waiting by the host"
STARVED = 0.5
"""Part of the time, of one machine, above which what failed is not yet the candidate's failure."""


@dataclass(frozen=True)
class Look:
    """How long each machine had waited for the host (seconds) at a moment of the grader's clock."""

    at: float
    waited: dict[str, float]


class HostWaits:
    """The waiting of a bench's machines, the probe's too, since it was opened."""

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench) -> None:
        self._hypervisor, self._bench = hypervisor, bench
        self.first = self.look()

    def look(self) -> Look:
        waited: dict[str, float] = {}
        if self._hypervisor is None:
            return Look(time.monotonic(), waited)
        for node in self._bench.nodes:
            with contextlib.suppress(PlateauError):
                waited[node.name] = self._hypervisor.waited(node.spec.key)
        return Look(time.monotonic(), waited)

    def slowed(self, began: Look, notebook: Notebook) -> str:
        """Which machine the host kept waiting, and how much of the time (French); empty when none was.

        The answer is kept for a judgement from the snapshot, where nobody can look any more.
        """
        if notebook.snapshot.replaying:
            return str(notebook.recall_own("grader", SLOWED) or "")
        name, part = self.worst(began)
        if part < STARVED:
            return ""
        told = f"{name} a attendu un processeur de l'hôte {part:.0%} du temps".replace("%", " %")
        notebook.keep("grader", SLOWED, told)
        return told

    def worst(self, began: Look) -> tuple[str, float]:
        """The machine that waited most, with the part of the time that it waited: since `began`, or in the whole."""
        now = self.look()
        found = [
            (name, (waited - since.waited.get(name, waited)) / max(now.at - since.at, 1e-3))
            for since in (began, self.first)
            for name, waited in now.waited.items()
        ]
        return max(found, key=lambda one: one[1], default=("", 0.0))
