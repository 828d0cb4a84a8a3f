"""What a check may ask for: bench, probe, login, expect, deadline, patience."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from graders.plugin.keys import BENCH_RUN, MEASUREMENT

if TYPE_CHECKING:
    from graders.expect import Expect
    from graders.login import Login
    from graders.notebook import Measurement
    from graders.plugin.run import BenchRun
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline


@pytest.fixture
def _bench_run(request: pytest.FixtureRequest) -> BenchRun:
    return cast("BenchRun", request.node.stash[BENCH_RUN])


@pytest.fixture
def bench(_bench_run: BenchRun) -> Bench:
    """The candidate's bench: everything expected is computed from `bench.values`."""
    return _bench_run.bench


@pytest.fixture
def probe(_bench_run: BenchRun) -> ProbeClient:
    """The probe machine: `probe.call("icmp.ping", "lan", address=…)`."""
    return _bench_run.probe


@pytest.fixture
def login(_bench_run: BenchRun) -> Login:
    """Logs in to a candidate's machine: `login("ws")` is a testinfra host."""
    return _bench_run.login


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expect:
    """The expectations of this check."""
    return _measurement(request).expect


@pytest.fixture
def deadline(request: pytest.FixtureRequest) -> Deadline:
    """The moment by which this check must end."""
    return _measurement(request).deadline


@pytest.fixture
def patience(_bench_run: BenchRun, deadline: Deadline) -> Deadline:
    """How long a behaviour may take to be there: a lost packet now, a whole start-up after a reboot."""
    return deadline.sooner(40.0 if _bench_run.rebooted else 4.0)


def _measurement(request: pytest.FixtureRequest) -> Measurement:
    return cast("Measurement", request.node.stash[MEASUREMENT])
