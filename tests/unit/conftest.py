"""Every unit test has its own, empty state and cache folders."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# How long an example takes depends on what else this machine does; what it finds must not depend on luck.
hypothesis.settings.register_profile("plateau", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("plateau")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home: Path = tmp_path_factory.mktemp("xdg")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
