"""Tests with virtual machines take turns; the others run beside them (pytest-xdist's groups, `nox -s tests`)."""

from __future__ import annotations

from pathlib import Path

import pytest

WITH_MACHINES = {"contract", "e2e"}
FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test that starts machines into one group: one process runs them all, one after the other."""
    for item in items:
        if item.path.is_relative_to(FOLDER) and item.path.relative_to(FOLDER).parts[0] in WITH_MACHINES:
            item.add_marker(pytest.mark.xdist_group("machines"))
