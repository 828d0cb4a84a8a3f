"""The judgement of a proof: fates of mutants, strays, flakes, and everything that must be said to be wrong."""

import json
import threading

import pytest

from labs.cli.proving import prove_lab
from labs.errors import EnvironmentLackError, InputError, PlateauError
from labs.lock import exclusive
from labs.models.faults import Fault
from labs.models.lab import load_lab
from labs.models.mutants import Mutant, load_mutants
from labs.models.session import load_session
from labs.paths import CATALOGUE
from labs.prove import judge
from labs.prove.bench import proof_session
from labs.prove.ledger import Ledger, asked
from labs.prove.page import page
from labs.prove.phases import phases_of_checks
from labs.prove.proof import Wish, deal, prove
from labs.prove.result import Grading, Proof, Seen, Trial

A, B, C, R = "CP06-S1.a", "CP06-S1.b", "CP06-S2.a", "CP06-S1.d"


def seen(check: str, verdict: str, blocked_by: str | None = None, phase: str = "live") -> Seen:
    return Seen(check, verdict, 5.0 if verdict == "passed" else 0.0, 5.0, phase, blocked_by)


def mutant(*kills: str, name: str = "CP06-S1.m1") -> Mutant:
    return Mutant(
        id=name, lab="reseau", node="rtr", mistake="forgets the relay", run="x", applied="y", kills=list(kills)
    )


@pytest.mark.parametrize(
    ("checks", "fate"),
    [
        ([seen(A, "failed"), seen(B, "failed")], "killed"),
        ([seen(A, "failed"), seen(B, "blocked", A)], "killed"),
        ([seen(A, "failed"), seen(B, "passed")], "survived"),
        ([seen(A, "passed"), seen(B, "passed")], "survived"),
        ([seen(A, "failed"), seen(B, "manual")], "survived"),
        ([seen(A, "failed"), seen(B, "blocked", C)], "survived"),
        ([seen(A, "failed"), seen(B, "blocked", "node:rtr")], "unmeasured"),
        ([seen(A, "failed"), seen(B, "error")], "unmeasured"),
        ([seen(A, "failed")], "unmeasured"),
        ([], "unmeasured"),
    ],
)
def test_fate(checks, fate):
    assert judge.fate(mutant(A, B), checks)[0] == fate


def test_two_checks_that_block_each_other_kill_nothing():
    """At least one must really have failed."""
    assert judge.fate(mutant(A, B), [seen(A, "blocked", B), seen(B, "blocked", A)])[0] == "survived"


def test_stray_checks_are_those_red_on_their_own_account():
    found = judge.stray(mutant(A), [seen(A, "failed"), seen(B, "blocked", A), seen(C, "failed"), seen(R, "blocked", C)])
    assert found == (C, R)


def test_an_unmeasurable_check_is_a_stray_too():
    assert judge.stray(mutant(A), [seen(A, "failed"), seen(C, "error")]) == (C,)


def test_the_sample_moves_with_the_seed_until_all_had_their_turn():
    mutants = [mutant(A, name=f"CP06-S1.m{number}") for number in range(1, 8)]
    samples = [judge.sampled(mutants, 3, seed) for seed in range(3)]
    assert set.union(*samples) == {one.id for one in mutants}
    assert sum(map(len, samples)) == len(mutants)
    assert judge.sampled(mutants, 0, 1) == set()
    assert len(judge.sampled(mutants, 1, 5)) == len(mutants)


def proof(**more) -> Proof:
    return Proof("reseau", "1.0", ["seed-01"], [A, B], ["alternatives/x.yml"], {}, **more)


def grading(state: str, *verdicts: str) -> Grading:
    return Grading("seed-01", state, tuple(map(seen, (A, B), verdicts)), 1.0)


def test_a_good_proof_has_nothing_wrong():
    good = proof(
        gradings=[
            grading("pristine", "failed", "blocked"),
            grading("solution", "passed", "passed"),
            grading("repetition 1", "passed", "passed"),
            grading("alternative alternatives/x.yml", "passed", "passed"),
        ],
        trials=[Trial("seed-01", "CP06-S1.m1", "killed", 1.0, (A,), (), True)],
    )
    assert good.wrong() == []
    data = good.to_json()
    assert (data["pristine_points"], data["solution_percent"], data["flakes"]) == (0, 100, 0)
    assert data["alternatives"] == {"passed": 1, "failed": 0}
    assert data["specificity_percent"] == 100
    assert json.loads(json.dumps(data)) == data | {"gradings": json.loads(json.dumps(data["gradings"])),
                                                   "trials": json.loads(json.dumps(data["trials"]))}  # fmt: skip


@pytest.mark.parametrize(
    ("gradings", "trials", "words"),
    [
        ([grading("pristine", "passed", "failed")], [], f"{A} gives 5 points"),
        ([grading("pristine", "error", "failed")], [], f"{A} could not be measured"),
        ([grading("solution", "passed", "failed")], [], f"{B} is failed"),
        ([Grading("seed-01", "solution", (seen(A, "passed"),), 1.0)], [], f"{B} was not measured"),
        ([grading("alternative alternatives/x.yml", "passed", "error")], [], f"{B} is error"),
        ([grading("solution", "passed", "passed"), grading("repetition 1", "passed", "failed")], [], "flake: seed-01"),
        (
            [
                grading("solution", "passed", "passed"),
                Grading("seed-01", "repetition, restarted, on b", (seen(B, "failed", phase="reboot"),), 1.0),
            ],
            [],
            f"flake: seed-01 {B}",
        ),
        ([], [Trial("seed-01", "CP06-S1.m1", "survived", 1.0)], "CP06-S1.m1: survived"),
        ([], [Trial("seed-01", "CP06-S1.m1", "not_applied", 1.0, detail="why")], "not applied: why"),
        ([], [Trial("seed-01", "CP06-S1.m1", "killed", 1.0, (A, C), (C,), True)], f"also reddened {C}"),
    ],
)
def test_what_is_wrong_is_said(gradings, trials, words):
    assert any(words in line for line in proof(gradings=gradings, trials=trials).wrong())


def test_a_mutant_has_the_worst_of_its_fates():
    both = proof(
        trials=[Trial("seed-01", "CP06-S1.m1", "killed", 1.0), Trial("seed-02", "CP06-S1.m1", "survived", 1.0)]
    )
    assert both.to_json()["mutants"]["survived"] == 1
    assert both.to_json()["mutants"]["killed"] == 0


class Bench:
    """A bench as the walk sees it, whose solution, alternative and mutants behave as told."""

    def __init__(self, lab, *, broken_playbook=None, applies=True, notices=True):
        self.id, self.name, self.state, self.log = "seed-01", "seed-01@bench-1", "", []
        self.bench = type("B", (), {"session": type("S", (), {"lab": lab})})
        self.lab, self.broken_playbook, self.applies, self.notices = lab, broken_playbook, applies, notices
        self.mutated = False
        self.always_red, self.red_once = set(), set()
        self.graded, self.saved, self.backs, self.selections = [], {}, [], []
        self.fails = {}
        """Errors of the next gradings, by step."""

    def tell(self, step):
        self.log.append(step)

    def renew(self):
        self.state, self.mutated = "baseline", False

    def play(self, playbook):
        if playbook == self.broken_playbook:
            raise PlateauError(f"{playbook}: task X failed")
        self.state = "solved"

    def save(self, name):
        self.saved[name] = self.state

    def restart(self):
        self.log.append("restart")

    def back(self, name):
        self.state, self.mutated = self.saved[name], False
        self.backs.append(name)

    def apply(self, mutant):
        self.mutated = self.applies
        return None if self.applies else "`applied` does not hold after `run`"

    def grade(self, step, selection=None):
        self.graded.append(step)
        self.selections.append(selection)
        if self.fails.get(step):
            raise self.fails[step].pop(0)
        chosen = selection.checks if selection and selection.checks else (A, R)
        good = self.state == "solved"
        bad = self.always_red | self.red_once | ({A} if self.mutated and self.notices else set())
        if good:
            self.red_once = set()
        verdicts = [(check, "failed" if not good or check in bad else "passed") for check in chosen]
        return tuple(seen(check, verdict, None, "reboot" if check == R else "live") for check, verdict in verdicts), 0.1

    def leave(self):
        self.state = "gone"


@pytest.fixture(autouse=True)
def nothing_to_settle(monkeypatch):
    monkeypatch.setattr("labs.prove.proof.SETTLE_SECONDS", 0.0)


@pytest.fixture
def lab():
    tiny = load_lab("reseau")
    return tiny.model_copy(update={"tasks": [tiny.tasks[0].model_copy(update={"checks": {A: 5.0, R: 5.0}})]})


def about(*mutants):
    return {"lab": "reseau", "sabotages": {one.id: one.model_dump_json() for one in mutants}}


MANY = [mutant(A, name=f"CP06-S1.m{number}") for number in range(1, 5)]


@pytest.fixture
def ledger(tmp_path):
    return Ledger.begin(tmp_path / "proof.jsonl", about(*MANY))


def proved(lab, benches, wish, ledger, stop=None):
    stop = stop or threading.Event()
    hands = deal([benches], wish, ledger)
    return prove(lab, hands, {A: "live", R: "reboot"}, wish, jobs=len(benches), ledger=ledger, stop=stop)


@pytest.fixture
def walk(tmp_path):
    def go(lab, wish=None, **behaviour):
        ledger = Ledger.begin(tmp_path / "proof.jsonl", about(*MANY))
        bench = Bench(lab, **behaviour)
        wish = wish or Wish(mutants=(mutant(A),), alternatives=("alternatives/x.yml",))
        return bench, proved(lab, [bench], wish, ledger)

    return go


def test_the_whole_walk(lab, walk):
    bench, found = walk(lab)
    assert found.wrong() == []
    assert [one.state for one in found.gradings] == [
        "pristine", "solution", "repetition 1", "alternative alternatives/x.yml"]  # fmt: skip
    assert found.fates() == {"CP06-S1.m1": "killed"}
    assert bench.state == "gone"


def test_a_fault_is_tried_as_a_mutant_is_and_counted_apart(lab, walk):
    fault = Fault(id="F08", title={"fr": "Relais arrêté", "en": "Relay stopped"}, node="rtr", call={"fr": "Rien !"},
                  run="x", applied="y", green=[A])  # fmt: skip
    told = walk(lab, Wish(faults=(fault,)))[1].to_json()
    assert told["wrong"] == []
    assert (told["faults"]["killed"], told["mutants"]["killed"]) == (1, 0)
    assert "| F08 | rtr | Relay stopped | CP06-S1.a | killed 1× |" in page(told, {})
    dated_at_once = walk(lab, Wish(faults=(fault,)), notices=False)[1]
    assert dated_at_once.wrong() == ["seed-01, fault F08: survived: CP06-S1.a still passes"]


def test_mutants_that_act_at_once_share_one_restart(lab, walk):
    """Checks made after a restart are asked of a bench that was restarted before the mistake."""
    tried = [
        mutant(R, A, name=f"CP06-S1.m{number}").model_copy(update={"restart": number == 2}) for number in range(1, 4)
    ]
    bench, found = walk(lab, Wish(parts=frozenset({"mutants"}), mutants=tuple(tried), repeat=0, share=0))
    assert bench.log.count("restart") == 1
    assert bench.backs == ["solved", "restarted", "restarted", "solved", "restarted"]
    assert [one.restarted for one in bench.selections[1:]] == [True, True, False, True]
    assert bench.graded[1] == "repetition, restarted, on seed-01@bench-1", "as it comes back, without a mistake"
    assert "restarted. CP06-S1.m1, CP06-S1.m3." in page(found.to_json(), {})


def test_two_benches_share_the_work_of_a_seed(lab, ledger):
    wish = Wish(mutants=tuple(mutant(A, name=f"CP06-S1.m{number}") for number in range(1, 8)),
                alternatives=("alternatives/x.yml",))  # fmt: skip
    pair = [Bench(lab), Bench(lab)]
    found = proved(lab, pair, wish, ledger)
    assert found.wrong() == []
    assert found.seeds == ["seed-01"]
    assert sorted(trial.mutant for trial in found.trials) == [one.id for one in wish.mutants]
    states = [one.state for one in found.gradings]
    assert states.count("pristine") == states.count("solution") == 1
    assert states.count("alternative alternatives/x.yml") == 1


def test_every_check_has_its_phase():
    phases = phases_of_checks()
    assert phases["CP06-S5.a"] == "live"
    assert phases["CP06-S5.c"] == "reboot"
    assert {check for task in load_lab("reseau").tasks for check in task.checks} <= set(phases)


def test_a_check_that_notices_nothing_is_found_out(lab, walk):
    assert walk(lab, notices=False)[1].fates() == {"CP06-S1.m1": "survived"}


def test_a_check_that_the_solution_does_not_pass_kills_nothing(lab, ledger):
    """It would be red under any mutant."""
    bench, wish = Bench(lab), Wish(mutants=(mutant(A),))
    bench.always_red = {A}
    found = proved(lab, [bench], wish, ledger)
    assert found.fates() == {"CP06-S1.m1": "unmeasured"}
    assert "not passed on the solution either" in found.trials[0].detail
    assert bench.graded.count("repetition of what was red") == 1


def test_a_check_that_was_red_on_the_solution_for_a_moment_is_a_flake_and_its_mutants_are_tried(lab, ledger):
    bench, wish = Bench(lab), Wish(mutants=(mutant(A),), repeat=0)
    bench.red_once = {A}
    found = proved(lab, [bench], wish, ledger)
    assert found.fates() == {"CP06-S1.m1": "killed"}
    assert found.wrong() == [f"seed-01, solution: {A} is failed: ", f"flake: seed-01 {A} did not always get the same "
                             "verdict on an unchanged bench"]  # fmt: skip


def test_a_trial_that_told_nothing_is_tried_once_more(lab, ledger):
    bench, wish = Bench(lab), Wish(mutants=(mutant(A),))
    bench.fails["CP06-S1.m1"] = [PlateauError("the grader did not measure")]
    found = proved(lab, [bench], wish, ledger)
    assert found.wrong() == []
    assert found.trials[0].first == "unmeasured: the grader did not measure"
    assert "| killed at the second trial 1× |" in page(found.to_json(), {})


@pytest.mark.parametrize(("times", "stray"), [(1, ()), (2, (A,))])
def test_a_check_that_could_not_be_measured_beside_a_mutant_is_asked_once_more(times, stray, lab, ledger):
    """A busy host is no reason to call the mutant unspecific; one that is so twice may be."""

    class Busy(Bench):
        def grade(self, step, selection=None):
            told, seconds = super().grade(step, selection)
            if step == "CP06-S1.m1" and self.graded.count(step) <= times:
                told = tuple(seen(one.check, "error") if one.check == A else one for one in told)
            return told, seconds

        def apply(self, mutant):
            self.always_red = {R}

    found = proved(lab, [Busy(lab, notices=False)], Wish(mutants=(mutant(R),), share=1, repeat=0), ledger)
    (trial,) = found.trials
    assert (trial.fate, trial.stray) == ("killed", stray)
    assert trial.first == f"unmeasured: {A} could not be measured beside it"


def test_a_proof_that_was_interrupted_goes_on_where_it_was(lab, ledger, tmp_path):
    wish = Wish(mutants=tuple(MANY), alternatives=("alternatives/x.yml",))
    stop = threading.Event()

    class Killed(Bench):
        def apply(self, mutant):
            if mutant.id == "CP06-S1.m3":
                stop.set()
                raise PlateauError("the grading was cut short")
            return super().apply(mutant)

    cut = proved(lab, [Killed(lab)], wish, ledger, stop)
    assert [trial.mutant for trial in cut.trials] == ["CP06-S1.m1", "CP06-S1.m2"]
    with ledger._path.open("a") as stream:
        stream.write('{"kind": "trial", "fou')  # what a killed process was writing

    again = Ledger.resume(tmp_path / "proof.jsonl", about(*MANY))
    bench = Bench(lab)
    whole = proved(lab, [bench], wish, again)
    assert whole.wrong() == []
    assert whole.to_json()["resumed"] == 1
    assert [trial.mutant for trial in whole.trials] == [f"CP06-S1.m{number}" for number in range(1, 5)]
    assert bench.graded == ["repetition on seed-01@bench-1", "CP06-S1.m3", "CP06-S1.m4",
                            "alternative alternatives/x.yml"]  # fmt: skip
    with pytest.raises(InputError, match="no proof of this lab is unfinished"):
        Ledger.resume(tmp_path / "proof.jsonl", about(*MANY))


def test_a_snapshot_that_comes_back_red_tells_nothing_of_mutants(lab, walk, tmp_path):
    """One taken in the middle of an exchange with the probe, which is not rolled back."""

    class Late(Bench):
        def back(self, name):
            super().back(name)
            self.always_red.add(A)

    walk(lab, broken_playbook="alternatives/x.yml")
    again = Ledger.resume(tmp_path / "proof.jsonl", about(*MANY))
    late = Late(lab)
    found = proved(lab, [late], Wish(mutants=tuple(MANY[:2])), again)
    assert late.graded[0] == "repetition on seed-01@bench-1"
    assert [trial.fate for trial in found.trials] == ["killed", "unmeasured"]


def test_a_restarted_bench_that_is_red_tells_nothing_of_mutants(lab, ledger):
    class Slow(Bench):
        def back(self, name):
            super().back(name)
            self.always_red = {R} if name == "restarted" else set()

    tried = [mutant(R, name="CP06-S1.m1").model_copy(update={"restart": False})]
    found = proved(lab, [Slow(lab)], Wish(parts=frozenset({"mutants"}), mutants=tuple(tried), repeat=0), ledger)
    assert {trial.fate for trial in found.trials} == {"unmeasured"}


def test_an_untouched_bench_that_was_not_measured_is_not_worth_nothing():
    down = seen(A, "blocked", "node:srv")
    found = proof(gradings=[Grading("seed-01", "pristine", (down,), 1.0)])
    told = [line for line in found.wrong() if "pristine" in line]
    assert len(told) == 2, told
    assert "CP06-S1.b was not measured" in told[0]


def test_a_proof_with_something_left_to_try_can_be_taken_up(lab, walk, tmp_path):
    _, found = walk(lab, broken_playbook="alternatives/x.yml")
    assert found.broken
    again = Ledger.resume(tmp_path / "proof.jsonl", about(*MANY))
    assert again.settled("seed-01") == {"CP06-S1.m1"}
    assert again.states("seed-01") == {"pristine", "solution", "repetition 1"}


def test_a_mended_mutant_is_tried_again_alone(lab, ledger, tmp_path):
    """One that survived because it was badly made costs its own trial, not the whole proof."""
    bad, good, *gone = MANY
    found = proved(lab, [Bench(lab, notices=False)], Wish(mutants=(bad, good, *gone)), ledger)
    assert [trial.fate for trial in found.trials] == ["survived"] * 4
    now = about(bad.model_copy(update={"run": "better"}), good)
    again = Ledger.resume(tmp_path / "proof.jsonl", now)
    assert again.settled("seed-01") == {good.id}
    assert again.states("seed-01") >= {"pristine", "solution"}
    assert Ledger.resume(tmp_path / "proof.jsonl", now).settled("seed-01") == {good.id}


def test_a_grading_that_could_not_be_measured_is_made_again(lab, ledger, tmp_path):
    """As a mutant is that was not measured; one that is red stays a finding."""
    ledger.keep(grading("alternative alternatives/x.yml", "error", "blocked"))
    ledger.keep(grading("pristine", "failed", "blocked"))
    again = Ledger.resume(tmp_path / "proof.jsonl", about(*MANY))
    assert again.states("seed-01") == {"pristine"}


def test_findings_about_other_checks_are_not_taken_up(tmp_path, lab):
    path = tmp_path / "proof.jsonl"
    before = asked(lab, ["seed-01"], Wish())
    Ledger.begin(path, before)
    assert Ledger.resume(path, json.loads(json.dumps(before))).resumed == 1
    with pytest.raises(InputError, match=r"not what .* was asked: --repeat, the graders; give"):
        Ledger.resume(path, before | {"the graders": "other", "--repeat": 3})
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match="not the findings of a proof"):
        Ledger.resume(path, before)


def test_a_proof_does_not_touch_the_session_of_one_that_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "plateau" / "prove" / "reseau" / "bench-1"
    with exclusive(folder / "session.lock", "prove"):
        (folder / "session.yaml").write_text("of the first\n")
        with pytest.raises(EnvironmentLackError, match="`plateau prove`"):
            prove_lab(load_lab("reseau"), ["seed-07"], Wish(), jobs=1, hypervisor="qemu", quiet=True)
    assert (folder / "session.yaml").read_text() == "of the first\n"


def test_a_sheet_with_a_check_that_nobody_wrote_is_one_line(lab, ledger):
    lost = lab.model_copy(update={"tasks": [lab.tasks[0].model_copy(update={"checks": {"CP01-S1.z": 1.0}})]})
    with pytest.raises(InputError, match=r"no check in graders/ for CP01-S1\.z"):
        prove_lab(lost, ["seed-01"], Wish(), jobs=1, hypervisor="qemu", quiet=True)


def test_a_mutant_that_does_nothing_is_not_applied(lab, walk):
    assert walk(lab, applies=False)[1].fates() == {"CP06-S1.m1": "not_applied"}


def test_a_broken_alternative_is_said_and_the_bench_still_goes(lab, walk):
    bench, found = walk(lab, broken_playbook="alternatives/x.yml")
    assert found.wrong() == ["seed-01, alternative alternatives/x.yml: alternatives/x.yml: task X failed"]
    assert bench.state == "gone"


def test_an_equivalent_mutant_is_not_run(lab, walk):
    argued = Mutant(id="CP06-S1.m9", lab="reseau", node="rtr", mistake="changes a comment", equivalent="no effect")
    _, found = walk(lab, Wish(mutants=(argued,)))
    assert found.fates() == {"CP06-S1.m9": "equivalent"}
    assert found.wrong() == []


def test_the_page_tells_what_the_json_has(lab, walk):
    _, found = walk(lab, notices=False)
    text = page(found.to_json(), {"Date": "2026-11-23"})
    assert "| CP06-S1.m1 | rtr | forgets the relay | CP06-S1.a | survived 1× |" in text
    assert "- seed-01, mutant CP06-S1.m1: survived: CP06-S1.a still passes" in text
    assert "Nothing." in page(walk(lab)[1].to_json(), {})


def test_the_proof_of_a_version_has_a_name_of_its_own(lab, walk, tmp_path):
    found = walk(lab)[1]
    found.training = "cp06"
    told = page(found.to_json(), {})
    assert told.startswith("# Validity of the lab `reseau`, training version `cp06`\n")
    assert "`plateau prove reseau --training cp06 --write` from `reseau-cp06.json`" in told
    assert asked(lab, ["seed-01"], Wish(), "cp06") != asked(lab, ["seed-01"], Wish())
    session = load_session(str(proof_session(tmp_path / "bench-1", "reseau", ["seed-01"], "qemu", "cp06")))
    assert session.preparation == "preparations/reseau-cp06.yml"


def test_only_checks_made_after_a_restart_can_do_without_one():
    phases = phases_of_checks()
    labs = {path.parent.name for path in CATALOGUE.glob("*/lab.yaml")}
    at_once = [one for name in labs for one in load_mutants(load_lab(name)) if not one.restart]
    assert [one.id for one in at_once if all(phases[check] == "live" for check in one.kills)] == []
    assert at_once


@pytest.mark.parametrize("name", ["annuaire", "interco", "reseau"])
def test_every_mutant_of_the_project_loads_and_every_graded_check_has_one(name):
    lab = load_lab(name)
    killed = {check for one in load_mutants(lab) for check in one.kills}
    assert {check for task in lab.tasks for check in task.checks} - killed == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"node": "dc"}, "gives candidates"),
        ({"kills": ["CP09-S1.a"]}, "CP09-S1.a is not in the sheet"),
        ({"kills": ["CP06"]}, "not a check id"),
        ({"applied": None}, "give run, applied and kills"),
        ({"equivalent": "cannot be seen"}, "an equivalent mutant is not run"),
    ],
)
def test_a_wrong_mutant_is_refused_with_its_place(tmp_path, change, words):
    good = {"id": "CP06-S1.m1", "lab": "reseau", "node": "rtr", "mistake": "forgets the relay",
            "run": "x", "applied": "y", "kills": [A]}  # fmt: skip
    file = tmp_path / "mutants.yaml"
    file.write_text(json.dumps({"mutants": [good | change]}))
    with pytest.raises(InputError, match=words) as refused:
        load_mutants(load_lab("reseau"), [file])
    assert str(file) in str(refused.value)


def test_an_id_used_twice_is_refused(tmp_path):
    one = mutant(A).model_dump(exclude_none=True)
    file = tmp_path / "mutants.yaml"
    file.write_text(json.dumps({"mutants": [one, one]}))
    with pytest.raises(InputError, match="used twice"):
        load_mutants(load_lab("reseau"), [file])
