"""Judging again: the records of a run and those made from its snapshots, without any machine, say the same."""

import shutil

import pytest

from graders.engine.snapshot import read
from graders.records import load
from tests.unit.plugin_folder import CONFTEST, World

LOCAL = """
import subprocess
from labs.hypervisors.base import ExecResult

class Local(FakeHypervisor):
    # Its agent runs the grader's tools here.
    def execute(self, key, argv, deadline, *, stdin=b""):
        if not stdin:
            return super().execute(key, argv, deadline, stdin=stdin)
        done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
        return ExecResult(done.returncode, done.stdout, done.stderr)

def pytest_plateau_hypervisor(session):
    assert not (HOME / "gone").exists(), "no machine may be asked"
    return Local(HOME)
"""
CHECKS = '''
    @check("CP06-S5.a", nodes=("rtr",))
    def check_passed(expect, probe, host):
        """Vu de la sonde et de la machine."""
        expect.equal("mot", probe.nonce("x"), probe.call("icmp.ping", "lan", word=probe.nonce("x"))["word"])
        expect.true("fichier", "oui", "oui", host.file("/etc/passwd").exists)
        expect.equal("droits", "0o644", oct(host.file("/etc/passwd").mode))

    @check("CP03-S2.a", nodes=("ws",))
    def check_failed(expect, login, bench):
        """Le poste."""
        expect.contains("mot", "said:", login("ws").check_output("hello").split())
        expect.equal("domaine", "non", bench.values["domaine"])

    @check("CP06-S1.a", nodes=("srv",))
    def check_error(expect, probe):
        """La sonde échoue."""
        probe.call("broken", "lan")

    @check("CP06-S1.b", needs=("CP03-S2.a",))
    def check_blocked(expect):
        """Dépend du poste."""
        expect.equal("x", 1, 1)

    @check("CP07-S1.a", nodes=("rtr",))
    def check_down(expect):
        """Machine arrêtée."""
        expect.equal("x", 1, 1)

    @check("CP06-S5.c", nodes=("ws",), phase="reboot", seconds=30)
    def check_after_reboot(expect, host, bench):
        """Après redémarrage."""
        expect.equal("hôte", 0, host("ws").run("echo %s", bench.values["domaine"]).rc)
'''


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    (tmp_path / "conftest.py").write_text(CONFTEST + LOCAL)
    one.checks(CHECKS)
    return one


def verdicts(path):
    return {(one.candidate, one.check): (str(one.verdict), one.message, one.blocked_by) for one in load(path).records}


def test_the_same_verdicts_without_the_machines(world):
    first = world.grade()
    kept = world.folder / "kept"
    shutil.move(world.run, kept)
    (world.folder / "gone").touch()
    again = world.grade("--replay", str(kept))
    assert again.returncode == first.returncode == 4, again.stdout + again.stderr
    before, after = verdicts(kept / "records.jsonl"), verdicts(world.run / "records.jsonl")
    assert before == after
    assert before["alice", "CP06-S5.a"][0] == "passed", first.stdout
    assert before["alice", "CP06-S5.c"][0] == "passed", first.stdout
    assert {one[0] for one in before.values()} == {"passed", "failed", "error", "blocked"}


def test_forged_snapshot_is_no_pass(world):
    world.grade("--candidate", "alice")
    kept = world.folder / "kept"
    shutil.move(world.run, kept)
    path = kept / "snapshots" / "alice.jsonl"
    path.write_text(path.read_text().replace("644", "600"))
    world.grade("--candidate", "alice", "--replay", str(kept))
    assert verdicts(world.run / "records.jsonl")["alice", "CP06-S5.a"][0] == "error"


def test_snapshot_holds_every_observation(world):
    world.grade("--candidate", "alice", "-k", "passed")
    sources = {one.source for one in read(world.run / "snapshots" / "alice.jsonl")}
    assert sources == {"grader", "hypervisor", "probe:lan", "node:rtr"}
