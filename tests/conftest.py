"""Tests with virtual machines take turns; those that need none run beside them (`nox -s tests`)."""

from __future__ import annotations

from typing import Any

import pytest

from graders.plugin.limits import end_politely

WITH_MACHINES = ("tests/contract/", "tests/e2e/")


def pytest_configure() -> None:
    """SIGTERM ends tests without `-n` as Ctrl-C does: the machines that they started are stopped."""
    end_politely()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process runs all tests that start machines, one after the other; else a file's tests stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class Turns(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "machines" if nodeid.startswith(WITH_MACHINES) else nodeid.partition("::")[0]

    return Turns(config, log)
