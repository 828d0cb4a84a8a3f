"""The grading plugin: every verdict, every order, every exit status; each test runs a real pytest on written checks."""

import os
import signal
import subprocess
import time

import pytest

from graders import conftest
from graders.check import check, spec_of
from graders.expect import Expect, NothingMeasuredError, Unmet
from graders.plugin import fixtures, plan
from graders.records import load
from labs.errors import InputError
from labs.models.lab import load_lab
from labs.paths import ROOT
from tests.unit.plugin_folder import World


def test_a_check_may_ask_for_every_fixture():
    defined = {name for name, value in vars(fixtures).items() if isinstance(value, type(fixtures.bench))}
    assert {"bench", "cables", "undo"} <= defined <= {*vars(conftest)}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


EVERY_VERDICT = '''
    @check("CP06-S5.a", nodes=("rtr",))
    def check_passed(expect, probe):
        """Le routeur route."""
        expect.equal("réponses", 3, probe.call("icmp.ping", "lan", received=3)["received"])

    @check("CP03-S2.a")
    def check_failed(expect, bench):
        """Le poste a la bonne passerelle."""
        expect.equal("adresse", bench.values["lan_poste"], bench.values["lan_poste"])
        expect.equal("passerelle", "10.0.0.1", "10.0.0.254")
        expect.true("domaine", "a.test", "b.test", False)

    @check("CP06-S1.a", needs=("CP06-S5.a",))
    def check_library_assertion(expect):
        """Une bibliothèque échoue."""
        expect.equal("x", 1, 1)
        import json.decoder
        raise AssertionError("from a library")

    @check("CP06-S1.b", needs=("CP03-S2.a",))
    def check_blocked(expect):
        """Dépend du poste."""
        expect.equal("x", 1, 1)

    @check("CP06-S1.c", needs=("CP06-S1.b",))
    def check_blocked_twice(expect):
        """Dépend d'un bloqué."""
        expect.equal("x", 1, 1)

    @check("CP06-S2.a")
    def check_nothing(bench):
        """Ne mesure rien."""

    @check("CP06-S2.b", seconds=0.3)
    def check_slow(expect):
        """Trop lent."""
        expect.equal("x", 1, 1)
        try:
            time.sleep(5)
        except Exception:
            pass

    @check("CP07-S2.a")
    def check_probe_error(expect, probe):
        """La sonde échoue."""
        expect.equal("x", 1, 2)
        probe.call("broken", "lan")

    @check("CP07-S1.a")
    def check_login(expect, login):
        """Lit sur le poste."""
        expect.contains("mot", "said:", login("ws").check_output("hello").split())

    @check("CP99-S9.z")
    def check_of_another_lab(expect):
        """N'est pas dans le barème."""
        expect.equal("x", 1, 2)

    @check("CP06-S5.c", phase="reboot", needs=("CP06-S5.a",), nodes=("rtr",))
    def check_after_reboot(expect, login):
        """Après redémarrage."""
        expect.contains("mot", "said:", login("rtr").check_output("hello").split())

    @check("CP03-S2.b", phase="reboot", needs=("CP03-S2.a",))
    def check_after_reboot_blocked(expect):
        """Après redémarrage, bloqué."""
        expect.equal("x", 1, 1)
'''


def test_every_verdict(world):
    world.checks(EVERY_VERDICT)
    result = world.grade()
    records = world.records()
    mine = {check: one for (candidate, check), one in records.items() if candidate == "alice"}
    assert {check: str(one.verdict) for check, one in mine.items()} == {
        "CP06-S5.a": "passed",
        "CP03-S2.a": "failed",
        "CP06-S1.a": "error",
        "CP06-S1.b": "blocked",
        "CP06-S1.c": "blocked",
        "CP06-S2.a": "error",
        "CP06-S2.b": "error",
        "CP07-S2.a": "error",
        "CP07-S1.a": "passed",
        "CP06-S5.c": "passed",
        "CP03-S2.b": "blocked",
    }, result.stdout
    assert result.returncode == 4, "an error means that marks are not final"
    assert len(records) == 22, "both candidates"
    passed, failed = mine["CP06-S5.a"], mine["CP03-S2.a"]
    assert (passed.points, passed.max_points, passed.task, passed.title) == (7, 7, "adressage", "Le routeur route.")
    assert [one.source for one in passed.evidence] == ["probe:lan"]
    assert failed.points == 0
    assert failed.message == "passerelle : attendu 10.0.0.1, observé 10.0.0.254."
    assert [one.ok for one in failed.comparisons] == [True, False, False], "all are evaluated"
    assert mine["CP06-S1.b"].blocked_by == "CP03-S2.a"
    assert mine["CP06-S1.c"].blocked_by == "CP03-S2.a", "the root cause, not the link before"
    assert "AssertionError: from a library" in mine["CP06-S1.a"].message
    assert "measured nothing" in mine["CP06-S2.a"].message
    assert "0.3 s" in mine["CP06-S2.b"].message
    assert "no such leg" in mine["CP07-S2.a"].message
    assert [one.source for one in mine["CP07-S1.a"].evidence] == ["agent:ws"]
    assert mine["CP06-S5.c"].phase == "reboot"
    assert "Traceback" not in result.stdout
    assert "passerelle : attendu 10.0.0.1, observé 10.0.0.254" in result.stdout
    assert (world.folder / "boots-rtr").read_text() == "2", "each bench rebooted once"


def test_order_is_candidate_then_phase_then_needs(world):
    world.checks('''
    @check("CP06-S5.c", phase="reboot")
    def check_reboot(expect):
        """Redémarrage."""
        expect.equal("x", 1, 1)

    @check("CP06-S1.c", needs=("CP06-S1.b",))
    def check_third(expect):
        """Trois."""
        expect.equal("x", 1, 1)

    @check("CP06-S1.b", needs=("CP06-S1.a",))
    def check_second(expect):
        """Deux."""
        expect.equal("x", 1, 1)

    @check("CP06-S1.a")
    def check_first(expect):
        """Un."""
        expect.equal("x", 1, 1)
    ''')
    result = world.grade()
    assert result.returncode == 0, result.stdout
    order = list(world.records())
    ids = ["CP06-S1.a", "CP06-S1.b", "CP06-S1.c", "CP06-S5.c"]
    assert order == [(person, one) for person in ("alice", "bob") for one in ids]


PAIR = '''
    @check("CP06-S5.a", nodes=("rtr",))
    def check_router(expect):
        """Routeur."""
        expect.equal("x", 1, {observed})

    @check("CP03-S2.a", nodes=("ws", "rtr"))
    def check_station(expect):
        """Poste."""
        expect.equal("x", 1, 1)

    @check("CP06-S5.c", nodes=("rtr",), phase="reboot", needs=("CP06-S5.a",))
    def check_again(expect):
        """Encore."""
        expect.equal("x", 1, 1)
'''


def test_machine_down_blocks_and_is_named(world):
    world.checks(PAIR.format(observed=1))
    world.machines(rtr={"power": "stopped"}, ws={"agent": False})
    result = world.grade("--candidate", "alice")
    records = world.records()
    assert result.returncode == 1
    assert {one.blocked_by for one in records.values()} == {"node:rtr", "node:ws", "CP06-S5.a"} - {"CP06-S5.a"}
    assert records["alice", "CP06-S5.a"].message == "Non évaluable : la machine rtr n'est pas démarrée."
    header = load(world.run / "records.jsonl").benches[0]
    assert {node["image"].split()[1] for node in header.nodes} == {"4c1be0a7"}  # what each disk was cloned from
    assert [(node["name"], node["state"], node["reachable"]) for node in header.nodes] == [
        ("rtr", "stopped", False),
        ("srv", "running", True),
        ("ws", "running", False),
    ]


def test_a_machine_left_asleep_is_woken_and_graded(world):
    world.checks(PAIR.format(observed=1))
    world.machines(ws={"asleep": True})
    result = world.grade("--candidate", "alice", "--no-reboot")
    assert result.returncode == 0, result.stdout
    assert (world.folder / "woken-ws").exists()
    assert {str(one.verdict) for one in world.records().values()} == {"passed"}


def test_a_machine_that_its_host_halted_is_no_failure(world):
    """A full disk of the centre's."""
    world.checks(PAIR.format(observed=1))
    world.machines(ws={"power": "paused"})
    world.grade("--candidate", "alice", "--no-reboot")
    records = world.records()
    assert {check: str(one.verdict) for (_, check), one in records.items()} == {
        "CP06-S5.a": "passed",
        "CP03-S2.a": "error",
    }
    assert "l'hôte, dont le disque est plein (ou quelqu'un), a suspendu ws" in records["alice", "CP03-S2.a"].message


def test_a_silent_probe_does_not_make_a_machine_down(world):
    """Nobody could ask for the machine by ARP: its checks are tried, and tell for themselves."""
    world.checks(PAIR.format(observed=1))
    world.machines(probe={"silent": True}, ws={"agent": False})
    result = world.grade("--candidate", "bob", "--no-reboot")
    assert result.returncode == 0, result.stdout
    assert {str(one.verdict) for one in world.records().values()} == {"passed"}


def test_no_reboot_and_failed(world):
    world.checks(PAIR.format(observed=2))
    result = world.grade("--candidate", "bob", "--no-reboot")
    assert result.returncode == 1
    verdicts = {one.check: str(one.verdict) for one in world.records().values()}
    assert verdicts == {"CP06-S5.a": "failed", "CP03-S2.a": "passed"}, "what was not measured has no record"


def test_one_check_and_one_machine_to_reboot(world):
    """What a proof asks for: the persistence of one machine's settings, without the others' reboot."""
    world.checks(PAIR.format(observed=1))
    result = world.grade("--candidate", "bob", "--check", "CP06-S5.c", "--reboot-node", "rtr")
    assert result.returncode == 0
    assert list(world.records()) == [("bob", "CP06-S5.c")]
    assert sorted(path.name for path in world.folder.glob("boots-*")) == ["boots-rtr"]


def test_machines_that_were_restarted_before_are_not_restarted_again(world):
    world.checks(PAIR.format(observed=1))
    result = world.grade("--candidate", "bob", "--check", "CP06-S5.c", "--restarted")
    assert result.returncode == 0
    assert {str(one.verdict) for one in world.records().values()} == {"passed"}
    assert list(world.folder.glob("boots-*")) == []


def test_probe_down_is_an_error_for_everybody(world):
    world.checks(PAIR.format(observed=1))
    world.machines(probe={"power": "stopped"})
    result = world.grade("--candidate", "bob", "--no-reboot")
    assert result.returncode == 4
    one = world.records()["bob", "CP06-S5.a"]
    assert str(one.verdict) == "error"
    assert "the probe is not there" in one.message


def test_a_bench_that_its_centre_lost_is_held_against_nobody(world):
    """A host that was restarted: the probe is down, and so is everything else."""
    world.checks(PAIR.format(observed=1))
    world.machines(**{name: {"power": "stopped"} for name in ("probe", "rtr", "srv", "ws")})
    result = world.grade("--candidate", "bob", "--no-reboot")
    assert result.returncode == 4
    assert {str(one.verdict) for one in world.records().values()} == {"error"}


def test_records_survive_a_kill(world):
    world.checks('''
    @check("CP06-S5.a")
    def check_fast(expect):
        """Vite."""
        expect.equal("x", 1, 1)

    @check("CP03-S2.a", needs=("CP06-S5.a",))
    def check_for_ever(expect):
        """Jamais."""
        time.sleep(60)
    ''')
    process = subprocess.Popen(
        world.command(), stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=world.folder
    )
    path = world.run / "records.jsonl"
    end = time.monotonic() + 20
    while not (path.exists() and '"kind": "record"' in path.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = load(path)
    assert [one.check for one in run.records] == ["CP06-S5.a"]
    assert run.header.lab == "reseau"
    assert run.benches[0].values["domaine"].endswith(".test")


def test_report_is_written_and_named(world):
    world.checks(PAIR.format(observed=1))
    result = world.grade("--no-reboot")
    assert result.returncode == 0
    assert f"report: {world.run / 'report.html'}" in result.stdout
    assert (world.run / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--session", "nulle-part"], "no session 'nulle-part'"),
        (["--candidate", "zoe"], "unknown candidate 'zoe'; known: alice, bob"),
        (["-n", "2"], "use --candidate"),
        (["--check", "CP09-S1.a"], "--check CP09-S1.a: not in the sheet of lab reseau"),
        (["--reboot-node", "probe"], "--reboot-node probe: candidates of lab reseau have rtr, srv, ws"),
    ],
)
def test_usage_errors_are_one_line(world, options, words):
    world.checks(PAIR.format(observed=1))
    result = world.grade(*options)
    assert result.returncode == 2
    assert words in result.stderr + result.stdout
    assert "Traceback" not in result.stderr + result.stdout
    assert not world.run.exists()


def test_unknown_need_is_refused(world):
    world.checks('''
    @check("CP06-S5.a", needs=("CP06-S9.q",))
    def check_router(expect):
        """Routeur."""
        expect.equal("x", 1, 1)
    ''')
    result = world.grade()
    assert result.returncode == 2
    assert "CP06-S5.a needs CP06-S9.q" in result.stdout + result.stderr


def test_a_module_that_does_not_load_is_named(world):
    world.checks("import no_such_module_of_a_lab_author")
    result = world.grade()
    assert result.returncode == 2, "bad input: no verdict at all"
    assert "no_such_module_of_a_lab_author" in result.stdout
    assert "check_it.py" in result.stdout
    assert "INTERNALERROR" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_every_graded_id_must_have_a_check():
    lab = load_lab("reseau")
    with pytest.raises(InputError, match=r"lab reseau: tasks: no check in graders/ for CP03-C1\.a, CP03-C2\.a"):
        plan.validate([], lab, complete=True)
    plan.validate([], lab, complete=False)


def test_decorator_refuses_what_it_cannot_grade():
    with pytest.raises(ValueError, match="not a check id"):
        check("CP6.a")
    with pytest.raises(ValueError, match="no docstring"):

        @check("CP06-S1.a")
        def check_silent():
            pass


def test_decorator_keeps_the_function():
    @check("CP06-S1.a", needs=("CP06-S5.a",))
    def check_it():
        """Titre.

        Détail.
        """

    assert spec_of(check_it).title == "Titre."
    assert spec_of(check_it).competence == "CP06"


def test_what_disturbs_the_machines_runs_last_in_its_phase():
    def one(check_id, **more):
        def function():
            """Titre."""

        return spec_of(check(check_id, **more)(function))

    specs = [
        one("CP02-S3.b", phase="reboot", disturbing=True),
        one("CP02-S1.f", phase="reboot"),
        one("CP02-S5.b", phase="reboot", causes=("CP02-S4.b",)),
        one("CP02-S4.b", phase="reboot"),
        one("CP02-S3.c", disturbing=True),
        one("CP02-S1.e", errands=lambda _bench, _probe: ()),
        one("CP02-S1.a"),
    ]
    assert plan.order(specs) == [
        "CP02-S1.a", "CP02-S1.e", "CP02-S3.c", "CP02-S1.f", "CP02-S4.b", "CP02-S5.b", "CP02-S3.b",
    ]  # fmt: skip


def test_circle_of_needs_is_refused():
    @check("CP06-S1.a", needs=("CP06-S1.b",))
    def one():
        """Un."""

    @check("CP06-S1.b", needs=("CP06-S1.a",))
    def two():
        """Deux."""

    with pytest.raises(InputError, match="circle"):
        plan.order([spec_of(one), spec_of(two)])


def test_require_stops_and_conclude_weighs():
    expect = Expect()
    expect.equal("a", 1, 1)
    expect.conclude()
    with pytest.raises(Unmet, match="b : attendu 1, observé 2"):
        expect.require(expect.equal("b", 1, 2))
    with pytest.raises(NothingMeasuredError):
        Expect().conclude()
    empty = Expect()
    assert not empty.all_of("rien à voir", "tous", [], 0), "nothing observed is never right"


def test_none_lists_what_was_found():
    expect = Expect()
    assert expect.none("ports ouverts", [])
    assert not expect.none("adresses", ["10.0.0.1", "10.0.0.2"], "aucune")
    assert [(one.expected, one.observed) for one in expect.comparisons] == [
        ("aucun", "aucun"),
        ("aucune", "10.0.0.1, 10.0.0.2"),
    ]


def test_fixtures_for_other_systems_are_there(world):
    world.checks('''
    @check("CP06-S5.a")
    def check_device(expect, device, windows):
        """Interroge ce qui n'est pas un Unix."""
        expect.true("x", "a", "a", True)
        for ask in (lambda: device("rtr").show("show version"), lambda: windows("rtr").query("Get-Date")):
            try:
                ask()
            except Exception as problem:
                expect.true(type(problem).__name__, "", str(problem), False)
    ''')
    world.grade("--candidate", "bob", "--no-reboot")
    told = [one.label for one in world.records()["bob", "CP06-S5.a"].comparisons]
    assert told[1:] == ["RouteError", "InputError"] or told[1:] == ["InputError"], told


@pytest.mark.parametrize(
    ("waiting", "degraded", "boots"), [(0.9, [1], "2"), (0.1, [1], "1"), (0.9, [], "1"), (0.9, [1, 2], "2")]
)
def test_a_machine_that_started_in_part_on_a_busy_host_restarts_once_more(world, waiting, degraded, boots):
    """A service that gave up because its host was busy stays down, whatever is waited for after."""
    world.checks(PAIR.format(observed=1))
    world.machines(rtr={"degraded": degraded}, probe={"kept_waiting": waiting})
    assert world.grade("--candidate", "alice", "--reboot-node", "rtr").returncode == 0
    assert (world.folder / "boots-rtr").read_text() == boots
