"""marks.csv: one line a candidate, for a French spreadsheet. Pure."""

from __future__ import annotations

import csv
import io
import unicodedata

from graders.records import Verdict
from graders.report.aggregate import RunResult
from graders.report.text import number, short, visible

BOM = "\ufeff"
_VERDICTS = {
    Verdict.PASSED: "acquis",
    Verdict.FAILED: "non_acquis",
    Verdict.BLOCKED: "bloque",
    Verdict.ERROR: "non_mesurable",
    Verdict.MANUAL: "a_evaluer",
    Verdict.NOT_APPLICABLE: "sans_objet",
}


def write(result: RunResult) -> str:
    """Semicolons, decimal commas, a byte order mark first; a text that a spreadsheet would run is disarmed.

    Marks are final (`notes_definitives`) when nothing waits for a measure or for a person.
    """
    tasks = list(dict.fromkeys(task.id for candidate in result.candidates for task in candidate.tasks))
    out = io.StringIO()
    lines = csv.writer(out, delimiter=";", lineterminator="\r\n")
    headings = ["identifiant", "nom", "total", "maximum", *map(cell, tasks), *_VERDICTS.values(), "non_execute"]
    on_twenty = ["note_sur_20"] if result.bareme.mark else []
    version = [cell(result.header.training["id"])] if result.header.training else []
    lines.writerow([*headings, "notes_definitives", *on_twenty, *(["version_entrainement"] if version else [])])
    for candidate in result.candidates:
        tally = candidate.tally
        by_task = {task.id: task.tally.points for task in candidate.tasks}
        lines.writerow(
            [
                cell(candidate.bench.candidate),
                cell(candidate.bench.name),
                number(tally.points, "fr"),
                number(tally.max_points, "fr"),
                *(number(by_task.get(task, 0.0), "fr") for task in tasks),
                *(tally.counts[verdict] for verdict in _VERDICTS),
                len(tally.missing),
                "oui" if tally.complete else "non",
                *(["" if candidate.mark is None else number(candidate.mark, "fr")] if on_twenty else []),
                *version,
            ]
        )
    return BOM + out.getvalue()


def cell(text: str) -> str:
    """A text cell on one line that no spreadsheet takes for a formula."""
    shown = " ".join(visible(short(text)).split())
    return f"'{shown}" if begins_formula(shown) else shown


def begins_formula(text: str) -> bool:
    """Whether a spreadsheet may take the text for a formula; wide and mathematical forms of the signs count too."""
    return unicodedata.normalize("NFKC", text.lstrip()[:1]) in {"=", "+", "-", "@", "|", "\u2212"}
