"""The project's chores. `./bootstrap SESSION` runs one; they share the environment that bootstrap made."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import nox
from nox.command import CommandFailed

from labs.models.lab import lab_names, load_lab
from labs.models.loader import read_yaml

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["tests"]
nox.options.error_on_external_run = False

PROVABLE = [lab for lab in lab_names() if not load_lab(lab).templates]
"""Labs whose machines are not cloned from templates that only a cluster has."""
LOCK_COMMAND = "nox -s lock"
COLLECTIONS = Path("playbooks/collections")
WINDOWS_PLAYBOOKS = ("solutions/annuaire-windows.yml", "roles/annuaire_windows_dc", "roles/annuaire_windows_ws")


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


def fetch_collections(session: nox.Session) -> None:
    """Put the collections of playbooks/requirements.yml into playbooks/collections, out of PyPI's package `ansible`."""
    wanted = read_yaml(Path("playbooks/requirements.yml"))["collections"]
    stamp = COLLECTIONS / "versions"
    versions = ", ".join(f"{one['name']} {one['version']}" for one in wanted)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == versions:
        session.log(f"{COLLECTIONS} has {versions}")
        return
    folder = Path(session.create_tmp())
    options = ("--quiet", "--no-input", "--no-deps", "--only-binary", ":all:", "--require-hashes")
    python(session, "-m", "pip", "download", *options, "-r", "requirements-collections.lock", "-d", str(folder))
    shutil.rmtree(COLLECTIONS, ignore_errors=True)
    (wheel,) = folder.glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        prefixes = tuple(f"ansible_collections/{one['name'].replace('.', '/')}/" for one in wanted)
        packed.extractall(COLLECTIONS, [name for name in packed.namelist() if name.startswith(prefixes)])
    wheel.unlink()
    for one, prefix in zip(wanted, prefixes, strict=True):
        manifest = COLLECTIONS / prefix / "MANIFEST.json"
        found = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        if found != one["version"]:
            session.error(f"{one['name']}: {wheel.name} has {found}, playbooks/requirements.yml says {one['version']}")
    stamp.write_text(versions, encoding="utf-8")


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite: lint, types, then the tests on real machines and, beside them, those that need none."""
    run_lint(session)
    run_types(session)
    beside = ("-n", "2", "--dist", "loadscope")  # tests/conftest.py says what stays together
    python(session, "-m", "pytest", *beside, "--doctest-modules", "--durations=10", "labs", "tests", *session.posargs)


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
    """What CI runs each night, there as jobs side by side."""
    for name in ("nightly_suite", "windows", "nightly_proofs"):
        session.notify(name)


@nox.session
def nightly_suite(session: nox.Session) -> None:
    """The suite with its long tests, the demonstration, the benchmarks."""
    tests(session)
    python(session, "-m", "pytest", "tests/e2e/nightly_no_trace.py", "tests/unit/nightly_lab_scripts.py")
    plateau(session, "demo")
    python(session, "-m", "benchmarks", "bench-up")
    python(session, "-m", "benchmarks", "documents")


@nox.session
def nightly_proofs(session: nox.Session) -> None:
    """The proof of every lab and version, whatever became of the one before; `-- LAB …`: of these."""
    wrong = [name for lab in session.posargs or PROVABLE for name in proof(session, lab)]
    if wrong:
        session.error(f"not as it should be: {', '.join(wrong)}")


def proof(session: nox.Session, lab: str) -> list[str]:
    """Prove a lab and its training versions; the names of those that were not as they should be."""
    states = ("--part", "pristine", "--part", "solution", "--repeat", "0")
    versions = {f"{lab} {one.id}": ("--training", one.id, *states) for one in load_lab(lab).trainings}
    wrong = []
    for name, options in {lab: ("--seeds", "2", "--repeat", "3"), **versions}.items():
        try:
            plateau(session, "prove", lab, "--jobs", "2", *options)
        except CommandFailed:
            wrong.append(name)
    return wrong


@nox.session
def collections(session: nox.Session) -> None:
    """The Ansible collections that labs with Windows machines need."""
    fetch_collections(session)


@nox.session(venv_backend="venv", reuse_venv=True)
def windows(session: nox.Session) -> None:
    """Playbooks and scripts for Windows machines, as far as they can be looked at without one."""
    fetch_collections(session)
    session.install("--quiet", "--require-hashes", "--only-binary", ":all:", "-r", "requirements-windows.lock")
    environment = {"ANSIBLE_CONFIG": str(Path("playbooks/ansible.cfg").resolve()), "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    session.run("python", "tests/windows_playbooks.py", env=environment)
    with session.chdir("playbooks"):
        session.run("ansible-playbook", "--syntax-check", "-i", "localhost,", WINDOWS_PLAYBOOKS[0], env=environment)
        session.run("ansible-lint", "-c", ".ansible-lint", *WINDOWS_PLAYBOOKS, env=environment)


@nox.session(venv_backend="venv")
def lock(session: nox.Session) -> None:
    """Resolve the locks again from pyproject.toml, with the hashes of every file."""
    session.install("uv>=0.9")
    for output, arguments in (
        ("requirements.lock", ("--group", "dev", "pyproject.toml")),
        ("requirements-windows.lock", ("--group", "pyproject.toml:windows")),
        ("requirements-collections.lock", ("--no-deps", "--group", "pyproject.toml:collections")),
    ):
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url"),
            *("--upgrade", "--python-version", "3.11", "--custom-compile-command", LOCK_COMMAND),
            *("--output-file", output, *arguments),
        )
