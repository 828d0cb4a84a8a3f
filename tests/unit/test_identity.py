"""The first configuration of a machine, as the shell script that it gets."""

from pathlib import Path

import pytest

from labs import identity
from labs.sessionfiles import SessionFiles
from tests.unit.lab_data import bench_of


@pytest.mark.parametrize(("lab", "node"), [("scripts", "srv"), ("annuaire", "probe")])
def test_what_a_lab_runs_has_the_umask_of_any_session(lab: str, node: str, tmp_path: Path) -> None:
    bench, files = bench_of(lab, 0), SessionFiles(tmp_path)
    identity.ensure_keys(bench, files)
    machine = next(one for one in bench.nodes if one.name == node)
    script = identity.script(bench, machine, files)
    before = script[: script.index("\n".join(machine.model.run))]
    assert before.rindex("umask") == before.rindex("umask 022\n")
