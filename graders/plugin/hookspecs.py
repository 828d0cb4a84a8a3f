"""Hooks that a test (or another hypervisor) may implement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from graders.probe_client import Link
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.models.session import Session


@pytest.hookspec(firstresult=True)
def pytest_plateau_hypervisor(session: Session) -> Hypervisor | None:
    """The hypervisor of a session; by default the one that its profile names."""


@pytest.hookspec(firstresult=True)
def pytest_plateau_probe(hypervisor: Hypervisor, bench: Bench) -> Callable[[], Link] | None:
    """How the probe agent of a bench is started; by default over SSH to its node of role `probe`."""
