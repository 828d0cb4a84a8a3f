"""Files for other platforms: Moodle (CSV and XML) and Gradescope (JSON). Pure.

Only final marks travel to Moodle: a candidate whose marks wait for a measure or a person has empty cells, and no XML
result. Gradescope wants a score, and is told that it is not final.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from typing import Any
from xml.etree import ElementTree as ET

from graders.records import Record, Verdict
from graders.report.aggregate import CandidateResult, RunResult
from graders.report.marks import cell
from graders.report.messages import Messages
from graders.report.text import json_text, short, visible

LONGEST = 4000
"""Characters of a message that another platform gets."""
STATUS = {Verdict.PASSED: "passed", Verdict.FAILED: "failed", Verdict.BLOCKED: "failed"}


def moodle_csv(result: RunResult) -> str:
    """For Moodle's import of grades from CSV: `idnumber` is the candidate's id; decimal points, commas, UTF-8."""
    tasks = [task["id"] for task in result.header.tasks]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\r\n")
    lines.writerow(["idnumber", *(cell(f"{_item(result)} {task}") for task in tasks), _item(result), "feedback"])
    for candidate in result.candidates:
        done = candidate.tally.complete
        points = {task.id: task.tally.points for task in candidate.tasks}
        total = f"{candidate.tally.points:g}"
        lines.writerow(
            [
                cell(candidate.bench.candidate),
                *((f"{points.get(task, 0.0):g}" if done else "") for task in tasks),
                total if done else "",
                cell(_feedback(candidate)),
            ]
        )
    return out.getvalue()


def moodle_xml(result: RunResult) -> str:
    """For Moodle's import of grades from XML: a grade item has the idnumber `<session>` or `<session>-<task>`."""
    root = ET.Element("results", batch=visible(result.header.run))
    for candidate in result.candidates:
        if not candidate.tally.complete:
            continue
        scores = {_item(result): candidate.tally.points}
        scores |= {f"{_item(result)}-{visible(task.id)}": task.tally.points for task in candidate.tasks}
        for item, points in scores.items():
            one = ET.SubElement(root, "result")
            ET.SubElement(one, "assignment").text = item
            ET.SubElement(one, "student").text = visible(candidate.bench.candidate)
            ET.SubElement(one, "score").text = f"{points:g}"
            if item == _item(result):
                ET.SubElement(one, "feedback").text = _feedback(candidate)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def gradescope(result: RunResult, candidate: CandidateResult) -> str:
    """One candidate's results.json; the hidden checks are hidden there too."""
    hidden = set(result.bareme.hidden)
    tests = [
        _test(record, hidden, waits=(record.check, record.phase) in candidate.open)
        for task in candidate.tasks
        for record in task.records
        if record.verdict is not Verdict.NOT_APPLICABLE
    ]
    data: dict[str, Any] = {
        "score": candidate.tally.points,  # the format wants one; while it is not final, `output` says so
        "output": _feedback(candidate),
        "visibility": "visible",
        "tests": tests,
        "extra_data": {
            "run": result.header.run,
            "lab": result.header.lab,
            **({"training": result.header.training["id"]} if result.header.training else {}),
            "final": candidate.tally.complete,
        },
    }
    return json_text(data) + "\n"


def _test(record: Record, hidden: Collection[str], *, waits: bool) -> dict[str, Any]:
    """One check; what waits for a measure or a person has neither a score nor a status."""
    told = record.message
    if record.verdict is Verdict.BLOCKED and record.blocked_by in hidden:
        told = Messages("fr")("behind_hidden")
    test: dict[str, Any] = {
        "number": record.check,
        "name": visible(short(record.title)) + (" (après redémarrage)" if record.phase == "reboot" else ""),
        "output": visible(short(told, LONGEST)),
        "tags": [record.competence, record.verdict.value],
        "visibility": "hidden" if record.check in hidden else "visible",
    }
    if not waits and record.verdict in STATUS:
        test["score"] = round(record.points, 4) if record.verdict is Verdict.PASSED else 0.0
        test["max_score"] = round(record.max_points, 4)
        test["status"] = STATUS[record.verdict]
    return test


def _item(result: RunResult) -> str:
    return visible(result.header.session)


def _feedback(candidate: CandidateResult) -> str:
    counts = candidate.tally.counts
    words = {Verdict.PASSED: "acquis", Verdict.FAILED: "non acquis", Verdict.BLOCKED: "bloqué"}
    told = ", ".join(f"{counts[verdict]} {word}" for verdict, word in words.items() if counts[verdict])
    return told if candidate.tally.complete else f"{told} ; notes non définitives".removeprefix(" ; ")
