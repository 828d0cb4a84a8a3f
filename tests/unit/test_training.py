"""Training versions: a lab cut down to some of its tasks, told plainly, graded alone, and never a result of a title."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError
from samples import SESSION, write_session
from test_report_samples import bench as bench_header
from test_report_samples import header, record
from test_subject import Room

from graders import report
from graders.dossier import DossierError, collect
from graders.records import Verdict, dump
from labs import accesssheet, labcheck, subject
from labs.bench import Bench, compute_bench
from labs.errors import InputError
from labs.hypervisors.base import Hypervisor
from labs.models.bareme import Bareme
from labs.models.faults import find_fault, load_faults
from labs.models.faults import narrowed as narrowed_faults
from labs.models.lab import Lab, Training, lab_names, load_lab
from labs.models.mutants import load_mutants
from labs.models.mutants import narrowed as narrowed_mutants
from labs.models.session import Session, load_session
from labs.models.training import cut_down, training_of
from labs.paths import CATALOGUE
from tests.unit.plugin_folder import World

PLAIN = str.maketrans({"\u202f": " ", "\u00a0": " ", "’": "'"})
"""French typography, undone."""
VERSIONS = [(name, training.id) for name in lab_names() for training in load_lab(name).trainings]


def session_of(folder: Path, training: str | None, lab: str = "reseau", more: str = "") -> Session:
    text = SESSION.replace("lab: reseau\n", f"lab: {lab}\n" + (f"training: {training}\n" if training else ""))
    return load_session(str(write_session(folder, text + more)))


def bench_of(folder: Path, training: str | None, lab: str = "reseau") -> Bench:
    session = session_of(folder, training, lab)
    return compute_bench(session, session.candidates[0])


def lab_with(**training: object) -> Lab:
    whole = load_lab("reseau").model_dump()
    one = {"id": "court", "title": {"fr": "Court", "en": "Short"}, "duration_minutes": 30, **training}
    return Lab.model_validate({**whole, "trainings": [one]})


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"tasks": ["vpn"]}, "training court: tasks: no task 'vpn'; the lab has adressage, dhcp"),
        ({"tasks": ["nat"], "given": ["CP06-S5.a"]}, "training court: given: CP06-S5.a: no check of its tasks"),
        (
            {"tasks": ["nat", "poste"], "given": ["CP03-S5.a", "CP03-S5.b"]},
            "training court: task poste has no check left; take it out of tasks",
        ),
        ({"tasks": []}, "at least 1 item"),
    ],
)
def test_a_version_that_cannot_be(training: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        lab_with(**training)


def test_points_are_those_of_the_sheet() -> None:
    whole = load_lab("reseau")
    left = cut_down(whole, training_of(whole, "cp03"))
    assert [task.id for task in left.tasks] == ["adressage", "poste", "service"]
    assert [list(task.checks) for task in left.tasks] == [
        ["CP03-S2.a", "CP03-S2.b", "CP03-C2.a"],
        ["CP03-S5.a", "CP03-S5.b"],
        ["CP03-C1.a"],
    ]
    worth = {check: points for task in whole.tasks for check, points in whole.worth(task).items()}
    assert all(points == worth[check] for task in left.tasks for check, points in left.worth(task).items())
    assert left.points == 20
    assert left.duration_minutes == 45
    assert (left.name, left.values, left.nodes, left.solution) == (
        whole.name,
        whole.values,
        whole.nodes,
        whole.solution,
    )


def test_the_bareme_follows() -> None:
    bareme = Bareme(
        threshold=0.8,
        rows={"CP07-S1": 0.5, "CP06-S1": 0.5},
        coefficients={"CP06-S1": 2, "CP07-S4": 3},
        eliminatory=("CP07-S4.a", "CP06-S2.a"),
        hidden=("CP06-S2.b", "CP07-S2.b"),
        mark=True,
    )
    lab = Lab.model_validate({**load_lab("reseau").model_dump(), "bareme": bareme.model_dump()})
    left = cut_down(lab, training_of(lab, "cp07"))
    assert left.bareme == Bareme(
        threshold=0.8,
        rows={"CP07-S1": 0.5},
        coefficients={"CP07-S4": 3},
        eliminatory=("CP07-S4.a",),
        hidden=("CP07-S2.b",),
        mark=True,
    )
    assert left.points == 12 + 8 + 3 * 10


def test_each_version_of_the_network_labs_is_of_one_competence() -> None:
    assert VERSIONS == [
        ("interco", "cp06"),
        ("interco", "cp07"),
        ("reseau", "cp03"),
        ("reseau", "cp06"),
        ("reseau", "cp07"),
    ]
    for name, version in VERSIONS:
        whole = load_lab(name)
        left = cut_down(whole, training_of(whole, version))
        assert {check.partition("-")[0].lower() for task in left.tasks for check in task.checks} == {version}
        assert left.duration_minutes < whole.duration_minutes
    checks = [
        check
        for name, version in VERSIONS
        for task in cut_down(load_lab(name), training_of(load_lab(name), version)).tasks
        for check in task.checks
    ]
    sheets = [check for name in ("interco", "reseau") for task in load_lab(name).tasks for check in task.checks]
    assert sorted(checks) == sorted(sheets)


def test_a_session_names_its_version(tmp_path: Path) -> None:
    session = session_of(tmp_path, "cp07")
    assert session.training is not None
    assert (session.training.id, session.preparation) == ("cp07", "preparations/reseau-cp07.yml")
    assert [task.id for task in session.lab.tasks] == ["nat", "parefeu"]
    whole = session_of(tmp_path, None)
    assert (whole.training, whole.preparation) == (None, None)
    assert session_of(tmp_path, "cp06", "interco").preparation is None


def test_a_whole_lab_may_be_prepared_too(tmp_path: Path) -> None:
    whole = session_of(tmp_path, None, "continuite")
    assert (whole.training, whole.preparation) == (None, "preparations/continuite.yml")
    version = Training(id="short", title={}, duration_minutes=30, tasks=["second"])
    for own, used in ((None, "preparations/continuite.yml"), ("preparations/autre.yml", "preparations/autre.yml")):
        lab = whole.lab.model_copy(update={"trainings": [version.model_copy(update={"preparation": own})]})
        file = whole.file.model_copy(update={"training": "short"})
        assert dataclasses.replace(whole, lab=lab, file=file).preparation == used


def test_values_and_machines_are_the_same(tmp_path: Path) -> None:
    whole, short = bench_of(tmp_path, None), bench_of(tmp_path, "cp07")
    assert short.values == whole.values
    assert short.password == whole.password
    assert [node.spec for node in short.nodes] == [node.spec for node in whole.nodes]


@pytest.mark.parametrize(
    ("training", "lab", "more", "told"),
    [
        ("cp09", "reseau", "", ":4: training: lab reseau has no training version 'cp09'; it has cp03, cp06, cp07"),
        ("cp09", "annuaire", "", ":4: training: lab annuaire has no training version 'cp09', nor any other"),
        (
            "cp07",
            "reseau",
            "mode: exam\n",
            ":4: training: an exam is the whole lab; take this line out, or change mode to training (found 'cp07')",
        ),
    ],
)
def test_a_session_that_cannot_be(tmp_path: Path, training: str, lab: str, more: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        session_of(tmp_path, training, lab, more)
    assert str(caught.value) == f"{tmp_path / 'session.yaml'}{told}"


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize(("lab", "version"), VERSIONS)
def test_the_subject_has_its_parts_only(tmp_path: Path, lab: str, version: str, language: subject.Language) -> None:
    bench = bench_of(tmp_path, version, lab)
    text = subject.markdown(bench, language).translate(PLAIN)
    tasks = bench.session.lab.tasks
    headings = re.findall(r"^### 4\.(\d+) (.+?) \((\S+) points\)$", text, re.MULTILINE)
    assert [(int(number), float(points)) for number, _, points in headings] == [
        (number, bench.session.lab.task_points(task)) for number, task in enumerate(tasks, 1)
    ]
    assert re.findall(r"\*\*Total\*\* \| \*\*(\d+)\*\*", text) == [f"{bench.session.lab.points:g}"]
    assert bench.session.training is not None
    assert f"**{bench.session.training.title[language]}**" in text
    placed = {"fr": "**Déjà en place**", "en": "**Already in place**"}[language]
    assert (placed in text) == (bench.session.preparation is not None)
    # References lead to parts that are there.
    assert {int(number) for number in re.findall(r"\(4\.(\d+)\)", text)} <= set(range(1, len(tasks) + 1))


def test_the_access_sheet_says_which_version(tmp_path: Path) -> None:
    room = cast(Hypervisor, Room())
    text = accesssheet.markdown(bench_of(tmp_path, "cp07"), room).translate(PLAIN)
    assert "**Version d'entraînement : Relier l'agence à Internet et la protéger** (1 h 15, 30 points)." in text
    assert "À faire" in text
    assert "entraînement" not in accesssheet.markdown(bench_of(tmp_path, None), room)


CHECKS = '''
    @check("CP06-S5.a")
    def check_routing(expect):
        """Le routeur route."""
        expect.equal("route", 1, 2)

    @check("CP07-S1.a", causes=("CP06-S5.a",))
    def check_matrix(expect):
        """Les flux passent."""
        expect.equal("flux", 1, 2)

    @check("CP07-S2.a", needs=("CP06-S5.a",))
    def check_nat(expect):
        """La traduction se fait."""
        expect.equal("source", 1, 1)
'''


def test_what_the_version_leaves_out_blocks_nothing(tmp_path: Path) -> None:
    """A prerequisite outside the version is not measured: what comes after it is judged on its own."""
    world = World(tmp_path)
    world.checks(CHECKS)
    path = tmp_path / "session.yaml"
    whole = path.read_text()
    world.grade("--candidate", "alice", "--no-reboot")
    verdicts = {check: one.verdict for (_, check), one in world.records().items()}
    assert verdicts == {"CP06-S5.a": "failed", "CP07-S1.a": "blocked", "CP07-S2.a": "blocked"}
    shutil.rmtree(world.run)
    path.write_text(f"{whole}training: cp07\n")
    world.grade("--candidate", "alice", "--no-reboot")
    found = {check: one for (_, check), one in world.records().items()}
    assert {check: one.verdict for check, one in found.items()} == {"CP07-S1.a": "failed", "CP07-S2.a": "passed"}
    assert found["CP07-S2.a"].points == 8
    run = report.read(world.run)
    assert run.run.header.training == {"id": "cp07", "title": dict(load_lab("reseau").trainings[2].title)}
    assert [task["id"] for task in run.run.header.tasks] == ["nat", "parefeu"]
    (one,) = run.result.candidates
    assert (one.tally.points, one.tally.max_points) == (8, 30)
    assert all(not group.cause.startswith("CP06") for group in one.blocked)


def test_mutants_and_faults_of_a_version() -> None:
    whole = load_lab("reseau")
    left = cut_down(whole, training_of(whole, "cp07"))
    graded = {check for task in left.tasks for check in task.checks}
    before = {one.id: one for one in load_mutants(whole)}
    mutants = narrowed_mutants(list(before.values()), left)
    assert {one.id for one in mutants} == {one.id for one in before.values() if graded.intersection(one.kills)}
    assert all(one.kills == [check for check in before[one.id].kills if check in graded] for one in mutants)
    assert {check for one in mutants for check in one.kills} == graded
    faults = narrowed_faults(load_faults(whole), left)
    assert faults
    assert len(faults) < len(load_faults(whole))
    assert all(set(one.green) <= graded for one in faults)
    assert find_fault(left, faults[0].id).green == faults[0].green
    lost = next(one.id for one in load_faults(whole) if one.id not in {fault.id for fault in faults})
    with pytest.raises(InputError, match=f"no fault '{lost}'; known: {faults[0].id}"):
        find_fault(left, lost)


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], str]], str]:
    """Change the lab's lab.yaml, and say what `plateau lab check` finds."""
    shutil.copytree(CATALOGUE, tmp_path / "catalogue")

    def complaint(change: Callable[[str], str]) -> str:
        file = tmp_path / "catalogue" / "reseau" / "lab.yaml"
        text = file.read_text()
        file.write_text(change(text))
        assert file.read_text() != text
        with pytest.raises(InputError) as caught:
            labcheck.check_lab(file)
        return str(caught.value)

    return complaint


def test_lab_check_wants_what_the_checks_need(author: Callable[[Callable[[str], str]], str]) -> None:
    told = author(
        lambda text: text.replace("    tasks: [nat, parefeu]\n", "    tasks: [nat, parefeu]\n    given: [CP07-S2.a]\n")
    )
    assert "trainings.2.tasks: CP07-S2.b needs CP07-S2.a, which the version leaves out" in told
    assert "CP07-S2.c needs CP07-S2.a" in told
    assert "CP06-S5.a" not in told


def test_lab_check_wants_the_playbook_and_the_words(author: Callable[[Callable[[str], str]], str]) -> None:
    def change(text: str) -> str:
        return (
            text.replace("reseau-cp07.yml", "reseau-cp70.yml")
            .replace(', en: "Connect the branch to the Int', ', en: "", fr2: "')
            .replace(', fr2: "ernet and protect it"', "")
        )

    told = author(change)
    assert "trainings.2.preparation: no such playbook under playbooks/ (found 'preparations/reseau-cp70.yml')" in told
    assert "trainings.2.title: en: missing; add this text" in told


def test_lab_check_reads_every_subject(tmp_path: Path, author: Callable[[Callable[[str], str]], str]) -> None:
    path = tmp_path / "catalogue" / "reseau" / "subject.en.md.j2"
    path.write_text(path.read_text().replace('{% if "dhcp" in number -%}\n', "", 1).replace("{% endif -%}\n", "", 1))
    assert "subject.en.md.j2" in author(lambda text: text.replace("duration_minutes: 75", "duration_minutes: 70"))


def written(folder: Path, training: dict[str, Any]) -> Path:
    """A run's folder with one candidate's records."""
    tasks = [{"id": "nat", "title": {"fr": "NAT"}, "points": 8.0, "checks": {"CP07-S2.a": 8.0}}]
    one = dataclasses.replace(header(tasks), mode="training", training=training)
    seen = record("anne", "CP07-S2.a", Verdict.PASSED, task="nat", points=8.0, max_points=8.0)
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text("".join(f"{dump(x)}\n" for x in (one, bench_header("anne", "Anne"), seen)))
    return folder


@pytest.mark.parametrize(("language", "told"), [("fr", "pas un résultat du titre"), ("en", "no result of the title")])
def test_documents_say_that_it_is_no_result(tmp_path: Path, language: str, told: str) -> None:
    training = {"id": "cp07", "title": {"fr": "Relier et protéger", "en": "Connect and protect"}}
    short, whole = written(tmp_path / "short", training), written(tmp_path / "whole", {})
    for folder, expected in ((short, True), (whole, False)):
        paths = report.write_all(folder, language)
        for page in ("report.html", "html/anne.html"):
            text = " ".join(paths[page].read_text().translate(PLAIN).split())
            assert (told in text) is expected, page
            assert ("(cp07)" in text) is expected, page
            assert ('class="jury"' in text) is not expected
            assert (("en version d" if language == "fr" else "in a training version") in text) is expected
        assert ("jury.xlsx" in paths) is not expected
        assert ("version_entrainement" in paths["marks.csv"].read_text()) is expected
        assert ('"training": "cp07"' in paths["gradescope/anne.json"].read_text()) is expected
        assert ('name="training"' in paths["junit.xml"].read_text()) is expected
        assert set(report.write_pdfs(folder, language)) == {"pdf/anne.pdf", "pdf/anne-retour.pdf"}


def test_no_certificate_and_no_seal(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", {"id": "cp07", "title": {"fr": "Court", "en": "Short"}})
    with pytest.raises(ValueError, match="training version is no result of a title: no document of CCP2"):
        report.write_pdfs(folder, "fr", ccp="CCP2")
    with pytest.raises(DossierError, match="training version is no result of a title"):
        collect.gather(folder, tmp_path, "anne", report.read(folder))
