"""What the plugin keeps in pytest's stashes: on the config, the run; on each item, its measurement."""

from __future__ import annotations

import pytest

from graders.notebook import Measurement
from graders.plugin.recording import Outcome
from graders.plugin.run import BenchRun, GradingRun

RUN = pytest.StashKey[GradingRun]()
BENCH_RUN = pytest.StashKey[BenchRun]()
MEASUREMENT = pytest.StashKey[Measurement]()
BEGAN = pytest.StashKey[float]()
KNOWN = pytest.StashKey[Outcome]()
"""The outcome of a check that need not be run."""
REPORT = pytest.StashKey[str]()
"""Where the report is, or why there is none."""
