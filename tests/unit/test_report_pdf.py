"""The PDF documents: complete, tagged, the same bytes each time, harmless; and the files for other platforms."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import unicodedata
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from test_report_samples import bench, header, hostile, perfect, record, session, write

from graders import referentials, report
from graders.records import BenchHeader, Comparison, Evidence, Run, Verdict
from graders.report import aggregate, checkdata, document, facts, glyphs, pdf, platforms
from graders.report.writer import writer
from graders.rubric import Rubric

TSSI = referentials.load("tssi-2013")


def words(data: object) -> str:
    """Every text of a document's data."""
    if isinstance(data, dict):
        return "\n".join(map(words, data.values()))
    return "\n".join(map(words, data)) if isinstance(data, list) else str(data)


def data_of(run: Run, number: int = 0, ccp: str | None = None) -> dict:
    result = aggregate.build(run)
    return document.document(writer(result, TSSI, "fr"), result.candidates[number], ccp)


def streams(content: bytes) -> list[bytes]:
    """The decompressed streams of a PDF."""
    found = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            found.append(zlib.decompress(match.group(1)))
        except zlib.error:
            found.append(match.group(1))
    return found


def test_a_pdf_a_candidate_the_same_each_time_with_the_records_inside(tmp_path: Path) -> None:
    source = write(session(), tmp_path)
    paths = report.write_pdfs(tmp_path)
    assert set(paths) == {f"pdf/{name}{end}.pdf" for name in ("c01", "c02", "c03") for end in ("", "-retour")}
    before = {name: path.read_bytes() for name, path in paths.items()}
    report.write_pdfs(tmp_path)
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    made = before["pdf/c01.pdf"]
    assert b"pdfaid:part>3<" in made.replace(b" ", b"") or b'pdfaid:part="3"' in made
    assert b"pdfuaid:part" in made
    assert b"/StructTreeRoot" in made or any(b"/StructTreeRoot" in one for one in streams(made))
    lines = source.read_text(encoding="utf-8").splitlines()
    mine = [line for line in lines if '"kind": "run"' in line or '"candidate": "c01"' in line]
    attached = "".join(f"{line}\n" for line in mine).encode()
    assert attached in streams(made)


def test_the_first_page_names_all_competences_and_the_rest_only_what_was_seen() -> None:
    data = data_of(session())
    assert [len(one["rows"]) for one in data["activities"]] == [5, 6, 6, 3]
    assert [c["id"] for one in data["sections"] for c in one["competences"]] == ["CP03", "CP06", "CP07"]
    told = words(data).replace("\u00a0", " ")
    assert "Technicien(ne) supérieur(e) de support en informatique (TP-00485), REAC version 08 du 19/03/2013" in told
    assert "Après redémarrage, le port 22 est ouvert depuis le WAN" in told
    assert not re.search(r" [:;?»]", words(data))


def test_another_title_s_documents_cite_it_and_lay_its_rows_out(tmp_path: Path) -> None:
    run = session()
    run = Run(replace(run.header, referential="tai-2008"), run.benches, run.records)
    result = aggregate.build(run)
    data = document.document(writer(result, referentials.load("tai-2008"), "fr"), result.candidates[0])
    assert [len(one["rows"]) for one in data["activities"]] == [6, 5, 8]
    assert "accessible à compter du 01/08/2008" in words(data["facts"])
    shown = [c["id"] for one in data["sections"] for c in one["competences"]]
    assert {"1.2", "3.1", "3.3", "3.5", "3.7"} <= set(shown)
    write(run, tmp_path)
    assert "accessible à compter du 01/08/2008" in report.write_all(tmp_path)["report.html"].read_text(encoding="utf-8")
    assert report.write_pdfs(tmp_path, candidates=["c01"])


def test_one_certificate_alone(tmp_path: Path) -> None:
    data = data_of(session(), ccp="CCP2")
    assert [one["id"] for one in data["activities"]] == ["CCP2"]
    assert [c["id"] for one in data["sections"] for c in one["competences"]] == ["CP06", "CP07"]
    write(session(), tmp_path)
    assert set(report.write_pdfs(tmp_path, candidates=["c02"], ccp="CCP2")) == {"pdf/c02-CCP2.pdf"}
    with pytest.raises(ValueError, match="no CCP 'CCP9' in tssi-2013; there are: CCP1, CCP2, CCP3"):
        report.write_pdfs(tmp_path, ccp="CCP9")


def test_a_certificate_says_what_made_it_and_until_when_it_counts(tmp_path: Path) -> None:
    run = session()
    digests = {"checks": "9f21aa0c33de4410", "referential": "77ab01cc9d3e5512"}
    run = Run(
        replace(run.header, versions=digests),
        run.benches,
        [replace(r, verdict=Verdict.ERROR) if r.check == "CP03-S2.a" else r for r in run.records],
    )
    assert data_of(run, 1)["banner"].startswith("Notes non définitives. 2 contrôles non mesurés")

    def facts_of(first: datetime.date | None) -> str:
        result = aggregate.build(run)
        data = document.document(writer(result, TSSI, "fr"), result.candidates[1], "CCP2", first)
        assert data["banner"].startswith("Notes non définitives. 1 contrôle non mesuré")  # of this CCP, not of all
        return words(data["facts"]).replace("\u00a0", " ")

    told = facts_of(None)
    assert "REAC version 08 du 19/03/2013, empreinte 77ab01cc9d3e5512" in told
    assert "Plateau 0.1.0, empreinte 9f21aa0c33de4410" in told
    assert "jusqu'au 20/11/2031 si ce CCP est le premier" in told
    assert "jusqu'au 14/03/2030 : 5 ans après l'obtention du premier CCP, le 14/03/2025" in facts_of(
        datetime.date(2025, 3, 14)
    )
    assert facts.later(datetime.date(2024, 2, 29), 5) == datetime.date(2029, 2, 28)
    write(run, tmp_path)
    assert report.write_pdfs(tmp_path, candidates=["c02"], ccp="CCP2", first_ccp=datetime.date(2025, 3, 14))


def test_the_pages_say_how_points_become_results() -> None:
    run = session()
    rules = {"threshold": 0.8, "rows": {"CP06-S1": 0.6}, "coefficients": {"CP06-S2": 1.5}, "eliminatory": ["CP07-S4.a"]}
    told = words(data_of(Run(replace(run.header, bareme=rules), run.benches, run.records))).replace("\u00a0", " ")
    told = told.replace("\u202f", " ")
    assert (
        "critère atteint à partir de 80 % de ses points ; CP06-S1 : 60 % ; coefficients : CP06-S2 × 1,5 ; "
        "éliminatoires : CP07-S4.a ; 50 % des points après redémarrage"
    ) in told
    once = [one for one in run.records if one.phase == "live"]
    assert "après redémarrage" not in words(data_of(Run(run.header, run.benches, once))), "nothing was measured twice"


def test_what_was_measured_is_printed_as_it_was() -> None:
    said = "saddr ::/0 ; ss -tln | grep ' :80 '"
    one = record(
        "c01",
        "CP06-S1.a",
        Verdict.FAILED,
        comparisons=[Comparison("Règle : lue", said, said, ok=False)],
        evidence=[Evidence("ssh:rtr", said, said, 0.1)],
    )
    run = Run(header(), [bench("c01", "Marie")], [one])
    told = words(data_of(run))
    assert told.count(said) == 4
    assert "Règle\u00a0: lue" in told


def test_each_candidate_has_the_day_of_their_own_grading() -> None:
    run = session()
    late = [replace(one, started="2026-11-24T23:30:00Z") if one.candidate == "c02" else one for one in run.records]
    told = words(data_of(Run(run.header, run.benches, late), 1))
    assert "25/11/2026\u00a0à\u00a000:30" in told


def test_what_is_waited_for_is_no_zero_and_what_a_person_decided_keeps_its_evidence() -> None:
    said = {"check": "CP06-S1.a", "verdict": "passed", "reason": "Plan erroné, vérifié.", "evaluator": "PM"}
    marks = Rubric.model_validate(
        {"candidate": "c02", "session": "s", "referential": "x", "overrides": [said | {"date": "2026-11-21"}]}
    )
    result = aggregate.build(session(), {"c02": marks})
    data = document.document(writer(result, TSSI, "fr"), result.candidates[1])
    checks = {c["id"]: c for s in data["sections"] for one in s["competences"] for c in one["checks"]}
    assert checks["CP07-S2.b"]["points"] == "en attente / 1"  # error
    assert checks["CP06-S1.b"]["points"] == "en attente / 1,5"  # behind what a person decided otherwise
    assert "À mesurer à nouveau" in checks["CP06-S1.b"]["message"]
    assert checks["CP06-S1.a"]["points"] == "3 / 3"
    assert checks["CP06-S1.a"]["comparisons"]
    assert "DISCOVER" in checks["CP06-S1.a"]["evidence"][0]["output"]


def test_the_feedback_sheet_tells_nothing_of_the_hidden_checks() -> None:
    run = session()
    run = Run(replace(run.header, bareme={"hidden": ["CP06-S1.a"]}), run.benches, run.records)
    result = aggregate.build(run)
    for lang, behind in (("fr", "Un prérequis est absent."), ("en", "A prerequisite is not there.")):
        told = words(document.feedback(writer(result, TSSI, lang), result.candidates[1]))
        assert "CP06-S1.a" not in told
        assert "la passerelle annoncée" not in told
        assert behind in told
        assert "DISCOVER" not in told  # no evidence either


def test_hostile_records_are_laid_out_and_harmless(tmp_path: Path) -> None:
    write(hostile(), tmp_path)
    paths = report.write_pdfs(tmp_path, "en")
    assert sorted(paths) == ["pdf/c-1--1-retour.pdf", "pdf/c-1--1.pdf"]
    told = words(data_of(hostile()))
    assert "<script>alert(1)</script>" in told
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", told)
    assert len(told) < 60_000
    assert all(path.stat().st_size < 400_000 for name, path in paths.items() if "retour" in name)


def test_nothing_is_wider_than_its_column() -> None:
    data = data_of(hostile())
    (check,) = [one for part in data["sections"] for c in part["competences"] for one in c["checks"]]
    assert max(len(line) for e in check["evidence"] for line in e["output"].splitlines()) <= checkdata.COLUMNS
    (long,) = glyphs.printable(["A" * 100])
    assert max(map(len, long.split("\u200b"))) == 24
    assert long.replace("\u200b", "") == "A" * 100


def test_typst_code_in_a_name_stays_text(tmp_path: Path) -> None:
    evil = replace(bench("c01", "x"), name='#panic("x") *gras* $x$ `code` @lien // fin \\')
    write(Run(header(), [evil], perfect("c01")), tmp_path)
    assert report.write_pdfs(tmp_path)


@pytest.mark.parametrize("name", ["王小明", "نور", "🙂 Zoë", "Ǆ\u0301 Łukasz"])
def test_any_name_can_be_printed(name: str, tmp_path: Path) -> None:
    write(Run(header(), [BenchHeader("c01", name, {}, [])], perfect("c01")), tmp_path)
    assert report.write_pdfs(tmp_path)


def test_every_character_that_is_let_through_has_a_glyph() -> None:
    letters = [chr(n) for a, b in glyphs.RANGES for n in range(a, b + 1) if unicodedata.category(chr(n)) != "Cn"]
    data = data_of(session())
    data["name"] = "".join(letters)
    assert glyphs.printable(data["name"]).replace("\u200b", "") == data["name"]
    assert pdf.compile_pdf("record", data, [], 0).startswith(b"%PDF")


def test_moodle_gets_final_marks_only() -> None:
    run = session()
    done = Run(run.header, [*run.benches, bench("c09", "Zoé")], [*run.records, *perfect("c09")])
    result = aggregate.build(done)
    lines = list(csv.DictReader(io.StringIO(platforms.moodle_csv(result), newline="")))
    assert [line["idnumber"] for line in lines] == ["c01", "c02", "c03", "c09"]
    assert [line["limoges-2026"] for line in lines] == ["", "", "", "20"]
    assert lines[3]["limoges-2026 dhcp"] == "4.5"
    found = ET.fromstring(platforms.moodle_xml(result).encode()).findall("result")
    assert {one.findtext("student") for one in found} == {"c09"}
    assert {one.findtext("assignment"): one.findtext("score") for one in found}["limoges-2026-dhcp"] == "4.5"


def test_gradescope_hides_what_is_hidden() -> None:
    run = session()
    result = aggregate.build(Run(replace(run.header, bareme={"hidden": ["CP06-S1.a"]}), run.benches, run.records))
    data = json.loads(platforms.gradescope(result, result.candidates[1]))
    tests = {one["number"]: one for one in data["tests"]}
    assert (tests["CP06-S1.a"]["visibility"], tests["CP06-S2.a"]["visibility"]) == ("hidden", "visible")
    assert (tests["CP06-S2.a"]["status"], "status" in tests["CP07-S2.b"]) == ("passed", False)
    assert (data["score"], data["extra_data"]["final"]) == (9.5, False)
    assert data["output"].endswith("notes non définitives")
    assert {"score", "max_score"} & set(tests["CP07-S2.b"]) == set()
    behind = [one for one in data["tests"] if one["tags"][1] == "blocked"]
    assert behind
    assert all("CP06-S1.a" not in one["output"] for one in behind), "a hidden check is not named"
    assert all(one["score"] == 0 for one in behind), "what it depends on was measured, and is not there"
    done = Run(run.header, [bench("c09", "Zoé")], perfect("c09"))
    complete = json.loads(platforms.gradescope(aggregate.build(done), aggregate.build(done).candidates[0]))
    assert complete["score"] == 20


def test_the_jury_s_grid_is_the_same_each_time_and_holds_no_formula(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    run = session()
    evil = replace(run.benches[0], name='=HYPERLINK("http://x")')
    write(Run(run.header, [evil, *run.benches[1:]], run.records), tmp_path)
    path = report.write_all(tmp_path)["jury.xlsx"]
    once = path.read_bytes()
    assert report.write_all(tmp_path)["jury.xlsx"].read_bytes() == once
    book = load_workbook(path)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert '=HYPERLINK("http://x")' in {cell.value for cell in cells}
    assert [cell.value for cell in book.worksheets[0][1]][2:5] == ["CP01", "CP02", "CP03"]


def test_a_mark_out_of_twenty_only_when_the_sheet_asks() -> None:
    run = Run(header(), [bench("c01", "Marie")], perfect("c01"))
    assert "20 / 20" not in words(data_of(run)["facts"])
    asked = Run(replace(run.header, bareme={"mark": True}), run.benches, run.records)
    assert "20 / 20" in words(data_of(asked)["facts"])
