"""The lab annuaire: its two scripts run for real, and what the runner of the checks sees of others."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import programs
from graders.check import spec_of
from graders.cp10_scripts import check_folders, remote_folders, runner
from graders.cp10_scripts.check_folders import HEADER, Row, hidden_rows, misplaced, run, unannounced
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.models.lab import load_lab
from labs.models.mutants import load_mutants
from labs.paths import PLAYBOOKS
from labs.variants import render
from tests.unit.lab_data import bench_of
from tests.unit.layered_machine import LayeredMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graders.login import Login
    from labs.models.mutants import Mutant

SCRIPTS = [
    PLAYBOOKS / "roles" / role / "tree" / "usr" / "local" / "bin" / "preparer-dossiers"
    for role in ("annuaire_srv", "annuaire_alt_srv")
]


AS_ROOT = os.geteuid() == 0
"""Only root of this computer runs a script under another account, and owns what a script is judged by."""
BENCH = bench_of("annuaire", 0)
MUTANTS = [
    one
    for one in load_mutants(load_lab("annuaire"))
    if AS_ROOT and one.id.startswith(("CP10-S2.", "CP10-C4.")) and "setfacl" not in str(one.run)
]
"""But the one whose tool a lab's machine has, and this computer may not."""


def grade_script(script: Path, folder: Path, *runs: dict[str, Any]) -> list[dict[str, Any]]:
    """What the runner of the checks sees of a script, in a folder of ours instead of /srv."""
    source = programs.source(Path(str(remote_folders.__file__))).replace('PLACE = "/srv"', f"PLACE = {str(folder)!r}")
    request = json.dumps({"script": str(script), "runs": runs})
    command = [sys.executable, "-c", f"{source}\nmain({request!r})"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def hidden_lines() -> list[str]:
    rows = hidden_rows("mot")
    return [HEADER, rows[0].text, "", *(row.text for row in rows[1:]), "   ", rows[0].text]


@pytest.mark.parametrize("script", SCRIPTS, ids=["python", "bash"])
def test_the_scripts_of_the_solutions_do_what_is_asked(script: Path, tmp_path: Path) -> None:
    rows = [Row("lea", "Léa Noël", "Après vente")]
    lines = [HEADER, rows[0].text]
    full, empty, dry, once, twice, absent = grade_script(
        script, tmp_path, run("cache", hidden_lines()), run("vide", [HEADER]),
        run("a", lines, root="b", options=["--simulation"]), run("a", lines, root="c"),
        run("a", lines, root="c", used=["Après vente/lea"]), run("absent", None),
    )  # fmt: skip
    assert misplaced([row for row in hidden_rows("mot") if row.good], full["tree"]) == []
    assert (full["status"], full["strays"]) == (1, [])
    assert "refusée" in full["err"]
    assert (empty["status"], empty["tree"]) == (0, {})
    assert (dry["status"], dry["tree"]) == (0, {})
    assert unannounced(rows, dry["out"]) == []
    assert (once["status"], misplaced(rows, once["tree"])) == (0, [])
    assert (twice["status"], twice["tree"]) == (0, twice["start"])
    assert twice["tree"]["Après vente/lea/LISEZMOI.txt"] == "Léa Noël\ntravail\n"
    assert once["tree"]["Après vente/lea/"] == "750"
    assert (absent["status"], absent["tree"]) == (1, {})
    assert absent["err"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def machine() -> Iterator[LayeredMachine]:
    one = LayeredMachine()
    yield one
    one.close()


def grade(machine: LayeredMachine) -> set[str]:
    """Checks that the script on a machine does not pass."""
    failed = set()
    given = {"bench": BENCH, "probe": SimpleNamespace(nonce=lambda _purpose: "nmot"), "login": machine}
    for function in (check_folders.check_result, check_folders.check_behaviour, check_folders.check_safety):
        spec = spec_of(function)
        assert spec is not None
        wanted = inspect.signature(function).parameters.keys() & given.keys()
        try:
            expect = Expect()
            function(**{name: given[name] for name in wanted}, expect=expect, deadline=Deadline.after(120))
            expect.conclude()
        except Unmet:
            failed.add(spec.id)
    return failed


@pytest.mark.parametrize("script", SCRIPTS if AS_ROOT else [], ids=["python", "bash"] if AS_ROOT else [])
def test_the_scripts_of_the_solutions_pass(script: Path, machine: LayeredMachine) -> None:
    machine.put(check_folders.SCRIPT, script.read_text(), 0o755)
    assert grade(machine) == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: str(one.id))
def test_a_script_with_a_mistake_does_not_pass(mutant: Mutant, machine: LayeredMachine) -> None:
    machine.put(check_folders.SCRIPT, SCRIPTS[0].read_text(), 0o755)
    machine.run("mkdir -p /home/candidat; useradd -M candidat")
    for program in (mutant.run, mutant.applied):
        done = machine.run(render(str(program), BENCH.variables))
        assert done.rc == 0, done.stderr
    assert set(mutant.kills) <= grade(machine)


def test_a_script_that_is_not_there_is_told(tmp_path: Path) -> None:
    (told,) = grade_script(tmp_path / "nothing", tmp_path, run("vide", [HEADER]))
    assert told["status"] is None
    assert runner.status(told) == "script ou interprète absent"


def told_of(body: str, tmp_path: Path, *runs: dict[str, Any]) -> list[dict[str, Any]]:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    return grade_script(script, place, *runs)


def test_what_a_line_makes_the_shell_do_is_seen(tmp_path: Path) -> None:
    """Commands in the account and in the service, a service that leads out of the place."""
    body = """tail -n +2 "$1" | while IFS=';' read -r id nom service; do
      [ -n "$id" ] && eval "mkdir -p \"$2/$service/$id\""; done"""
    (told,) = told_of(body, tmp_path, run("cache", hidden_lines()))
    assert {"injection", "fuite/"} <= set(told["strays"])


def test_a_script_that_is_stopped_leaves_no_child_and_blames_a_slow_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, after = told_of('mkdir "$2/a"; (sleep 3; mkdir "$2/tard") & wait', tmp_path,
                          run("a", [HEADER], seconds=0.5), run("b", [HEADER], seconds=0.5))  # fmt: skip
    assert runner.status(slow) == "pas terminé en 0 s"
    assert slow["tree"].keys() == after["tree"].keys() == {"a/"}
    assert slow["pace"] > 0
    for pace, problem in ((0.5, True), (0.001, False)):
        monkeypatch.setattr(programs, "run_errand", lambda *_, pace=pace: json.dumps([{**slow, "pace": pace}]))
        with pytest.raises(ProbeError, match="machine that takes") if problem else contextlib.nullcontext():
            check_folders.answers(cast("Login", None), check_folders.errand([]), Deadline.after(5))


def test_a_simulation_tells_each_folder_on_a_line_of_its_own() -> None:
    rows = [Row("lea", "Léa", "Accueil"), Row("hugo", "Hugo", "Après vente")]
    assert unannounced(rows, "mkdir /x/Accueil/lea\n/x/Après vente/hugo (simulation)\n") == []
    assert unannounced(rows, "lea;Léa;Accueil\nhugo;Hugo;Après vente\n") == ["lea", "hugo"], "the export itself"
    assert unannounced(rows, "Accueil/lea Après vente/hugo") == ["lea", "hugo"]


def test_an_unquoted_shell_script_is_seen(tmp_path: Path) -> None:
    program = next(one for one in load_mutants(load_lab("annuaire")) if one.id == "CP10-S2.m4").run or ""
    body = program.split("FIN'\n", 1)[1].rpartition("FIN")[0]
    script = tmp_path / "script"
    script.write_text(body)
    script.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    (told,) = grade_script(script, place, run("cache", hidden_lines()))
    assert misplaced([row for row in hidden_rows("mot") if row.good], told["tree"])
