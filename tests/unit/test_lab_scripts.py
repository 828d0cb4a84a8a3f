"""The lab scripts: its values, its contract, and its checks for real on both solutions and on every mistake."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from graders import programs, remote_launch
from graders.check import spec_of
from graders.cp10_scripts import check_adapted, check_header, check_logon, check_reuse, check_tests, remote_journal
from graders.cp10_scripts.implementations import BUGS, PYTHON, SHELL, filled
from graders.cp10_scripts.journal import SCRIPT, TESTS, Settings, agency_settings, sorted_out, turned
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.models.faults import load_faults
from labs.models.lab import load_lab
from labs.models.mutants import load_mutants
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.variants import render
from tests.unit.lab_data import bench_of, rendered
from tests.unit.layered_machine import LayeredMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graders.login import Login
    from graders.probe_client import ProbeClient

BENCH = bench_of("scripts", 0)
SETTINGS = agency_settings(BENCH)
CHECKS = {
    spec.id: function
    for module in (check_adapted, check_reuse, check_header, check_tests, check_logon)
    for function in vars(module).values()
    if (spec := spec_of(function)) and function.__module__ == module.__name__
}
NEED_ACCOUNTS = {"CP10-D1.a", "CP10-D1.b"}
"""They make accounts, which only root of this computer can; the others run for everybody."""
HERE = {one for one in CHECKS if os.geteuid() == 0 or one not in NEED_ACCOUNTS}
MUTANTS = [one for one in load_mutants(load_lab("scripts")) if set(one.kills) & HERE and one.id != "CP10-D1.m10"]
"""All but the one that only a restart shows."""


class Probe:
    """Words of a grading."""

    def nonce(self, purpose: str) -> str:
        return "n" + "".join(f"{ord(one):x}" for one in purpose)[-12:]


PROBE = cast("ProbeClient", Probe())


@pytest.fixture
def machine() -> Iterator[LayeredMachine]:
    one = LayeredMachine()
    node = next(node for node in load_lab("scripts").nodes if node.name == "srv")
    for file in node.files:
        if file.path.startswith("/srv"):
            one.put(file.path, rendered(BENCH, file.source(CATALOGUE / "scripts")), int(file.mode, 8))
    done = one.run(node.run[1])
    assert done.rc == 0 or os.geteuid(), done.stderr
    yield one
    one.close()


def install(machine: LayeredMachine, role: str) -> None:
    """What the role of a solution does to the machine, without Ansible."""
    folder = PLAYBOOKS / "roles" / role
    for path in sorted(one for one in (folder / "tree").rglob("*") if one.is_file()):
        target = "/" + str(path.relative_to(folder / "tree")).removesuffix(".j2")
        machine.put(target, rendered(BENCH, path), 0o755 if path.stat().st_mode & 0o100 else 0o644)
    for task in yaml.safe_load((folder / "tasks" / "main.yml").read_text()):
        if program := task.get("ansible.builtin.raw"):
            assert machine.run(render(program, BENCH.variables)).rc == 0


def grade(machine: Any, *ids: str) -> dict[str, str]:
    """Checks that are not passed, with their messages."""
    found = {}
    for check_id in ids or sorted(HERE):
        expect = Expect()
        given = {"bench": BENCH, "probe": PROBE, "login": machine, "expect": expect, "deadline": Deadline.after(120)}
        function = CHECKS[check_id]
        try:
            function(**{name: given[name] for name in inspect.signature(function).parameters})
            expect.conclude()
        except Unmet as problem:
            found[check_id] = str(problem)
    return found


# --- data ---


@pytest.mark.parametrize("number", range(20))
def test_values_of_any_candidate_serve(number: int) -> None:
    bench = bench_of("scripts", number)
    settings = agency_settings(bench)
    assert settings.copies != 7, "the third party's"
    assert not set(f"{settings.domain}{settings.folder}{settings.word}") & set("'\"\\ ")
    assert len({bench.values["groupe_a"], bench.values["groupe_b"]}) == 2
    for other in check_reuse.other_settings(bench):
        assert other.copies != settings.copies
        assert other.word != settings.word
    names = [one.name for one in check_logon.people(bench, PROBE.nonce("sessions avant"))]
    assert all(len(name) <= 32 and name.isalnum() for name in (*names,))


def test_candidates_differ() -> None:
    seen = {tuple(agency_settings(bench_of("scripts", number)).data().values()) for number in range(20)}
    assert len(seen) == 20


def test_what_a_folder_must_hold() -> None:
    settings = Settings("a.test", "/x", 2, "SECRET")
    lines = ["2;b@a.test;é;;", "1;a@a.test;un SECRET;", "", "2;b@a.test;é;;", "3;c@b.a.test;x", "4;c@aa.test;@a.test"]
    assert sorted_out(lines, settings) == "1;a@a.test;[masqué]\n2;b@a.test;é;;\n"
    files: dict[str, str] = {}
    for result in ("a", "a", "b", "c", "d"):
        files = turned(files, result, 2)
    assert files == {"journal.txt": "d", "journal.1.txt": "c", "journal.2.txt": "b"}


def test_what_is_planted_in_programs_is_planted_once() -> None:
    for bug in BUGS:
        assert filled(bug.base, SETTINGS).count(bug.old) == 1, bug.label


# --- checks, for real ---


@pytest.mark.parametrize("role", ["scripts_srv", "scripts_alt_srv"])
def test_a_solution_is_worth_everything_and_nothing_is_left(role: str, machine: LayeredMachine) -> None:
    install(machine, role)
    machine.put(f"{SETTINGS.folder}/journal.txt", "travail du candidat\n")
    look = (
        "cat /etc/passwd /etc/group /etc/shadow /etc/passwd-; find /srv /tmp /home /root /run | sort; cat /srv/*/*.txt"
    )
    before = machine.check_output(look)
    assert grade(machine) == {}
    assert machine.check_output(look).split("\n") == before.split("\n")


def test_an_untouched_machine_is_worth_nothing(machine: LayeredMachine) -> None:
    assert set(grade(machine)) == HERE


def perl(settings: Settings) -> str:
    """Another language that must be able to pass."""
    return filled(
        r"""#!/usr/bin/perl
use strict; use warnings; use File::Path 'make_path'; use File::Compare;
my %r = (domaine => '{domain}', dossier => '{folder}', copies => {copies}, mot => '{word}');
my $usage = "ranger-journal [--config FICHIER] JOURNAL | --aide ; domaine, dossier, copies, mot\n";
if (@ARGV == 1 && $ARGV[0] eq '--aide') { print $usage; exit 0; }
if (@ARGV == 3 && $ARGV[0] eq '--config') {
  open(my $c, '<', $ARGV[1]) or die "$ARGV[1] : $!\n";
  while (<$c>) { chomp; $r{$1} = $2 if /^(domaine|dossier|copies|mot)=(.*)$/; }
  splice @ARGV, 0, 2;
}
die $usage if @ARGV != 1 || $ARGV[0] =~ /^-/;
die "$ARGV[0] : illisible\n" unless -f $ARGV[0];
open(my $j, '<', $ARGV[0]) or die "$ARGV[0] : $!\n";
my %garde;
while (<$j>) {
  chomp;
  my ($d, $a, $o) = split /;/, $_, 3;
  next unless defined $o && $a =~ /\@\Q$r{domaine}\E$/;
  $o = "[masqué]" if index($o, $r{mot}) >= 0;
  $garde{"$d;$a;$o\n"} = 1;
}
make_path($r{dossier}); chdir $r{dossier} or die;
open(my $n, '>', '.neuf') or die; print $n sort keys %garde; close $n;
if (-e 'journal.txt' && compare('.neuf', 'journal.txt') == 0) { unlink '.neuf'; exit 0; }
my @noms = ('journal.txt', map { "journal.$_.txt" } 1 .. $r{'copies'});
for my $i (reverse 1 .. $#noms) { rename $noms[$i - 1], $noms[$i] if -e $noms[$i - 1]; }
rename '.neuf', 'journal.txt';
""",
        settings,
    )


CONTRACT = ("CP10-S1.a", "CP10-C1.a", "CP10-C3.a", "CP10-S2.c")


@pytest.mark.parametrize("language", ["sh", "python", "perl"])
def test_any_language_keeps_the_contract(language: str, machine: LayeredMachine) -> None:
    sources = {"sh": filled(SHELL, SETTINGS), "python": filled(PYTHON, SETTINGS), "perl": perl(SETTINGS)}
    machine.put(SCRIPT, sources[language], 0o755)
    assert grade(machine, *CONTRACT) == {}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.label)
def test_every_program_given_to_the_tests_as_wrong_is_wrong(bug: Any, machine: LayeredMachine) -> None:
    machine.put(SCRIPT, filled(bug.base, SETTINGS).replace(bug.old, bug.new), 0o755)
    assert set(grade(machine, *CONTRACT)) & {"CP10-S1.a", "CP10-C1.a", "CP10-C3.a"}


def test_the_fault_is_seen(machine: LayeredMachine) -> None:
    install(machine, "scripts_srv")
    (fault,) = load_faults(load_lab("scripts"))
    assert machine.run(render(fault.applied, BENCH.variables)).rc != 0
    assert machine.run(render(fault.run, BENCH.variables)).rc == 0
    assert machine.run(render(fault.applied, BENCH.variables)).rc == 0
    green = set(fault.green) & HERE
    assert set(grade(machine, *green)) == green if green else True


@pytest.mark.parametrize("mutant", MUTANTS[::5], ids=lambda one: one.id)  # all of them each night
def test_a_mistake_turns_its_checks_red_and_no_other(mutant: Any, machine: LayeredMachine) -> None:
    tried(mutant, machine)


def tried(mutant: Any, machine: LayeredMachine) -> None:
    """Make the mistake on a solved machine, and look at the checks of its file."""
    install(machine, "scripts_srv")
    if mutant.id == "CP10-S1.m9":  # only a machine that has the language shows it
        machine.check_output("localedef -i fr_FR -f UTF-8 fr_FR.UTF-8")
    assert machine.run(render(mutant.applied, BENCH.variables)).rc != 0
    done = machine.run(render(mutant.run, BENCH.variables))
    assert done.rc == 0, done.stderr
    assert machine.run(render(mutant.applied, BENCH.variables)).rc == 0
    logon = mutant.id.startswith("CP10-D1")  # its file is none of the others', and the other way round
    looked_at = {one for one in HERE if (one in NEED_ACCOUNTS) == logon}
    assert set(grade(machine, *sorted(looked_at))) == set(mutant.kills) & looked_at


# --- what is no mark ---


def test_a_script_that_is_late_on_a_slow_machine_is_no_mark() -> None:
    late = {"status": None, "err": "pas terminé en 60 s", "pace": 0.5}
    with pytest.raises(ProbeError, match=r"takes 0\.500 s"):
        programs.unhurried([late])
    programs.unhurried([{**late, "pace": 0.001}])


def test_after_a_run_that_does_not_end_no_other_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that hangs costs one limit, not one a run: the check ends in time, and says so."""
    made = []

    def trial(_script: str, index: int, *_: Any) -> dict[str, Any]:
        made.append(index)
        return {"status": None if index else 0, "pace": 0.001 if index else 0.0}

    monkeypatch.setattr(remote_journal, "trial", trial)
    told = remote_journal.run_each({"script": SCRIPT, "runs": [{}] * 5}, "/")
    assert (made, [one["status"] for one in told]) == ([0, 1], [0, *[None] * 4])


def test_a_program_has_the_umask_of_a_scheduler_and_not_ours() -> None:
    """What a script leaves open must be seen open, although our programs on the machines run under 077."""
    before = os.umask(0o077)
    try:
        assert remote_launch.attempt(["/bin/sh", "-c", "umask"], 5.0)[1] == "0022\n"
    finally:
        os.umask(before)


def test_what_a_late_program_started_is_stopped_too(tmp_path: Path) -> None:
    """Also in a session of its own, as that of `su -c` is."""
    program = f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 1000' & wait"
    assert remote_launch.attempt(["/bin/sh", "-c", program], 1.0)[3]
    pid = int((tmp_path / "pid").read_text())
    for _ in Deadline.after(5).ticks(0.1):
        if not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes():
            return
    pytest.fail("it is still there")


def answer(monkeypatch: pytest.MonkeyPatch, **told: Any) -> Login:
    monkeypatch.setattr(programs, "answer", lambda *_: told)
    return cast("Login", None)


def test_what_was_not_put_back_is_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    for ids in (CONTRACT[:2], ("CP10-C2.a",), ("CP10-C2.b",)):
        with pytest.raises(ProbeError, match="not put back"):
            grade(answer(monkeypatch, runs=[], left=[SETTINGS.folder]), *ids)
    with pytest.raises(ProbeError, match="left: cx"):
        grade(answer(monkeypatch, problem="", left=["cx"], missing=[], sessions={}), "CP10-D1.a")
    with pytest.raises(ProbeError, match="useradd"):
        grade(answer(monkeypatch, problem="useradd", left=[], missing=[], sessions={}), "CP10-D1.a")


def test_groups_that_are_gone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = answer(monkeypatch, problem="", left=[], missing=["accueil"], sessions={})
    assert "accueil" in grade(machine, "CP10-D1.a")["CP10-D1.a"]


def test_tests_that_do_not_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"status": None, "out": "", "err": "pas terminé en 180 s", "left": [], "pace": 0.001}
    told = grade(answer(monkeypatch, runs=[late], left=[]), "CP10-C2.a", "CP10-C2.b")
    assert "pas terminé en 180 s" in told["CP10-C2.a"]
    assert "pas terminé en 180 s (le script livré)" in told["CP10-C2.b"]


def test_tests_that_say_the_same_of_everything_do_not_pass(machine: LayeredMachine) -> None:
    install(machine, "scripts_srv")
    for answer_to_all, status in (("accepté", 0), ("refusé", 1)):
        machine.put(TESTS, f"#!/bin/sh\nexit {status}\n", 0o755)
        told = grade(machine, "CP10-C2.a", "CP10-C2.b")
        assert set(told) == {"CP10-C2.a", "CP10-C2.b"}, answer_to_all


# --- the header ---


@pytest.mark.parametrize(
    ("header", "field", "value"),
    [
        ("#!/bin/sh\n## Objet  : un essai\n", "objet", "un essai"),
        ('#!/usr/bin/python3\n"""ranger\n\nAuteur\u00a0: Zoé\n"""\n', "auteur", "Zoé"),
        ("# PARAMETRES : a\n#\n#  --config : b\nconfig=1 # copies\n# mot\n", "parametres", "a --config : b"),
        ("# Auteur d’origine : M. A.\n# Auteur : B\n", "auteur", "B"),
        ("=pod\n\nDate : 2026-11-26\n\n=cut\n", "date", "2026-11-26"),
        ("=pod\n\n=head1 NOM\n\nParamètres :\n  JOURNAL\n\n=cut\nmot=1\n", "parametres", "JOURNAL"),
        ("#!/bin/bash\n: '\nParamètres : JOURNAL,\n  --aide\n'\nmot=1\n", "parametres", "JOURNAL, --aide"),
        ("aide() { cat <<-'EOF'\n  Paramètres : a\n    b\n  EOF\n}\nmot=1\n", "parametres", "a b"),
        ("/* Paramètres : a\n   b */\nint mot;\n", "parametres", "a b"),
        ("#!/bin/sh\n# Objet : celui d'avant\n# (adapté)\n", "objet", "celui d'avant"),
    ],
)
def test_fields_of_a_header(header: str, field: str, value: str) -> None:
    assert check_header.fields_of(header)[field] == value


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("GNU GPL, version 3 ou ultérieure", True),
        ("GPLv3+", True),
        ("SPDX-License-Identifier: GPL-3.0-or-later", True),
        ("Licence publique générale GNU, version 3", True),
        ("GNU General Public License, version 2", False),
        ("GPL", False),
    ],
)
def test_words_for_a_licence(words: str, *, named: bool) -> None:
    assert bool(check_header.LICENCE.search(check_header.plain(words))) is named


def test_the_third_partys_header_is_what_the_check_says_of_it() -> None:
    text = (CATALOGUE / "scripts/files/srv/ranger-journal").read_text()
    fields = check_header.fields_of(text)
    assert fields["objet"] == check_header.PURPOSE
    assert fields["auteur"] == check_header.AUTHOR
    assert fields["date"] == check_header.WRITTEN.isoformat()
    assert check_header.ORIGIN in text
    assert check_header.LICENCE.search(check_header.plain(text))
