"""Competence results laid on a referential: CCP, then competence, then row, with their titles. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graders.referentials import Referential, Row
from graders.report.aggregate import CompetenceResult, RowResult


@dataclass(frozen=True)
class SheetRow:
    """A row as shown: its title and kind when the referential has them."""

    result: RowResult
    title: str
    kind: str


@dataclass(frozen=True)
class SheetCompetence:
    """A competence as shown. `total` is how many rows its sheet has, 0 when they are not written yet."""

    id: str
    title: str
    rows: tuple[SheetRow, ...]
    total: int


@dataclass(frozen=True)
class Sheet:
    """An activity (CCP) as shown. Competences that no referential knows are under an empty id."""

    id: str
    title: str
    competences: tuple[SheetCompetence, ...]


def sheets(results: Sequence[CompetenceResult], referential: Referential | None, lang: str) -> list[Sheet]:
    """Only what was observed: activities and competences without a result are left out."""
    left = {result.id: result for result in results}
    found = []
    for activity in referential.activities if referential else ():
        mine = []
        for competence in activity.competences:
            if result := left.pop(competence.id, None):
                known = {row.id: row for row in competence.rows}
                mine.append(_competence(result, competence.title.get(lang), known, lang))
        if mine:
            found.append(Sheet(activity.id, activity.title.get(lang), tuple(mine)))
    if left:
        found.append(Sheet("", "", tuple(_competence(result, "", {}, lang) for result in left.values())))
    return found


def _competence(result: CompetenceResult, title: str, known: dict[str, Row], lang: str) -> SheetCompetence:
    order = {row: number for number, row in enumerate(known)}
    rows = sorted(result.rows, key=lambda row: (order.get(row.id, len(order)), row.id))
    return SheetCompetence(
        result.id,
        title,
        tuple(
            SheetRow(row, known[row.id].title.get(lang), known[row.id].kind)
            if row.id in known
            else SheetRow(row, "", "")
            for row in rows
        ),
        len(known),
    )
