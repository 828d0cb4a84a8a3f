"""Competence results laid on a referential: CCP, then competence, then row, with their titles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A competence as shown. `total` is how many rows its sheet has, 0 when no referential knows it."""

    id: str
    title: str
    rows: tuple[SheetRow, ...]
    total: int

    @property
    def eliminated(self) -> list[str]:
        """Eliminatory checks that are not passed."""
        return [check for row in self.rows for check in row.result.eliminated]


@dataclass(frozen=True)
class Sheet:
    """An activity (CCP) as shown. What no referential knows is under an empty id."""

    id: str
    title: str
    competences: tuple[SheetCompetence, ...]


def sheets(results: Sequence[CompetenceResult], referential: Referential | None, lang: str) -> list[Sheet]:
    """Only what was observed: activities and competences without a result are left out.

    A row that several competences of a title use is shown under each of them.
    """
    observed = {row.id: row for result in results for row in result.rows}
    placed: set[str] = set()
    found = []
    for activity in referential.pack.activities if referential else ():
        mine = []
        for competence in activity.competences:
            assert referential is not None
            sheet = referential.sheets[competence.id]
            rows = [row for row in sheet if row.id in observed]
            if rows:
                placed.update(row.id for row in rows)
                shown = _rows(rows, observed)
                title = competence.title.get(lang)
                mine.append(SheetCompetence(competence.id, title, tuple(_titled(shown, lang)), len(sheet)))
        if mine:
            found.append(Sheet(activity.id, activity.title.get(lang), tuple(mine)))
    left = [(result.id, [row for row in result.rows if row.id not in placed]) for result in results]
    strangers = tuple(
        SheetCompetence(name, "", tuple(SheetRow(row, "", "") for row in rows), 0) for name, rows in left if rows
    )
    return [*found, Sheet("", "", strangers)] if strangers else found


def _rows(rows: Iterable[Row], observed: dict[str, RowResult]) -> list[tuple[Row, RowResult]]:
    return [(row, observed[row.id]) for row in rows]


def _titled(rows: Iterable[tuple[Row, RowResult]], lang: str) -> list[SheetRow]:
    return [SheetRow(result, row.title.get(lang), row.kind) for row, result in rows]
