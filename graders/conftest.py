"""Loads the grading plugin for this folder, so that plain `pytest graders/ --session …` works."""

from graders.plugin.fixtures import (
    _bench_run,
    bench,
    deadline,
    device,
    expect,
    host,
    login,
    patience,
    probe,
    undo,
    windows,
)
from graders.plugin.hooks import (
    candidate,
    pytest_addhooks,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_plateau_hypervisor,
    pytest_plateau_probe,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_sessionfinish,
    pytest_sessionstart,
)
from graders.plugin.options import pytest_addoption
from graders.plugin.terminal import pytest_report_teststatus, pytest_terminal_summary

__all__ = [
    "_bench_run",
    "bench",
    "candidate",
    "deadline",
    "device",
    "expect",
    "host",
    "login",
    "patience",
    "probe",
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "pytest_plateau_hypervisor",
    "pytest_plateau_probe",
    "pytest_report_teststatus",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_terminal_summary",
    "undo",
    "windows",
]
