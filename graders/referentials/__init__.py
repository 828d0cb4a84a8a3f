"""Referentials: versioned data packs that name the activities, competences and rows that checks grade."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

FOLDER = Path(__file__).resolve().parent

Kind = Literal["technical", "relational", "organisational", "criterion", "demand"]
RowClass = Literal["P", "A", "H", "A+P", "P+A", "P+H", "A+H"]
_LETTERS: dict[str, Kind] = {
    "S": "technical",
    "R": "relational",
    "O": "organisational",
    "C": "criterion",
    "D": "demand",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Model):
    """A wording in the two languages of the product."""

    fr: str
    en: str

    def get(self, lang: str) -> str:
        return self.en if lang == "en" else self.fr


class Row(_Model):
    """One line of a competence sheet, in our own words; checks `<id>.a`, `<id>.b`… grade it."""

    id: str
    kind: Kind
    row_class: RowClass = Field(alias="class")
    title: Text

    @model_validator(mode="after")
    def _kind_matches_id(self) -> Self:
        if _LETTERS.get(self.id.partition("-")[2][:1]) != self.kind:
            raise ValueError(f"row {self.id}: its letter does not say {self.kind!r}")
        return self


class Competence(_Model):
    """One competence sheet; `rows` is empty while its rows are not written."""

    id: str
    title: Text
    rows: tuple[Row, ...] = ()

    @model_validator(mode="after")
    def _rows_are_mine(self) -> Self:
        for row in self.rows:
            if not row.id.startswith(f"{self.id}-"):
                raise ValueError(f"row {row.id} does not belong to {self.id}")
        return self


class Activity(_Model):
    """One activity, certified by one CCP."""

    id: str
    title: Text
    competences: tuple[Competence, ...]


class Referential(_Model):
    """A whole referential."""

    id: str
    code: str
    document: str
    version: str
    date: datetime.date
    title: Text
    activities: tuple[Activity, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        competences = [c for a in self.activities for c in a.competences]
        ids = [a.id for a in self.activities] + [c.id for c in competences]
        ids += [row.id for c in competences for row in c.rows]
        if doubled := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"more than once: {', '.join(doubled)}")
        return self


def names() -> list[str]:
    """Every referential shipped, e.g. `["tssi-2013"]`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> Referential:
    """Read a referential by its name, e.g. `tssi-2013`. Raises ValueError naming what is wrong."""
    if name not in names():
        raise ValueError(f"no referential {name!r}; there are: {', '.join(names())}")
    return parse((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def parse(text: str, source: str) -> Referential:
    """Read a referential from its YAML text. Raises ValueError naming the source and the field."""
    try:
        return Referential.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{source}: {field}: {first['msg']}") from None
    except YAMLError as problem:
        raise ValueError(f"{source}: not YAML ({' '.join(str(problem).split())})") from None
