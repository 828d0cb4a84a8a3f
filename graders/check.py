"""The check: a pytest function that grades one row of a referential.

Its points and its task are not here: they are in the sheet of the lab (lab.yaml, tasks[].checks).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from labs.models.lab import CHECK_ID

if TYPE_CHECKING:
    from graders.errand import Errand
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

Phase = Literal["live", "reboot"]
Early = Callable[["Bench", "ProbeClient"], None]
Errands = Callable[["Bench", "ProbeClient"], "Sequence[Errand]"]
F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "plateau_check"


@dataclass(frozen=True)
class CheckSpec:
    """What the decorator says, with the docstring."""

    id: str
    title: str
    needs: tuple[str, ...]
    causes: tuple[str, ...]
    nodes: tuple[str, ...]
    phase: Phase
    seconds: float
    early: Early | None
    errands: Errands | None
    disturbing: bool

    @property
    def after(self) -> tuple[str, ...]:
        """Checks that run before this one."""
        return self.needs + self.causes

    @property
    def competence(self) -> str:
        return self.id.partition(".")[0].partition("-")[0]


def check(
    check_id: str,
    *,
    needs: tuple[str, ...] = (),
    causes: tuple[str, ...] = (),
    nodes: tuple[str, ...] = (),
    phase: Phase = "live",
    seconds: float = 60.0,
    early: Early | None = None,
    errands: Errands | None = None,
    disturbing: bool = False,
) -> Callable[[F], F]:
    """Make a function `check_*` the check `check_id`; the first line of its docstring is its title (French).

    needs: checks that must be passed first; otherwise this one is blocked without being run.
    causes: checks whose failure explains a failure of this one, which then is blocked; it runs all the same, and is
        passed when it can (a wrong default route does not make a good DHCP service worth nothing).
    nodes: machines that must be up; otherwise this one is blocked by `node:NAME`.
    phase: `live` (as the candidate left the bench) or `reboot` (again after a real reboot).
    seconds: the time it may take; beyond, the verdict is `error`.
    early: starts slow measurements (ProbeClient.prefetch) when the grading of the bench begins.
    errands: the errands of the check, which start then too (the check asks for the same ones with `run_errand`).
    disturbing: machines may sleep or restart meanwhile, so it runs last in its phase.

    Raises ValueError when the id is not one or the docstring is missing.
    """
    if not CHECK_ID.match(check_id):
        raise ValueError(f"@check({check_id!r}): not a check id such as CP06-S1.a")

    def decorate(function: F) -> F:
        documentation = inspect.getdoc(function)
        if not documentation:
            raise ValueError(f"@check({check_id!r}): {function.__name__} has no docstring; the candidate reads it")
        title = documentation.splitlines()[0].strip()
        spec = CheckSpec(
            check_id, title, tuple(needs), tuple(causes), tuple(nodes), phase, seconds, early, errands, disturbing
        )
        setattr(function, ATTRIBUTE, spec)
        return function

    return decorate


def spec_of(function: object) -> CheckSpec | None:
    """The spec of a decorated function; None for any other."""
    spec = getattr(function, ATTRIBUTE, None)
    return spec if isinstance(spec, CheckSpec) else None
