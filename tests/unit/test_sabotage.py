"""Mutants and faults: made, seen made, and refused with the reason."""

import json

import pytest

from labs import sabotage
from labs.bench import compute_bench
from labs.errors import InputError
from labs.hypervisors.base import ExecResult
from labs.models.faults import find_fault, load_faults
from labs.models.lab import load_lab
from labs.models.session import load_session
from labs.sabotage import Sabotage
from labs.variants import render


class Machine:
    """A machine whose state is a word, changed by `run` scripts that name another."""

    def __init__(self, state="good", answers=True):
        self.state, self.answers, self.asked = state, answers, []

    def execute(self, key, argv, deadline, *, stdin=b""):
        script = stdin.decode()
        self.asked.append((key.node, script))
        verb, _, word = script.partition(" ")
        if verb == "become" and self.answers:
            self.state = word
        if verb == "fail":
            return ExecResult(7, b"", b"no such file\n")
        return ExecResult(0 if verb == "become" or self.state == word else 1, b"", b"")


@pytest.fixture
def bench():
    session = load_session("demo")
    return compute_bench(session, session.candidates[0])


def test_templates_are_rendered_and_the_effect_is_seen(bench):
    machine = Machine()
    assert Sabotage("rtr", "become {{ domaine }}", "is {{ domaine }}").apply(machine, bench) is None
    assert machine.asked[1] == ("rtr", f"become {bench.values['domaine']}")


def test_what_holds_already_proves_nothing(bench):
    assert "holds before" in Sabotage("rtr", "become bad", "is good").apply(Machine(), bench)


def test_what_fails_says_its_words(bench):
    assert "status 7: no such file" in Sabotage("rtr", "fail", "is bad").apply(Machine(), bench)


def test_a_name_that_is_no_value_is_one_line_and_touches_nothing(bench):
    machine = Machine()
    with pytest.raises(InputError, match=r"rtr: .* cannot be rendered: 'domain' is undefined"):
        Sabotage("rtr", "become {{ domain }}", "is bad").apply(machine, bench)
    assert machine.state == "good"


def test_what_changes_nothing_is_not_applied(bench, monkeypatch):
    monkeypatch.setattr(sabotage, "APPLIED_SECONDS", 0.05)
    assert "does not hold after" in Sabotage("rtr", "become bad", "is bad").apply(Machine(answers=False), bench)


def test_the_faults_of_the_project_load_and_render(bench):
    faults = load_faults(load_lab("reseau"))
    assert len(faults) >= 8
    for fault in faults:
        for text in (fault.run, fault.applied, *fault.call.values()):
            assert render(text, bench.variables)


def test_the_caller_tells_symptoms_only(bench):
    """No address, no file, no command: a user does not know them."""
    for fault in load_faults(load_lab("reseau")):
        for words in fault.call.values():
            assert not {"nft", "/etc", "systemctl", "10."} & set(words.replace("/etc/", " /etc ").split()), fault.id


@pytest.mark.parametrize(
    ("change", "words"),
    [({"node": "dc"}, "gives candidates"), ({"green": ["CP09-S1.a"]}, "not in the sheet"), ({"id": "X1"}, "pattern")],
)
def test_a_wrong_fault_is_refused_with_its_place(tmp_path, change, words):
    good = {"id": "F01", "title": {"fr": "t"}, "node": "ws", "call": {"fr": "c"}, "run": "x", "applied": "y",
            "green": ["CP03-S2.a"]}  # fmt: skip
    file = tmp_path / "faults.yaml"
    file.write_text(json.dumps({"faults": [good | change]}))
    with pytest.raises(InputError, match=words) as refused:
        load_faults(load_lab("reseau"), file)
    assert str(file) in str(refused.value)


def test_an_unknown_fault_names_those_that_are_known():
    with pytest.raises(InputError, match="known: F01, F02"):
        find_fault(load_lab("reseau"), "F99")
