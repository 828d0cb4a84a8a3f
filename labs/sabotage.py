"""Break something on a machine, and see that it is broken: what mutants and faults have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError, InputError
from labs.variants import render

if TYPE_CHECKING:
    from labs.bench import Bench
    from labs.hypervisors.base import ExecResult, Hypervisor

RUN_SECONDS = 120.0
APPLIED_SECONDS = 60.0
"""A mistake may take a moment to be in force (a service restarts, a card is configured again)."""


@dataclass(frozen=True)
class Sabotage:
    """Two shell programs, templates over the candidate's values, run as root on `node` through the hypervisor.

    `applied` ends with status 0 when what `run` does is in force, and with another status before.
    """

    node: str
    run: str
    applied: str

    def apply(self, hypervisor: Hypervisor, bench: Bench) -> str | None:
        """Do it; why it is not seen applied, or None when it is.

        Raises HypervisorError or DeadlineError when the machine does not answer, InputError when a template is wrong.
        """
        if self._shell(hypervisor, bench, self.applied, RUN_SECONDS).exit_status == 0:
            return "`applied` holds before `run`"
        done = self._shell(hypervisor, bench, self.run, RUN_SECONDS)
        if done.exit_status:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"`run` ended with status {done.exit_status}: {words[-1] if words else 'no message'}"
        deadline = Deadline.after(APPLIED_SECONDS)
        for _ in deadline.ticks(1.0):
            try:
                if self._shell(hypervisor, bench, self.applied, deadline.remaining + 5).exit_status == 0:
                    return None
            except (DeadlineError, HypervisorError):
                continue  # a card that is configured again may take the agent with it for a moment
        return "`applied` does not hold after `run`"

    def _shell(self, hypervisor: Hypervisor, bench: Bench, script: str, seconds: float) -> ExecResult:
        try:
            text = render(script, bench.variables)
        except (TemplateError, ValueError, TypeError) as problem:
            shown = script.strip().splitlines()[0][:60]
            raise InputError(f"{self.node}: `{shown}` cannot be rendered: {problem}; run plateau lab check") from None
        key = bench.node(self.node).spec.key
        return hypervisor.execute(key, ["/bin/sh"], Deadline.after(seconds), stdin=text.encode())
