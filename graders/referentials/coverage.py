"""Which rows of a referential checks decide, which have no check yet, which only a person can judge. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from graders.referentials import Referential, Row


class Status(StrEnum):
    """Who has a word on a row."""

    DECIDED = "decided"
    """Checks decide it."""
    SHARED = "shared"
    """Checks give evidence, a person marks."""
    HUMAN = "human"
    """Only a person can judge it."""
    NO_CHECK = "no check yet"


@dataclass(frozen=True)
class RowCoverage:
    """One row of one competence's sheet."""

    row: Row
    checks: tuple[str, ...]
    status: Status


@dataclass(frozen=True)
class CompetenceCoverage:
    """One competence's sheet; the transversal competences are their own."""

    id: str
    title: str
    rows: tuple[RowCoverage, ...]

    @property
    def counts(self) -> dict[Status, int]:
        """How many rows of each status, zero included."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in Status}


def cover(referential: Referential, checks: Iterable[str], lang: str) -> list[CompetenceCoverage]:
    """The sheets, each row with those of `checks` that grade it."""
    by_row: dict[str, list[str]] = {}
    for check in sorted(checks):
        by_row.setdefault(check.rpartition(".")[0], []).append(check)
    covered = [
        CompetenceCoverage(one.id, one.title.get(lang), _rows(referential.sheets[one.id], by_row))
        for one in referential.competences
    ]
    return covered + [
        CompetenceCoverage(row.id, row.title.get(lang), _rows([row], by_row)) for row in referential.pack.transversal
    ]


def _rows(rows: Sequence[Row], by_row: dict[str, list[str]]) -> tuple[RowCoverage, ...]:
    return tuple(RowCoverage(row, tuple(by_row.get(row.id, ())), _status(row, row.id in by_row)) for row in rows)


def _status(row: Row, graded: bool) -> Status:
    if not row.machine:
        return Status.HUMAN
    if not graded:
        return Status.NO_CHECK
    return Status.SHARED if row.human else Status.DECIDED


def outside(checks: Iterable[str], rows: Iterable[str]) -> list[str]:
    """The checks that grade none of the rows: nothing outside the referential is graded."""
    known = set(rows)
    return sorted(check for check in checks if check.rpartition(".")[0] not in known)
