"""The jury's grid of one candidate: every competence with what the machine saw, what people marked, what is open. Pure.

It prepares: the decision column is the evaluator's opinion when there is one, and empty otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from graders.referentials import Referential, Row
from graders.report.aggregate import CandidateResult, RowResult
from graders.report.measures import row_of
from graders.report.outcomes import Outcome, combine
from graders.rubric import Opinion, RowMark

OF_LEVEL = {1: Outcome.NOT_MET, 2: Outcome.PARTIAL, 3: Outcome.MET, 4: Outcome.MET}


@dataclass(frozen=True)
class GridRow:
    """One row: the machine's part, the person's part, and what follows from both."""

    row: Row
    machine: RowResult | None
    """As the machine alone saw it."""
    decided: RowResult | None
    """With people's verdicts in place of the machine's."""
    mark: RowMark | None
    """Only when a level was given."""
    overridden: int
    """Checks of it on which a person decided otherwise."""

    @property
    def result(self) -> Outcome:
        """The machine never marks a human part: such a row is what the person said, or not assessable yet."""
        if self.row.human:
            return OF_LEVEL[self.mark.level] if self.mark and self.mark.level else Outcome.NOT_ASSESSABLE
        return self.decided.outcome if self.decided else Outcome.NOT_ASSESSABLE


@dataclass(frozen=True)
class GridCompetence:
    """One competence, or a transversal one; `rows` are those that were observed or that a person must mark."""

    id: str
    title: str
    rows: tuple[GridRow, ...]
    total: int
    machine: Outcome | None
    """None: nothing of it was measured in this session."""
    opinion: Opinion | None

    @property
    def observed(self) -> int:
        return sum(row.machine is not None for row in self.rows)

    @property
    def counted(self) -> int:
        """Observed rows that concern this candidate."""
        outcomes = [row.machine.outcome for row in self.rows if row.machine]
        return sum(one is not Outcome.NOT_APPLICABLE for one in outcomes)

    @property
    def met(self) -> int:
        """Rows that the machine found met."""
        return sum(row.machine is not None and row.machine.outcome is Outcome.MET for row in self.rows)

    @property
    def human(self) -> int:
        return sum(row.row.human for row in self.rows)

    @property
    def overridden(self) -> int:
        """Checks on which a person decided otherwise than the machine."""
        return sum(row.overridden for row in self.rows)

    @property
    def levels(self) -> dict[int, int]:
        """How many rows got each level, the given ones only."""
        return dict(sorted(Counter(row.mark.level for row in self.rows if row.mark and row.mark.level).items()))

    @property
    def result(self) -> Outcome:
        """Machine and people together, row by row."""
        touched = [row for row in self.rows if row.machine or row.mark]
        eliminated = any(row.decided and row.decided.eliminated for row in self.rows)
        return combine([row.result for row in (self.rows if touched else ())], eliminated)


@dataclass(frozen=True)
class GridActivity:
    """One CCP with all its competences; the transversal ones are under an empty id."""

    id: str
    title: str
    competences: tuple[GridCompetence, ...]


def grid(candidate: CandidateResult, referential: Referential, lang: str) -> list[GridActivity]:
    """The whole title, in its order: nothing is left out, so that what was not observed is seen."""
    activities = [
        GridActivity(
            activity.id,
            activity.title.get(lang),
            tuple(
                _competence(one.id, one.title.get(lang), referential.sheets[one.id], candidate)
                for one in activity.competences
            ),
        )
        for activity in referential.pack.activities
    ]
    if referential.pack.transversal:
        transversal = tuple(
            _competence(row.id, row.title.get(lang), (row,), candidate) for row in referential.pack.transversal
        )
        activities.append(GridActivity("", "", transversal))
    return activities


def _competence(name: str, title: str, sheet: Iterable[Row], candidate: CandidateResult) -> GridCompetence:
    sheet, rubric = tuple(sheet), candidate.rubric
    seen = {row.id: row for competence in candidate.seen for row in competence.rows}
    decided = {row.id: row for competence in candidate.competences for row in competence.rows}
    given = {key: mark for key, mark in rubric.rows.items() if mark.level} if rubric else {}
    otherwise = Counter(row_of(check) for check, _ in candidate.original)
    rows = tuple(
        GridRow(row, seen.get(row.id), decided.get(row.id), given.get(row.id), 0 if row.human else otherwise[row.id])
        for row in sheet
        if row.human or row.id in seen
    )
    measured = [row.machine for row in rows if row.machine]
    machine = combine([one.outcome for one in measured], any(one.eliminated for one in measured)) if measured else None
    opinion = rubric.competences.get(name) if rubric else None
    return GridCompetence(
        name, title, rows, len(sheet), machine, opinion if opinion and opinion.satisfied is not None else None
    )
