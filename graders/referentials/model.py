"""The model of a referential pack: activities, competences, rows, and rows borrowed from another pack."""

from __future__ import annotations

import datetime
import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["technical", "relational", "organisational", "criterion", "demand", "transversal", "family"]
RowClass = Literal["P", "A", "H", "A+P", "P+A", "P+H", "A+H", "H+A", "A+P+H", "P+A+H"]
_FORMS: dict[Kind, str] = {
    "technical": r".+-S\d+",
    "relational": r".+-R\d+",
    "organisational": r".+-O\d+",
    "criterion": r".+-C\d+",
    "demand": r".+-D\d+",
    "transversal": r"T\d+",
    "family": r"N\d+",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Model):
    """A wording in the two languages of the product."""

    fr: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def get(self, lang: str) -> str:
        return self.en if lang == "en" else self.fr


class Row(_Model):
    """One line of a competence sheet, in our own words; checks `<id>.a`, `<id>.b`… grade it."""

    id: str
    kind: Kind
    row_class: RowClass = Field(alias="class")
    """P: graded by a probe; A: by an artefact; H: by a person."""
    title: Text

    @property
    def human(self) -> bool:
        """Whether a person must mark it, alone or beside the machine's evidence."""
        return "H" in self.row_class

    @property
    def machine(self) -> bool:
        """Whether checks can say something about it."""
        return self.row_class != "H"

    @model_validator(mode="after")
    def _kind_matches_id(self) -> Self:
        if not re.fullmatch(_FORMS[self.kind], self.id):
            raise ValueError(f"row {self.id}: its letter does not say {self.kind!r}")
        return self


class Competence(_Model):
    """One competence sheet: rows of its own, and rows of the base pack that it uses."""

    id: str
    title: Text
    uses: tuple[str, ...] = ()
    """Ids of rows, or of whole competences, of the base pack (or of families of this one)."""
    rows: tuple[Row, ...] = ()

    @model_validator(mode="after")
    def _rows_are_mine(self) -> Self:
        for row in self.rows:
            if row.kind != "family" and not row.id.startswith(f"{self.id}-"):
                raise ValueError(f"row {row.id} does not belong to {self.id}")
        if not self.rows and not self.uses:
            raise ValueError(f"competence {self.id}: neither rows nor uses")
        return self


class Activity(_Model):
    """One activity, certified by one CCP."""

    id: str
    title: Text
    competences: tuple[Competence, ...]


class Pack(_Model):
    """A pack as written in its file."""

    id: str
    code: str
    document: str
    version: str
    date: datetime.date
    base: str | None = None
    """The pack whose rows `uses` names."""
    title: Text
    reference: Text | None = None
    """How documents cite it, when document, version and date do not say it rightly."""
    capitalised_years: int = Field(ge=1, le=50)
    """For how long a CCP counts towards the title, from the day on which the first one was obtained."""
    activities: tuple[Activity, ...]
    transversal: tuple[Row, ...] = ()
    """Competences of the whole trade, each one row; their French titles are official."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        competences = [c for a in self.activities for c in a.competences]
        ids = [a.id for a in self.activities] + [c.id for c in competences]
        ids += [row.id for c in competences for row in c.rows] + [row.id for row in self.transversal]
        if doubled := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"more than once: {', '.join(doubled)}")
        return self

    @model_validator(mode="after")
    def _kinds_are_in_place(self) -> Self:
        if wrong := [row.id for row in self.transversal if row.kind != "transversal"]:
            raise ValueError(f"transversal: {', '.join(wrong)}: not of kind transversal")
        return self
