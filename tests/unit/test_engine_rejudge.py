"""`plateau report --rejudge`: the lab's own checks, judged again from the snapshot of a run whose machines are gone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graders.plugin.options import as_graded
from graders.records import load
from labs.bench import compute_bench
from labs.errors import InputError
from labs.models.session import load_session
from labs.paths import GRADERS, ROOT
from labs.rejudge import rejudge

SESSION = """
name: essai
title: Essai
lab: reseau
seed: un-secret-de-test
candidates:
  - {id: alice, name: Alice}
"""
PLUGIN = """
from pathlib import Path
from tests.unit.plugin_world import FakeHypervisor, FakeLink
HOME = Path(__file__).parent
def pytest_plateau_hypervisor(session):
    return FakeHypervisor(HOME)
def pytest_plateau_probe(hypervisor, bench):
    return lambda: FakeLink(HOME)
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A run of which the machines rtr and srv were down."""
    home = tmp_path_factory.mktemp("rejudge")
    (home / "session.yaml").write_text(SESSION)
    (home / "machines.py").write_text(PLUGIN)
    (home / "world.json").write_text(json.dumps({"rtr": {"power": "stopped"}, "srv": {"power": "stopped"}}))
    folder = home / "results" / "run"
    command = [sys.executable, "-m", "pytest", str(GRADERS), "-q", "-p", "no:cacheprovider", "-p", "machines",
               "--session", str(home / "session.yaml"), "--run-dir", str(folder), "--no-reboot",
               "--check=CP03-S2.a", "--check=CP06-S5.a", "--check=CP07-S4.a", "--check=CP06-S1.a"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{home}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (folder / "records.jsonl").exists(), done.stdout + done.stderr
    return home, folder


def test_same_verdicts(graded):
    home, folder = graded
    assert rejudge(load_session(str(home)), folder, load(folder / "records.jsonl")) == []


def test_a_session_that_was_moved_is_judged_alike(graded, tmp_path):
    """Hardware addresses, which checks ask for, derive from where the session was when it was graded."""
    home, folder = graded
    moved = tmp_path / "archive"
    shutil.copytree(home, moved)
    there = moved / folder.relative_to(home)
    session = load_session(str(moved))
    graded_there = as_graded(session, there)
    assert session.uid != load_session(str(home)).uid
    assert graded_there.uid == load_session(str(home)).uid
    assert compute_bench(graded_there, graded_there.candidates[0]).nodes == compute_bench(
        load_session(str(home)), session.candidates[0]).nodes  # fmt: skip
    assert rejudge(session, there, load(there / "records.jsonl")) == []


def test_a_verdict_that_was_changed_is_named(graded):
    home, folder = graded
    text = (folder / "records.jsonl").read_text()
    changed = folder.parent / "changed.jsonl"
    changed.write_text(text.replace('"verdict": "blocked"', '"verdict": "passed"', 1))
    found = rejudge(load_session(str(home)), folder, load(Path(changed)))
    assert len(found) == 1
    assert "recorded passed, judged again blocked" in found[0]


def test_no_snapshot_is_said(graded, tmp_path):
    home, folder = graded
    with pytest.raises(InputError, match="no snapshot of alice"):
        rejudge(load_session(str(home)), tmp_path, load(folder / "records.jsonl"))
