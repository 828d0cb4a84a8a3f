"""junit.xml, marks.csv and the files beside records.jsonl."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from test_report_samples import TASKS, bench, header, hostile, perfect, session, write

from graders import report
from graders.records import Run
from graders.report import aggregate, html, junit, marks


def cases(run: Run) -> list[ET.Element]:
    return list(ET.fromstring(junit.write(aggregate.build(run)).encode()).iter("testcase"))


def case_of(run: Run, check: str, candidate: str, phase: str = "live") -> ET.Element:
    (found,) = [
        case
        for case in cases(run)
        if {p.get("name"): p.get("value") for p in case.iter("property")}.items()
        >= {"check": check, "candidate": candidate, "phase": phase}.items()
    ]
    return found


def test_junit_says_each_verdict_in_its_own_way() -> None:
    run = session()
    assert [child.tag for child in case_of(run, "CP06-S2.a", "c01")] == ["properties"]
    assert case_of(run, "CP07-S4.b", "c01").find("failure") is not None
    assert case_of(run, "CP07-S4.a", "c01", "reboot").find("failure") is not None
    assert case_of(run, "CP07-S2.b", "c02").find("error") is not None
    skipped = {
        ("CP06-S1.b", "c02"): "blocked",
        ("CP06-O1.a", "c01"): "manual",
        ("CP03-S1.b", "c01"): "not_applicable",
    }
    for (check, candidate), kind in skipped.items():
        element = case_of(run, check, candidate).find("skipped")
        assert element is not None
        assert element.get("type") == kind
    blocked = case_of(run, "CP06-S1.b", "c02").find("skipped")
    assert blocked is not None
    assert "CP06-S1.a" in (blocked.get("message") or "")
    assert case_of(run, "CP06-S1.b", "c02").get("classname") == "c02.CP06"


def test_junit_counts_agree_with_its_cases_and_names_are_unique() -> None:
    for suite in ET.fromstring(junit.write(aggregate.build(session())).encode()):
        found = suite.findall("testcase")
        assert suite.get("tests") == str(len(found))
        assert len({(c.get("classname"), c.get("name")) for c in found}) == len(found)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(attribute) == str(sum(c.find(tag) is not None for c in found))


def test_junit_survives_hostile_text_and_tells_what_was_not_run() -> None:
    found = cases(hostile())
    failures = [f for f in (case.find("failure") for case in found) if f is not None]
    assert len(failures) == 1
    assert "<script>alert(1)</script>" in (failures[0].get("message") or "")
    assert len([c for c in found if any(s.get("type") == "not_run" for s in c.iter("skipped"))]) == 12


def table(run: Run) -> list[dict[str, str]]:
    text = marks.write(aggregate.build(run))
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))


def test_marks_have_one_line_a_candidate_with_decimal_commas() -> None:
    marie, thomas, ines = table(session())
    assert (marie["nom"], marie["total"], marie["maximum"], marie["dhcp"]) == ("Marie Lefèvre", "17,5", "20", "4,5")
    assert (marie["acquis"], marie["non_acquis"], marie["a_evaluer"]) == ("10", "2", "1")
    assert (thomas["non_mesurable"], thomas["notes_definitives"]) == ("1", "non")
    assert (ines["total"], ines["bloque"]) == ("0", "11")
    assert {task["id"] for task in TASKS} <= marie.keys()


def test_marks_are_final_only_when_nothing_is_waited_for() -> None:
    assert table(session())[0]["notes_definitives"] == "non"  # a person still has to assess the journal
    assert table(Run(header(), [bench("c01", "Marie")], perfect("c01")))[0]["notes_definitives"] == "oui"


@pytest.mark.parametrize("name", ["=1+1", "+33 6", "-2", "@SUM(A1)", "\t=1+1", "\r\n=1", " =1", "＝1", "=a;b\n=c"])
def test_a_name_is_never_a_formula(name: str) -> None:
    (line,) = table(Run(header(), [replace(bench("c01", "x"), name=name)], perfect("c01")))
    assert line["nom"][0] not in "=+-@＝\t\r "
    assert "\n" not in line["nom"]
    assert line["total"] == "20"


def test_write_all_puts_the_documents_beside_the_records(tmp_path: Path) -> None:
    write(session(), tmp_path)
    paths = report.write_all(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gradescope",
        "html",
        "junit.xml",
        "jury.xlsx",
        "marks.csv",
        "moodle.csv",
        "moodle.xml",
        "records.jsonl",
        "report.html",
    ]
    assert paths["report.html"].read_text(encoding="utf-8") == html.render(aggregate.build(session()))
    assert paths["marks.csv"].read_bytes().startswith(b"\xef\xbb\xbf")
    before = {name: path.read_bytes() for name, path in paths.items()}
    report.write_all(tmp_path)
    assert {name: path.read_bytes() for name, path in paths.items()} == before


def test_a_candidate_s_page_names_nobody_else(tmp_path: Path) -> None:
    write(session(), tmp_path)
    page = report.write_all(tmp_path)["html/c01.html"].read_text(encoding="utf-8")
    assert "Marie Lefèvre" in page
    assert "Thomas" not in page
    assert "c02" not in page


def test_hostile_records_are_written_and_read(tmp_path: Path) -> None:
    write(hostile(), tmp_path)
    for path in report.write_all(tmp_path, "en").values():
        assert path.is_relative_to(tmp_path)
        assert path.suffix == ".xlsx" or path.read_bytes().decode("utf-8")


def test_a_cut_records_file_leaves_the_former_report_in_place(tmp_path: Path) -> None:
    source = write(session(), tmp_path)
    former = report.write_all(tmp_path)["report.html"].read_bytes()
    source.write_text(source.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(ValueError, match=r"records\.jsonl:\d+: not a record"):
        report.write_all(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == former
