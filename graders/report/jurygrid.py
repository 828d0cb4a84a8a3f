"""jury.xlsx: the whole cohort's grid for the jury, competence by competence and row by row. Pure."""

from __future__ import annotations

from graders.referentials import Referential
from graders.report.aggregate import RunResult
from graders.report.document import level_of
from graders.report.grid import GridCompetence, grid
from graders.report.workbook import headings, pack, put, wrap
from graders.report.writer import Writer, writer


def write(result: RunResult, referential: Referential, lang: str) -> bytes:
    """Two sheets: candidates by competences, and one line a row. The last columns of both are the jury's."""
    from openpyxl import Workbook

    w = writer(result, referential, lang)
    book = Workbook()
    sheet = book.active
    sheet.title = w.t("synthesis")[:31]
    grids = [(candidate, grid(candidate, referential, lang)) for candidate in result.candidates]
    names = [*(one.id for one in referential.competences), *(row.id for row in referential.pack.transversal)]
    headings(sheet, [w.t("identity"), w.t("candidate"), *names, w.t("jury_comment")], [12, 26, *[13] * len(names), 40])
    for line, (candidate, activities) in enumerate(grids, 2):
        put(sheet, line, 1, candidate.bench.candidate)
        put(sheet, line, 2, candidate.bench.name)
        for column, one in enumerate((c for activity in activities for c in activity.competences), 3):
            wrap(put(sheet, line, column, _word(w, one)), one.machine.value if one.machine else None)
    detail = book.create_sheet(w.t("competences")[:31])
    titles = ["identity", "candidate", "competence", "criterion", "wording", "machine", "checks_heading", "person"]
    headings(
        detail,
        [*(w.t(key) for key in titles), w.t("evaluator_comment"), w.t("satisfied")],
        [12, 26, 10, 10, 48, 18, 24, 18, 40, 14],
    )
    line = 2
    for candidate, activities in grids:
        for one in (c for activity in activities for c in activity.competences):
            for row in one.rows:
                if not (row.machine or one.machine or row.mark):
                    continue
                checks = ", ".join(dict.fromkeys(r.check for r in row.machine.records)) if row.machine else ""
                level = level_of(w, row)
                values = [candidate.bench.candidate, candidate.bench.name, one.id, row.row.id]
                values += [row.row.title.get(lang), w.t(row.machine.outcome.value) if row.machine else "–", checks]
                values += [level, (row.mark.comment or "") if row.mark else ""]
                for column, value in enumerate(values, 1):
                    wrap(put(detail, line, column, value))
                wrap(detail.cell(row=line, column=6), row.machine.outcome.value if row.machine else None)
                put(detail, line, 10, w.t(str(one.opinion.satisfied)) if one.opinion else "")
                line += 1
    detail.auto_filter.ref = f"A1:J{max(line - 1, 1)}"
    return pack(book)


def _word(w: Writer, one: GridCompetence) -> str:
    machine = w.t(f"competence_{one.machine.value}") if one.machine else ""
    person = ", ".join(
        [f"{w.t(f'level_{level}')} × {count}" for level, count in one.levels.items()]
        + ([w.t.count("decided_checks", one.overridden)] if one.overridden else [])
    )
    opinion = f"{w.t('satisfied')}{w.t('colon')}{w.t(str(one.opinion.satisfied))}" if one.opinion else ""
    return "\n".join(part for part in (machine, person, opinion) if part)
