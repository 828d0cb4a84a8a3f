"""A folder with written checks, a session and described machines, graded by a real pytest."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from graders.records import load
from labs.paths import ROOT

CONFTEST = """
from pathlib import Path
from graders.conftest import *
from tests.unit.plugin_world import FakeHypervisor, FakeLink

HOME = Path(__file__).parent

def pytest_plateau_hypervisor(session):
    return FakeHypervisor(HOME)

def pytest_plateau_probe(hypervisor, bench):
    return lambda: FakeLink(HOME)
"""
SESSION = """
name: essai
title: Essai
lab: reseau
seed: un-secret-de-test
candidates:
  - {id: alice, name: Alice}
  - {id: bob, name: Bob}
"""
HEAD = "import time\nfrom graders.check import check\n"


class World:
    """A folder with checks, a session and described machines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "session.yaml").write_text(SESSION)
        (folder / "pytest.ini").write_text("[pytest]\npython_files = check_*.py\npython_functions = check_*\n")
        self.machines()

    def machines(self, **nodes: dict) -> None:
        (self.folder / "world.json").write_text(json.dumps(nodes))

    def checks(self, source: str) -> None:
        (self.folder / "check_it.py").write_text(HEAD + textwrap.dedent(source))

    def command(self, *options: str) -> list[str]:
        pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(self.folder)]
        return [*pytest_command, "--session", str(self.folder / "session.yaml"), "--run-dir", str(self.run), *options]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def grade(self, *options: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            self.command(*options), capture_output=True, text=True, env=environment, cwd=self.folder, check=False
        )

    def start(self, *options: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(self.command(*options), env=environment, cwd=self.folder, stdout=subprocess.DEVNULL)

    def records(self) -> dict[tuple[str, str], object]:
        return {(one.candidate, one.check): one for one in load(self.run / "records.jsonl").records}
