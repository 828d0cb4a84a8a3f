"""What a candidate can write into evidence is harmless in every file that a run leaves, whatever opens it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from openpyxl import load_workbook
from test_report_samples import HOSTILE, hostile, record, session, with_changes, write

from graders import report
from graders.dossier.collect import results
from graders.records import Run, Verdict
from graders.report.text import json_text
from graders.rubric import Rubric as Marks
from graders.rubric import forms, spreadsheet
from labs.cli.output import print_json
from labs.models.loader import load

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What a terminal, an editor or a browser would obey, or that hides what is there; a tab and a line end are not."""
FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "＝1+1", "\t=1", "\r\n=1", " =1", "−1", "|calc"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    write(hostile(), folder)
    return report.write_all(folder)


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")


def test_no_text_file_holds_what_a_program_would_obey_nor_a_huge_line(documents: dict[str, Path]) -> None:
    texts = {name: path for name, path in documents.items() if path.suffix != ".xlsx"}
    assert {path.suffix for path in texts.values()} == {".html", ".xml", ".csv", ".json"}
    for name, path in texts.items():
        text = text_of(path)
        assert not OBEYED.search(text), name
        assert len(text) < 150_000, name
        assert "<script>alert" not in text or path.suffix in {".csv", ".json"}, name


def test_every_format_is_still_read_by_its_own_rules(documents: dict[str, Path]) -> None:
    for name, path in documents.items():
        if path.suffix == ".xml":
            assert "".join(ET.parse(path).getroot().itertext()) is not None, name
        elif path.suffix == ".csv":
            rows = list(csv.reader(text_of(path).splitlines(), delimiter=";" if name == "marks.csv" else ","))
            assert len({len(row) for row in rows}) == 1, name
            assert not any(one.lstrip()[:1] in set("=+-@|") for row in rows for one in row), name
        elif path.suffix == ".json":
            (test,) = json.loads(path.read_text(encoding="utf-8"))["tests"]
            assert "⟦U+202E⟧gnp.exe" in test["name"]


@pytest.mark.parametrize("evil", FORMULAS)
def test_no_spreadsheet_takes_a_text_for_a_formula(evil: str, tmp_path: Path) -> None:
    run = session()
    records = with_changes("c01", CP06_S1_a=record("c01", "CP06-S1.a", Verdict.FAILED, title=evil, message=evil))
    run = Run(replace(run.header, title=evil), [replace(run.benches[0], name=evil)], records)
    write(run, tmp_path)
    form = tmp_path / "marks" / "c01.yaml"
    comment = {"CP06-O1": {"level": 3, "comment": evil}}
    said = {"candidate": "c01", "session": "limoges-2026", "referential": "tssi-2013", "evaluator": evil, "date": None}
    forms.save(form, said | {"rows": comment})
    paths = report.write_all(tmp_path)
    spreadsheet.write(tmp_path / "grid.xlsx", load(form, Marks))
    found = 0
    for path in (paths["jury.xlsx"], tmp_path / "grid.xlsx"):
        for sheet in load_workbook(path):
            for cell in (one for row in sheet.iter_rows() for one in row):
                assert cell.data_type != "f", (path.name, cell.coordinate, cell.value)
                if str(cell.value or "").lstrip()[:1] in set("=+-@|＝−"):
                    assert cell.quotePrefix, (path.name, cell.coordinate)  # also once somebody edited it
                    found += 1
    assert found
    (line,) = list(csv.reader(text_of(paths["marks.csv"]).splitlines(), delimiter=";"))[1:]
    assert line[1].startswith("'")


def test_json_keeps_what_was_recorded_and_shows_a_terminal_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    evil = HOSTILE + "\U000e0041\x9b31m"
    assert json.loads(json_text({"a": [evil]})) == {"a": [evil]}
    print_json({"é": evil})
    told = capsys.readouterr().out
    assert not OBEYED.search(told)
    assert json.loads(told) == {"é": evil}
    assert "é" in told


def test_the_sealed_results_are_harmless_too(tmp_path: Path) -> None:
    path = write(hostile(), tmp_path)
    made = results(path.read_bytes(), {})
    assert not OBEYED.search(made)
    assert json.loads(made)["candidates"][0]["not_passed"][0]["message"] == HOSTILE
