"""A place for each test: its own session folder and state folder, the user's image cache."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from place import CANDIDATE, Place

from labs.bench import compute_benches
from labs.deadline import Deadline
from labs.hypervisors import open_hypervisor
from labs.hypervisors.qemu import processes
from labs.models.profile import Profile
from labs.models.session import load_session
from labs.paths import INVENTORIES


@pytest.fixture(scope="session")
def images() -> None:
    """Everything that the lab's machines are cloned from, in the user's cache."""
    hypervisor = open_hypervisor(Profile())
    session = load_session(str(INVENTORIES / "demo"))
    specs = [node.spec for bench in compute_benches(session) for node in bench.nodes]
    if hypervisor.missing(specs):
        hypervisor.prepare(specs, lambda what, step: print(f"{what}: {step}", file=sys.stderr))


@pytest.fixture
def place(images: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty place; what a failed test leaves running is ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield Place(tmp_path, CANDIDATE)
    for pid in processes.owned(tmp_path):
        os.kill(pid, signal.SIGKILL)
        processes.end(pid, Deadline.after(10), force=True)
