"""What people mark: forms that grading never touches, spreadsheets that join them, overrides that stay visible."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from samples import session_of
from test_report_samples import bench, header, perfect, record, session, with_changes, write

from graders import referentials, report, rubric
from graders.plugin import plan
from graders.plugin.recording import run_header
from graders.records import Run, Verdict
from graders.report import aggregate
from graders.report.grid import grid
from graders.report.outcomes import Outcome
from graders.rubric import Override, RowMark, Rubric, forms, spreadsheet
from labs.errors import InputError
from labs.models.lab import Lab, load_lab
from labs.models.loader import load

TSSI = referentials.load("tssi-2013")
DAY = datetime.date(2026, 11, 21)


def form_of(folder: Path, *, every: bool = False) -> Path:
    path = folder / "c01.yaml"
    forms.write(path, aggregate.build(session()).candidates[0], "limoges-2026", TSSI, every)
    return path


def mark(path: Path, row: str, field: str, value: str) -> None:
    """Type a value into the form, as a person does."""
    text = path.read_text(encoding="utf-8")
    before, here, after = text.partition(f"  {row}:\n")
    assert here
    path.write_text(before + here + after.replace(f"    {field}:\n", f"    {field}: {value}\n", 1), encoding="utf-8")


def test_a_form_has_every_human_row_of_the_graded_competences(tmp_path: Path) -> None:
    found = load(form_of(tmp_path), Rubric)
    wanted = {r.id for name in ("CP03", "CP06", "CP07") for r in TSSI.sheets[name] if r.human} | {"T1", "T2", "T3"}
    assert set(found.rows) == wanted
    assert found.rows["CP06-O1"].observed == ["CP06-O1.a (live) à évaluer : Journal remis ; à lire par un évaluateur."]
    assert all(one.level is None for one in found.rows.values())
    assert len(load(form_of(tmp_path, every=True), Rubric).rows) == 55 + 21


def test_writing_again_keeps_what_was_typed_and_its_comments(tmp_path: Path) -> None:
    path = form_of(tmp_path)
    mark(path, "CP06-O1", "level", "3  # revu à deux")
    mark(path, "CP06-O1", "comment", "Clair.")
    form_of(tmp_path)
    assert "level: 3  # revu à deux" in path.read_text(encoding="utf-8")
    assert load(path, Rubric).rows["CP06-O1"].comment == "Clair."
    once = path.read_bytes()
    form_of(tmp_path)
    assert path.read_bytes() == once
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("level", "5", r"c01\.yaml:\d+: rows\.CP06-O1\.level: "), ("date", "hier", r"c01\.yaml:\d+: rows\.CP06-O1\.date")],
)
def test_a_wrong_mark_is_told_with_its_line(tmp_path: Path, field: str, value: str, told: str) -> None:
    path = form_of(tmp_path)
    mark(path, "CP06-O1", field, value)
    with pytest.raises(InputError, match=told):
        rubric.load_all(tmp_path, ["c01"])


def test_the_spreadsheet_joins_the_form_and_never_replaces_it(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path, grid_path = form_of(tmp_path), tmp_path / "c01.xlsx"
    spreadsheet.write(grid_path, load(path, Rubric))
    once = grid_path.read_bytes()
    spreadsheet.write(grid_path, load(path, Rubric))
    assert grid_path.read_bytes() == once
    book = load_workbook(grid_path)
    sheet = book[spreadsheet.ROWS]
    line = next(row[0].row for row in sheet.iter_rows() if row[0].value == "CP06-O1")
    sheet.cell(line, 5).value = 2
    sheet.cell(line, 8).value = datetime.datetime(2026, 11, 21)
    book.save(grid_path)
    assert spreadsheet.read_into(grid_path, path) == 2
    found = load(path, Rubric).rows["CP06-O1"]
    assert (found.level, found.date) == (2, DAY)
    assert spreadsheet.read_into(grid_path, path) == 0
    sheet.cell(line, 5).value = 4
    book.save(grid_path)
    with pytest.raises(InputError, match=rf"c01\.xlsx: Grille!E{line}: says '4', the form says '2'"):
        spreadsheet.read_into(grid_path, path)
    sheet.cell(line, 5).value = 2
    sheet.cell(2, 5).value = 9
    book.save(grid_path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"c01\.xlsx: Grille!E2: level: .* \(found 9\)"):
        spreadsheet.read_into(grid_path, path)
    assert path.read_bytes() == before


def test_a_comment_that_a_cell_holds_otherwise_is_the_same_one(tmp_path: Path) -> None:
    path, grid_path = form_of(tmp_path), tmp_path / "c01.xlsx"
    mark(path, "CP06-O1", "comment", "|\n      Clair.\n      Complet.")
    mark(path, "T2", "comment", '"' + "long " * 600 + '"')
    spreadsheet.write(grid_path, load(path, Rubric))
    assert spreadsheet.read_into(grid_path, path) == 0
    assert load(path, Rubric).rows["CP06-O1"].comment == "Clair.\nComplet.\n"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("session", "limoges-2025", r"c01\.yaml: session: the form is of 'limoges-2025', the run of 'limoges-2026'"),
        ("referential", "tai-2008", r"c01\.yaml: referential: is tai-2008, the run's is tssi-2013"),
    ],
)
def test_marks_of_another_session_are_nobody_s_here(tmp_path: Path, field: str, value: str, told: str) -> None:
    good = {"candidate": "c01", "session": "limoges-2026", "referential": "tssi-2013"}
    rubric.refuse_strangers(tmp_path, {"c01": Rubric.model_validate(good)}, session(), TSSI.rows)
    with pytest.raises(InputError, match=told):
        rubric.refuse_strangers(tmp_path, {"c01": Rubric.model_validate({**good, field: value})}, session(), TSSI.rows)


def test_an_override_of_what_was_not_measured_then_is_told(tmp_path: Path) -> None:
    said = {"check": "CP06-S1.a", "verdict": "passed", "reason": "Vu autrement.", "evaluator": "JR", "date": DAY}
    form = {"candidate": "c02", "session": "limoges-2026", "referential": "tssi-2013"}
    rubric.refuse_strangers(
        tmp_path, {"c02": Rubric.model_validate({**form, "overrides": [said]})}, session(), TSSI.rows
    )
    late = Rubric.model_validate({**form, "overrides": [{**said, "phase": "reboot"}]})
    run = session()
    restarted = replace(run, records=[*run.records, record("c02", "CP07-S4.a", phase="reboot")])
    with pytest.raises(InputError, match=r"CP06-S1\.a: phase: reboot: it was measured before the restart"):
        rubric.refuse_strangers(tmp_path, {"c02": late}, restarted, TSSI.rows)
    live = replace(run, records=[one for one in run.records if one.phase == "live"])
    rubric.refuse_strangers(tmp_path, {"c02": late}, live, TSSI.rows)  # --no-reboot: of what was decided before


def test_a_date_typed_as_a_text_is_one(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path, grid_path = form_of(tmp_path), tmp_path / "c01.xlsx"
    spreadsheet.write(grid_path, load(path, Rubric))
    book = load_workbook(grid_path)
    sheet = book[spreadsheet.ROWS]
    sheet.cell(2, 8).value = " 21/11/2026"
    book.save(grid_path)
    assert spreadsheet.read_into(grid_path, path) == 1
    assert load(path, Rubric).rows[sheet.cell(2, 1).value].date == DAY
    sheet.cell(3, 8).value = "31/02/2026"
    book.save(grid_path)
    with pytest.raises(InputError, match=r"c01\.xlsx: Grille!H3: date: .* \(found '31/02/2026'\)"):
        spreadsheet.read_into(grid_path, path)


def test_a_spreadsheet_that_was_damaged_is_told(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path, grid_path = form_of(tmp_path), tmp_path / "c01.xlsx"
    spreadsheet.write(grid_path, load(path, Rubric))
    whole = grid_path.read_bytes()
    grid_path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"c01\.xlsx: not a spreadsheet that can be read"):
        spreadsheet.read_into(grid_path, path)
    grid_path.write_bytes(whole)
    book = load_workbook(grid_path)
    book[spreadsheet.ROWS].delete_cols(7)
    book.save(grid_path)
    with pytest.raises(InputError, match=r"c01\.xlsx: Grille!1: no column 'Évaluateur' in its place"):
        spreadsheet.read_into(grid_path, path)
    grid_path.write_bytes(whole)
    book = load_workbook(grid_path)
    book[spreadsheet.COMPETENCES].cell(2, 3).value = " Oui"
    book.save(grid_path)
    assert spreadsheet.read_into(grid_path, path) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"c01\.yaml: not a form of marks"),
        ("bonjour\n", r"c01\.yaml: not a form of marks"),
        ("candidate: c01\nrows:\n", r"c01\.yaml:2: rows: must hold one entry a line"),
        ("rows: [a]\n", r"c01\.yaml:1: rows: must hold one entry a line"),
        ("rows:\n  CP06-O1: 3\n", r"c01\.yaml:2: rows\.CP06-O1: must hold its fields"),
    ],
)
def test_a_form_that_is_none_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "c01.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        form_of(tmp_path)


def rubric_of(**fields: object) -> Rubric:
    return Rubric.model_validate({"candidate": "c01", "session": "limoges-2026", "referential": "tssi-2013", **fields})


def build(records: list, marks: Rubric | None) -> aggregate.CandidateResult:
    run = Run(header(), [bench("c01", "Marie")], records)
    return aggregate.build(run, {"c01": marks} if marks else None).candidates[0]


def test_an_override_counts_and_the_machine_s_verdict_stays() -> None:
    said = Override(
        check="CP06-S1.a", verdict=Verdict.PASSED, reason="Vu à l'écran par deux personnes.", evaluator="JR", date=DAY
    )
    failed = with_changes("c01", CP06_S1_a=record("c01", "CP06-S1.a", Verdict.FAILED))
    found = build(failed, rubric_of(overrides=[said.model_dump()]))
    assert found.tally.points == 20
    assert found.original["CP06-S1.a", "live"].verdict is Verdict.FAILED
    assert found.overrides["CP06-S1.a", "live"] == said
    assert build(failed, None).tally.points == 17
    cp06 = next(c for a in grid(found, TSSI, "fr") for c in a.competences if c.id == "CP06")
    (row,) = [one for one in cp06.rows if one.row.id == "CP06-S1"]
    assert row.machine is not None
    assert (row.machine.outcome, row.result, cp06.overridden) == (Outcome.PARTIAL, Outcome.MET, 1)
    assert cp06.machine is Outcome.PARTIAL  # what the machine saw is told as it was


@pytest.mark.parametrize("missing", ["reason", "evaluator", "date"])
def test_an_override_needs_a_reason_a_person_and_a_day(tmp_path: Path, missing: str) -> None:
    values = {"check": "CP06-S1.a", "verdict": "passed", "reason": "Vu à l'écran.", "evaluator": "JR", "date": DAY}
    values.pop(missing)
    path = tmp_path / "c01.yaml"
    forms.save(path, {"candidate": "c01", "session": "limoges-2026", "referential": "x", "overrides": [values]})
    with pytest.raises(InputError, match=rf"overrides\.0\.{missing}: missing"):
        rubric.load_all(tmp_path, ["c01"])


def test_a_signed_level_settles_the_check_that_waits_for_a_person() -> None:
    waiting = with_changes("c01", CP06_O1_a=record("c01", "CP06-O1.a", Verdict.MANUAL))
    for level, verdict in ((1, Verdict.FAILED), (2, Verdict.FAILED), (3, Verdict.PASSED), (4, Verdict.PASSED)):
        signed = rubric_of(evaluator="JR", date=DAY, rows={"CP06-O1": {"level": level}})
        found = build(waiting, signed)
        assert found.tally.complete
        assert found.overrides["CP06-O1.a", "live"].verdict is verdict
    assert not build(waiting, rubric_of(rows={"CP06-O1": {"level": 4}})).tally.complete  # nobody signed


def test_the_machine_never_marks_a_human_row() -> None:
    def row(marks: Rubric | None) -> Outcome:
        rows = {
            r.row.id: r for a in grid(build(perfect("c01"), marks), TSSI, "fr") for c in a.competences for r in c.rows
        }
        assert rows["CP06-O1"].machine is not None
        assert rows["CP06-O1"].machine.outcome is Outcome.MET
        return rows["CP06-O1"].result

    assert row(None) is Outcome.NOT_ASSESSABLE
    outcomes = [row(rubric_of(rows={"CP06-O1": {"level": level}})) for level in rubric.LEVELS]
    assert outcomes == [Outcome.NOT_MET, Outcome.PARTIAL, Outcome.MET, Outcome.MET]


def test_the_grid_shows_the_whole_title_and_averages_nothing() -> None:
    marks = rubric_of(rows={"CP06-O1": {"level": 4}, "CP06-C1": {"level": 1}, "T2": {"level": 3}})
    competences = [c for a in grid(build(perfect("c01"), marks), TSSI, "fr") for c in a.competences]
    assert len(competences) == 20
    cp06 = next(c for c in competences if c.id == "CP06")
    assert (cp06.machine, cp06.levels, cp06.result) == (Outcome.MET, {1: 1, 4: 1}, Outcome.PARTIAL)
    assert next(c for c in competences if c.id == "CP14").machine is None
    assert next(c for c in competences if c.id == "T2").result is Outcome.MET


def test_marks_are_found_beside_the_results_and_join_every_document(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "r1"
    folder.mkdir(parents=True)
    write(session(), folder)
    plain = report.write_all(folder)["junit.xml"].read_bytes()
    said = {"check": "CP07-S4.b", "verdict": "passed", "reason": "Journal central vu.", "evaluator": "JR", "date": DAY}
    rows = {"CP06-O1": {"level": 3, "comment": "Très clair !"}}
    marks = rubric_of(evaluator="JR", date=DAY, overrides=[said], rows=rows)
    forms.save(tmp_path / "marks" / "c01.yaml", marks.model_dump(mode="python", by_alias=True) | {"overrides": [said]})
    paths = report.write_all(folder)
    assert paths["junit.xml"].read_bytes() != plain
    page = paths["report.html"].read_text(encoding="utf-8").replace("\u00a0", " ").replace("\u202f", " ")
    assert "Décision humaine : acquis au lieu de « non acquis » (machine). Motif : Journal central vu." in page
    assert "Très clair !" in page
    assert "override_reason" in paths["junit.xml"].read_text(encoding="utf-8")
    # A copy in the run's own folder wins: it is what a dossier holds.
    (folder / "marks").mkdir()
    assert report.read(folder).rubrics == {}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("rows", {"CP06-O9": {"level": 3}}, r"c01\.yaml: rows\.CP06-O9: the referential tssi-2013 has no such row"),
        ("candidate", "c02", r"c01\.yaml: candidate: is 'c02', but the file is that of 'c01'"),
        (
            "overrides",
            [{"check": "CP06-S1.z", "verdict": "passed", "reason": "Vu à l'écran.", "evaluator": "JR", "date": DAY}],
            r"c01\.yaml: overrides: CP06-S1\.z is not in the lab's sheet",
        ),
    ],
)
def test_a_slip_of_the_pen_is_told(tmp_path: Path, field: str, value: object, told: str) -> None:
    write(session(), tmp_path)
    form = {"candidate": "c01", "session": "limoges-2026", "referential": "tssi-2013"} | {field: value}
    forms.save(tmp_path / "marks" / "c01.yaml", form)
    with pytest.raises(InputError, match=told):
        report.write_all(tmp_path)


def test_row_marks_refuse_unknown_keys() -> None:
    with pytest.raises(ValueError, match="note"):
        RowMark.model_validate({"note": 12})


def test_coefficients_of_tasks_and_rows_multiply_the_points() -> None:
    data = load_lab("reseau").model_dump(mode="json")
    task = data["tasks"][0]
    check, points = next(iter(task["checks"].items()))
    row = check.rpartition(".")[0]
    data["bareme"]["coefficients"] = {row: 1.5}
    task["coefficient"] = 2
    lab = Lab.model_validate(data)
    assert lab.worth(lab.tasks[0])[check] == points * 3
    assert plan.sheet(lab)[check] == (task["id"], points * 3)
    plain = load_lab("reseau")
    for before, after in zip(plain.tasks[1:], lab.tasks[1:], strict=True):
        for one, worth in lab.worth(after).items():
            assert worth == before.checks[one] * (1.5 if one.startswith(f"{row}.") else 1)
    assert lab.points == round(sum(lab.task_points(one) for one in lab.tasks), 4) > plain.points
    head = run_header(replace(session_of("c01"), lab=lab), "r1", "qemu")
    assert (head.tasks[0]["checks"][check], head.tasks[0]["points"]) == (points * 3, lab.task_points(lab.tasks[0]))
    assert head.bareme["coefficients"] == {row: 1.5}


@pytest.mark.parametrize(
    ("coefficients", "told"),
    [({"CP17-S1": 2}, "CP17-S1: not graded under tasks"), ({"CP06-S1": 0}, "greater than 0")],
)
def test_a_coefficient_of_nothing_is_refused(coefficients: dict[str, float], told: str) -> None:
    data = load_lab("reseau").model_dump(mode="json")
    data["bareme"]["coefficients"] = coefficients
    with pytest.raises(ValueError, match=told):
        Lab.model_validate(data)


def test_thresholds_eliminatory_checks_and_persistence() -> None:
    half = with_changes("c01", CP06_S2_b=record("c01", "CP06-S2.b", Verdict.FAILED))

    def outcomes(bareme: dict[str, object], records: list) -> tuple[Outcome, Outcome]:
        run = Run(replace(header(), bareme=bareme), [bench("c01", "Marie")], records)
        (found,) = aggregate.build(run).candidates
        cp06 = next(c for c in found.competences if c.id == "CP06")
        return next(r.outcome for r in cp06.rows if r.id == "CP06-S2"), cp06.outcome

    assert outcomes({}, half) == (Outcome.PARTIAL, Outcome.PARTIAL)
    assert outcomes({"threshold": 0.5}, half) == (Outcome.MET, Outcome.MET)
    assert outcomes({"threshold": 0.5, "rows": {"CP06-S2": 0.6}}, half) == (Outcome.PARTIAL, Outcome.PARTIAL)
    assert outcomes({"threshold": 0.5, "eliminatory": ["CP06-S2.b"]}, half) == (Outcome.NOT_MET, Outcome.NOT_MET)
    unsure = with_changes("c01", CP06_S2_b=record("c01", "CP06-S2.b", Verdict.ERROR))
    assert outcomes({"eliminatory": ["CP06-S2.b"]}, unsure) == (Outcome.NOT_ASSESSABLE, Outcome.NOT_ASSESSABLE)
    assert outcomes({"threshold": 0.5}, unsure) == (Outcome.MET, Outcome.MET)
    lost = [*perfect("c01"), record("c01", "CP06-S1.a", Verdict.FAILED, phase="reboot")]
    run = Run(replace(header(), bareme={"persistence": 0.2}), [bench("c01", "Marie")], lost)
    assert aggregate.build(run).candidates[0].tally.points == pytest.approx(20 - 0.2 * 3)
