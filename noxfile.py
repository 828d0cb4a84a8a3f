"""The project's chores. `./bootstrap SESSION` runs one; they share the environment that bootstrap made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

from labs.models.lab import lab_names, load_lab

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = False

LOCK_COMMAND = "nox -s lock"


def python(session: nox.Session, *arguments: str) -> None:
    """Run the environment's Python, whatever PATH says."""
    session.run(sys.executable, *arguments, external=True)


def plateau(session: nox.Session, *arguments: str) -> None:
    """Run the command line of this checkout."""
    session.run(str(Path(sys.executable).with_name("plateau")), *arguments, external=True)


def run_lint(session: nox.Session) -> None:
    """Style of the Python files, and of bootstrap when shellcheck is there."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    if shutil.which("shellcheck"):
        session.run("shellcheck", "bootstrap", ".ci/run", external=True)
    else:
        session.log("shellcheck is not installed: bootstrap was not checked")


def run_types(session: nox.Session) -> None:
    """Strict types of labs/ and graders/."""
    python(session, "-m", "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite: lint, types, then unit, contract and end-to-end tests on real machines."""
    run_lint(session)
    run_types(session)
    python(session, "-m", "pytest", "--doctest-modules", "--durations=10", "labs", "tests", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """What needs no virtual machine."""
    python(session, "-m", "pytest", "--doctest-modules", "labs", "tests/unit", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff, and shellcheck when it is installed."""
    run_lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Strict mypy on labs/ and graders/."""
    run_types(session)


@nox.session
def demo(session: nox.Session) -> None:
    """One bench: up, graded, solved, graded again, reported, down."""
    plateau(session, "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """A benchmark: `nox -s bench -- NAME [options]`; figures go to .bench/NAME.json."""
    python(session, "-m", "benchmarks", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """What CI runs each night: the suite, the demonstration, the proof of every lab and version, the benchmarks."""
    tests(session)
    python(session, "-m", "pytest", "tests/e2e/nightly_no_trace.py")
    plateau(session, "demo")
    for lab in lab_names():
        plateau(session, "prove", lab, "--seeds", "2", "--repeat", "3")
        for training in load_lab(lab).trainings:
            states = ("--part", "pristine", "--part", "solution", "--repeat", "0")
            plateau(session, "prove", lab, "--training", training.id, *states)
    python(session, "-m", "benchmarks", "bench-up")
    python(session, "-m", "benchmarks", "documents")


@nox.session(venv_backend="venv")
def lock(session: nox.Session) -> None:
    """Resolve requirements.lock again from pyproject.toml, with the hashes of every file."""
    session.install("uv>=0.9")
    session.run(
        *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url"),
        *("--upgrade", "--python-version", "3.11", "--group", "dev", "--custom-compile-command", LOCK_COMMAND),
        *("--output-file", "requirements.lock", "pyproject.toml"),
    )
