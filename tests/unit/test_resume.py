"""Taking up an interrupted grading run: what was measured is kept, the rest is measured, and nothing is mixed."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import test_report_samples as samples

from graders.records import Evidence, dump, load
from labs import resume
from labs.cli.grading import grade_session
from labs.errors import EnvironmentLackError, InputError, PlateauError
from labs.grade import PARTS, Selection, _Grader, _join, _next, _per_host, ended
from labs.hypervisors.base import NodeKey, NodeStatus, Power
from labs.lock import exclusive
from labs.models.lab import load_lab
from labs.models.proxmox import Caps, ProxmoxProfile
from labs.models.session import load_session
from labs.sessionfiles import SessionFiles

SESSION = """
name: essai
title: Essai
lab: reseau
hypervisor: un
seed: un-secret-de-test
candidates:
  - {id: alice, name: Alice}
  - {id: bob, name: Bob}
  - {id: chloe, name: Chloé}
"""
CHECKS = Selection(checks=("CP06-S5.a",), reboot=False)
ROOT = Path(__file__).resolve().parents[2]


class Everything:
    """A hypervisor on which every bench is up."""

    def __init__(self):
        self.power = {}
        self.unfrozen = set()
        self.unfinished = set()

    def list_nodes(self, uid):
        names = [node.name for node in load_lab("reseau").nodes]
        keys = [NodeKey(uid, one, name) for one in ("alice", "bob", "chloe") for name in names]
        return [
            NodeStatus(key, self.power.get(place, Power.RUNNING), place not in self.unfinished)
            for key in keys
            for place in [f"{key.candidate}/{key.node}"]
        ]

    def snapshots(self, key, deadline):
        return [] if f"{key.candidate}/{key.node}" in self.unfrozen else ["frozen"]


class Place:
    """A session, and gradings of it that can be interrupted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "session.yaml").write_text(SESSION)
        (folder / "un.hypervisor.yaml").write_text("driver: qemu\nparallel: 1\n")
        (folder / "world.json").write_text("{}")
        self.session = load_session(str(folder / "session.yaml"))
        self.machines = Everything()

    def grade(self, *, resumed=False, anew=False, selection=CHECKS, without=()):
        path = str(self.folder / "session.yaml")
        options = {"resume": resumed, "anew": anew, "without": without}
        return grade_session(path, None, selection, quiet=True, lang="fr", **options)

    @property
    def graded(self) -> list[str]:
        path = self.folder / "graded"
        return path.read_text().split() if path.exists() else []

    def runs(self) -> list[Path]:
        return sorted((self.folder / "results").iterdir())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("RESUME", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p tests.unit.resume_plugin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found = Place(tmp_path)
    monkeypatch.setattr("labs.hypervisors.open_hypervisor", lambda _profile: found.machines)
    return found


@pytest.fixture
def interrupted(place, monkeypatch):
    """The grading was stopped while bob was graded; alice is measured, chloe not begun."""
    hang = place.folder / "hang-bob"
    hang.touch()
    with monkeypatch.context() as patch:

        def stop(grader, _progress):
            if grader.candidate == "bob" and "bob" in place.graded:
                raise KeyboardInterrupt

        patch.setattr("labs.grade._show", stop)
        with pytest.raises(KeyboardInterrupt):
            place.grade()
    hang.unlink()
    assert place.graded == ["alice", "bob"]
    return place


def test_only_what_was_not_measured_is_measured(interrupted, capsys):
    (folder,) = interrupted.runs()
    before = (folder / PARTS / "alice" / "records.jsonl").read_text()
    (folder / PARTS / "bob" / "records.jsonl").write_text(before[: len(before) // 2])  # half a record
    interrupted.grade(resumed=True, selection=Selection())
    assert interrupted.graded == ["alice", "bob", "bob", "chloe"]
    assert interrupted.runs() == [folder], "the same run"
    run = load(folder / "records.jsonl")
    assert run.header.run == folder.name, "the run's name, not that of whom it began with"
    assert [(one.candidate, one.check) for one in run.records] == [
        (one, "CP06-S5.a") for one in ("alice", "bob", "chloe")
    ], "with the checks that were asked for then"
    assert next(line for line in before.splitlines() if '"record"' in line) in (folder / "records.jsonl").read_text()
    assert {path.stem for path in (folder / "snapshots").iterdir()} == {"alice", "bob", "chloe"}
    assert not (folder / PARTS).exists()
    assert (folder / "report.html").exists()
    assert "1 of 3 candidates are measured; now: bob, chloe" in " ".join(capsys.readouterr().err.split())


def test_joined_records_keep_every_line_and_the_earliest_beginning(tmp_path):
    evidence = [Evidence("ssh:ws", "cat", "deux\u2028lignes\u0085", 0.1)]
    parts = []
    for name, hour in (("alice", "10"), ("bob", "09")):
        part = tmp_path / name / "records.jsonl"
        part.parent.mkdir()
        head = replace(samples.header(), run=name, started=f"2026-11-20T{hour}:00:00Z")
        items = [head, samples.bench(name, name), samples.record(name, "CP06-S1.a", evidence=evidence)]
        part.write_text("".join(f"{dump(item)}\n" for item in items), encoding="utf-8")
        parts.append(part)
    folder = tmp_path / "20261120T090000Z"
    folder.mkdir()
    _join(parts, folder / "records.jsonl")
    run = load(folder / "records.jsonl")
    assert (run.header.run, run.header.started) == (folder.name, "2026-11-20T09:00:00Z")
    assert [(one.candidate, one.evidence) for one in run.records] == [("alice", evidence), ("bob", evidence)]


def test_all_measured_and_only_the_report_missing(interrupted):
    (folder,) = interrupted.runs()
    asked = (folder / resume.NAME).read_text()
    interrupted.grade(resumed=True, selection=Selection())
    assert not (folder / resume.NAME).exists(), "no candidate's dossier shows the others"
    (folder / resume.NAME).write_text(asked)
    graded = interrupted.graded
    parts = folder / PARTS
    for one in ("alice", "bob", "chloe"):  # as a kill before the records were joined leaves it
        (parts / one).mkdir(parents=True)
        lines = (folder / "records.jsonl").read_text().splitlines()
        kept = [line for line in lines if json.loads(line).get("candidate", one) == one]
        (parts / one / "records.jsonl").write_text("\n".join(kept) + "\n")
        (parts / one / "grader.log").touch()
        (parts / one / "end").write_text("0\n")
    (folder / "records.jsonl").unlink()
    interrupted.grade(resumed=True, selection=Selection())
    assert interrupted.graded == graded
    assert len(load(folder / "records.jsonl").records) == 3


def test_a_grader_that_stumbled_at_its_first_question_measured_nobody(tmp_path):
    part = tmp_path / "alice"
    part.mkdir()
    (part / "end").write_text("4\n")
    for line, measured in (
        ('{"lab": "reseau", "kind": "run"}', False),
        ('{"candidate": "alice", "kind": "bench"}', True),
    ):
        with (part / "records.jsonl").open("a") as stream:
            stream.write(line + "\n")
        assert ended(part) is measured


def test_whoever_is_measured_is_not_graded_again_by_an_oversight(interrupted):
    with pytest.raises(InputError, match=r"with 1 of 3 candidates measured; .* --resume takes it up, --anew"):
        interrupted.grade()
    assert len(interrupted.runs()) == 1
    interrupted.grade(anew=True)
    assert interrupted.graded == ["alice", "bob", "alice", "bob", "chloe"]
    assert resume.find(interrupted.session) is None, "the newest run is whole"
    with pytest.raises(InputError, match="was not interrupted"):
        interrupted.grade(resumed=True)


def test_reboots_that_had_begun_are_told(interrupted, capsys):
    (folder,) = interrupted.runs()
    snapshot = folder / PARTS / "bob" / "snapshots" / "bob.jsonl"
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    seen = {"check": "", "source": "hypervisor", "action": "reboot", "answer": ["rtr"], "seconds": 0.0}
    snapshot.write_text(f'{{"snapshot": 1}}\n{json.dumps(seen)}\n{{"check": "ha')
    assert resume.require(interrupted.session).rebooted == ("bob",)
    interrupted.grade(resumed=True)
    assert "bob: the interrupted grading had begun to reboot" in " ".join(capsys.readouterr().err.split())


def test_marks_of_two_versions_are_not_mixed(interrupted):
    (folder,) = interrupted.runs()
    path = folder / resume.NAME
    data = json.loads(path.read_text())
    data["versions"]["lab"] = "0.9"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="--resume: lab changed since it began"):
        interrupted.grade(resumed=True)
    path.write_text("[]")
    with pytest.raises(InputError, match="not what a run was asked"):
        interrupted.grade(resumed=True)


def test_a_candidate_who_left_the_session(interrupted):
    path = interrupted.folder / "session.yaml"
    path.write_text(SESSION.replace("  - {id: chloe, name: Chloé}\n", ""))
    with pytest.raises(InputError, match="chloe left the session"):
        interrupted.grade(resumed=True)


def test_graders_that_outlive_plateau_are_waited_for(interrupted):
    """The children inherit the lock: nobody grades beside them."""
    with exclusive(SessionFiles(interrupted.folder).lock, "grade") as lock:
        child = os.fork()
        if child == 0:
            os.read(os.pipe()[0], 1)
        os.close(os.dup(lock))
    try:
        with pytest.raises(EnvironmentLackError, match="is working on this session"):
            interrupted.grade(resumed=True)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_grader_that_does_not_measure_is_an_error(place, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no.such.plugin")
    with pytest.raises(PlateauError, match="alice: the grader did not measure"):
        place.grade()
    assert resume.require(place.session).left == ("alice", "bob", "chloe")


def test_a_grader_that_is_killed_takes_nobody_with_it(place, monkeypatch):
    (place.folder / "hang-bob").touch()

    def kill(grader, _progress):
        if grader.candidate == "bob" and "bob" in place.graded and (place.folder / "hang-bob").exists():
            grader.process.kill()
            (place.folder / "hang-bob").unlink()

    monkeypatch.setattr("labs.grade._show", kill)
    with pytest.raises(
        PlateauError, match=r"^bob: the grader did not measure: .*; 2 of 3 are measured: .*--without bob"
    ):
        place.grade()
    assert resume.require(place.session).left == ("bob",)
    place.grade(resumed=True, selection=Selection())
    assert place.graded == ["alice", "bob", "chloe", "bob"]


def test_each_bench_goes_back_to_the_bell_before_it_is_measured(place, monkeypatch):
    told = []

    @contextlib.contextmanager
    def bell(*_):
        def back(candidate):
            told.append((candidate, len(place.graded)))
            if candidate == "bob" and len(told) < 4:
                raise PlateauError("not back at the bell: no snapshot 'frozen'")

        yield back

    monkeypatch.setattr("labs.cli.grading._back_to_the_bell", bell)
    with pytest.raises(PlateauError, match=r"^bob: the grader did not measure: ERROR not back at the bell"):
        place.grade(selection=replace(CHECKS, frozen=True))
    assert told == [("alice", 0), ("bob", 1), ("chloe", 1)]
    place.grade(resumed=True, selection=Selection())
    assert told[3:] == [("bob", 2)], "what was asked then"


def test_who_cannot_be_measured_keeps_nobody_from_their_documents(interrupted):
    with pytest.raises(InputError, match="--without alice: is measured already; left to measure: bob, chloe"):
        interrupted.grade(resumed=True, selection=Selection(), without=["alice"])
    with pytest.raises(InputError, match="--without zoe: is not in it"):
        interrupted.grade(resumed=True, selection=Selection(), without=["zoe"])
    summary, paths = interrupted.grade(resumed=True, selection=Selection(), without=["bob"])
    assert [one["candidate"] for one in summary["candidates"]] == ["alice", "chloe"]
    assert paths["report.html"].is_file()
    assert interrupted.graded == ["alice", "bob", "chloe"], "bob was begun before, and is not begun again"


def test_what_cannot_be_measured_is_told_before_anybody_is(place, capsys):
    place.machines.unfinished = {"bob/ws"}
    with pytest.raises(InputError, match=r"^essai: bob/ws never came up whole; run plateau up first$"):
        place.grade()
    place.machines.unfinished = set()
    place.machines.power = {"bob/probe": Power.STOPPED, "chloe/ws": Power.STOPPED}
    with pytest.raises(InputError, match="bob/probe is stopped, and measures the others"):
        place.grade()
    place.machines.unfrozen = {"bob/ws", "bob/rtr"}
    with pytest.raises(InputError, match=r"bob/rtr, bob/ws: no state of the bell; plateau freeze \S+ -c bob takes it"):
        place.grade(selection=replace(CHECKS, frozen=True))
    place.machines.power = {"chloe/ws": Power.PAUSED}
    with pytest.raises(InputError, match="chloe/ws: halted by the host, whose disk is full, or by hand there"):
        place.grade()
    place.machines.power = {"chloe/ws": Power.STOPPED}
    place.grade()
    assert "chloe/ws: stopped, so that what is asked of it is not there" in capsys.readouterr().err
    assert place.graded == ["alice", "bob", "chloe"]


def test_candidates_who_were_not_graded_alike_are_not_joined(interrupted):
    (folder,) = interrupted.runs()
    records = folder / PARTS / "alice" / "records.jsonl"
    first, _, others = records.read_text().partition("\n")
    records.write_text(json.dumps({**json.loads(first), "lab_version": "0.1"}) + "\n" + others)
    with pytest.raises(PlateauError, match=r"lab_version changed while candidates were graded; .* --anew"):
        interrupted.grade(resumed=True, selection=Selection())
    assert not (folder / "records.jsonl").exists()


def test_a_run_killed_while_it_is_put_together_is_taken_up_again(interrupted, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("labs.grade._join", killed)
        with pytest.raises(KeyboardInterrupt):
            interrupted.grade(resumed=True, selection=Selection())
    graded = interrupted.graded
    (folder,) = interrupted.runs()
    interrupted.grade(resumed=True, selection=Selection())
    assert interrupted.graded == graded, "all were measured"
    assert len(load(folder / "records.jsonl").records) == 3
    assert not (folder / PARTS).exists()


def test_hosts_of_the_hypervisor_are_not_crowded(place):
    profile = ProxmoxProfile.model_construct(driver="proxmox", caps=Caps(gradings_per_node=2))
    session = place.session.__class__(**{**place.session.__dict__, "profile": profile})
    hosts = {"a": {"pve1"}, "b": {"pve1"}, "c": {"pve1", "pve2"}, "d": {"pve2"}}
    allowed = _per_host(session, hosts)

    def running(*names):
        return [_Grader(one, place.folder) for one in names]

    assert _next(["c", "d"], running("a", "b"), 8, allowed) == "d", "pve1 has its two"
    assert _next(["c"], running("a", "b"), 8, allowed) is None
    assert _next(["c"], running("a"), 8, allowed) == "c"
    assert _next(["d"], running("a"), 1, allowed) is None, "and this machine its own limit"
    assert _per_host(place.session, {})("a", ["b", "c"])
