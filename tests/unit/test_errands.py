"""Errands: programs that run long on a candidate's machine, here a shell of this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from graders import programs
from graders.errand import Errand, run_errand
from graders.probe_client import ProbeError
from graders.records import Verdict
from labs.deadline import Deadline
from tests.unit.plugin_folder import World
from tests.unit.shell_machine import Shell

if TYPE_CHECKING:
    from graders.login import Login

SHELLS = """
import subprocess
from labs.errors import HypervisorError
from labs.hypervisors.base import ExecResult
from tests.unit.plugin_world import FakeHypervisor, FakeLink
from graders.conftest import *

HOME = Path(__file__).parent

class Shells(FakeHypervisor):
    def execute(self, key, argv, deadline, *, stdin=b""):
        if not self.world(key.node).get("agent", True):
            raise HypervisorError("agent: silence")
        if "told" not in argv[-1] and "controle-" not in argv[-1]:
            return super().execute(key, argv, deadline, stdin=stdin)
        done = subprocess.run(["sh", "-c", argv[-1].replace("/run/", f"{HOME}/")], capture_output=True)
        return ExecResult(done.returncode, done.stdout, done.stderr)

def pytest_plateau_hypervisor(session):
    return Shells(HOME)

def pytest_plateau_probe(hypervisor, bench):
    return lambda: FakeLink(HOME)
"""


def test_an_errand_brings_everything_back_and_leaves_nothing(tmp_path: Path) -> None:
    machine = cast("Login", Shell(tmp_path))
    told = run_errand(machine, Errand("srv", "echo un; sleep 0.2; echo deux; echo FIN", "FIN"), Deadline.after(20))
    assert told == "un\ndeux\n"
    assert list(tmp_path.iterdir()) == []


def test_an_errand_that_dies_is_an_error_with_its_words(tmp_path: Path) -> None:
    machine = cast("Login", Shell(tmp_path))
    with pytest.raises(ProbeError, match=r"did not end: .*casse"):
        run_errand(machine, Errand("srv", "echo casse >&2; exit 3; echo FIN", "FIN"), Deadline.after(1.5))


def test_an_errand_that_is_late_is_stopped_and_puts_back_what_it_changed(tmp_path: Path) -> None:
    machine = Shell(tmp_path)
    program = f"trap 'echo back >{tmp_path}/back' EXIT; sleep 30; echo FIN"
    with pytest.raises(ProbeError, match="did not end"):
        run_errand(cast("Login", machine), Errand("srv", program, "FIN"), Deadline.after(1.0))
    assert [path.name for path in tmp_path.iterdir()] == ["back"]
    assert machine.started == {}


def test_a_program_that_is_stopped_unwinds(tmp_path: Path) -> None:
    module, machine = tmp_path / "trial.py", Shell(tmp_path)
    module.write_text(
        "import time\nfrom pathlib import Path\n\n\ndef main(request):\n    try:\n        time.sleep(30)\n"
        f"    finally:\n        Path('{tmp_path}/back').touch()\n"
    )
    with pytest.raises(ProbeError, match="did not end"):
        run_errand(cast("Login", machine), programs.errand("srv", module, {}), Deadline.after(2.0))
    assert (tmp_path / "back").exists()


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    (tmp_path / "conftest.py").write_text("from pathlib import Path\n" + SHELLS)
    return made


def test_errands_start_with_the_grading_and_a_failure_is_measured_again(world: World) -> None:
    """The first answer was given before the other check ended; the second one, measured alone, after."""
    world.checks(
        """
        from pathlib import Path
        from graders.errand import Errand, run_errand
        HOME = Path(__file__).parent

        def look(bench, probe):
            return [Errand("ws", f"cat {HOME}/ended; echo END", "END")]

        @check("CP06-S1.a", nodes=("ws",), errands=look)
        def check_a(bench, probe, login, expect, deadline):
            "Regarde."
            told = run_errand(login, *look(bench, probe), deadline)
            with (HOME / "seen").open("a") as seen:
                seen.write(f"[{told.strip()}]")
            expect.equal("fin", "vu", told.strip())

        @check("CP06-S1.b")
        def check_b(expect):
            "Dure."
            time.sleep(1.5)
            (HOME / "ended").write_text("vu")
            expect.equal("un", 1, 1)
        """
    )
    done = world.grade("--candidate", "alice", "--check", "CP06-S1.a", "--check", "CP06-S1.b")
    record = world.records()["alice", "CP06-S1.a"]
    assert record.verdict is Verdict.PASSED, done.stdout
    assert (world.folder / "seen").read_text() == "[][vu]"
    assert any(one.action == "mesure refaite, seule" for one in record.evidence)
    assert list(world.folder.glob("controle-*")) == []


@pytest.mark.parametrize("silent", [False, True])
def test_errand_of_a_blocked_check_leaves_nothing(world: World, silent: bool) -> None:
    """A machine that does not answer any more keeps the folder, and the run ends all the same."""
    world.checks(
        f"""
        from pathlib import Path
        from graders.errand import Errand

        @check("CP06-S1.a")
        def check_a(expect):
            "Manque."
            if {silent}:
                (Path(__file__).parent / "world.json").write_text('{{"ws": {{"agent": false}}}}')
            expect.equal("un", 1, 2)

        @check("CP06-S1.b", needs=("CP06-S1.a",), nodes=("ws",),
               errands=lambda bench, probe: [Errand("ws", "echo END", "END")])
        def check_b(expect):
            "Est bloqué."
            expect.equal("un", 1, 1)
        """
    )
    done = world.grade("--candidate", "alice", "--check", "CP06-S1.a", "--check", "CP06-S1.b")
    assert world.records()["alice", "CP06-S1.b"].verdict is Verdict.BLOCKED
    assert done.returncode in {1, 4}, done.stdout
    assert bool(list(world.folder.glob("controle-*"))) is silent
