"""Referentials: versioned data packs that name the activities, competences and rows that checks grade."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graders.referentials.model import Activity, Competence, Pack, Row, Text

__all__ = ["Activity", "Competence", "Pack", "Referential", "Row", "Text", "load", "names", "parse", "resolve"]

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Referential:
    """A pack with every row that its competences name, borrowed ones included."""

    pack: Pack
    sheets: dict[str, tuple[Row, ...]]
    """Competence id -> its rows, in order."""

    @property
    def id(self) -> str:
        return self.pack.id

    @property
    def competences(self) -> list[Competence]:
        """Every competence, in the order of the activities."""
        return [one for activity in self.pack.activities for one in activity.competences]

    @property
    def rows(self) -> dict[str, Row]:
        """Every row once, by its id, in the order of the sheets; transversal ones last."""
        found = {row.id: row for rows in self.sheets.values() for row in rows}
        return found | {row.id: row for row in self.pack.transversal}

    def competence_of(self, row: str) -> str:
        """The first competence whose sheet has the row; the row itself when it is transversal. Raises KeyError."""
        for competence, rows in self.sheets.items():
            if any(one.id == row for one in rows):
                return competence
        if any(one.id == row for one in self.pack.transversal):
            return row
        raise KeyError(row)


def files(name: str) -> list[Path]:
    """The files that a referential is read from: its own, then that of the pack it is based on. Raises ValueError."""
    base = load(name).pack.base
    return [FOLDER / f"{one}.yaml" for one in (name, base) if one]


def names() -> list[str]:
    """Every referential shipped, e.g. `["tssi-2013"]`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> Referential:
    """Read a referential by its name, e.g. `tssi-2013`. Raises ValueError naming what is wrong."""
    if name not in names():
        raise ValueError(f"no referential {name!r}; there are: {', '.join(names())}")
    source = f"{name}.yaml"
    pack = parse((FOLDER / source).read_text(encoding="utf-8"), source)
    return resolve(pack, load(pack.base) if pack.base else None, source)


def parse(text: str, source: str) -> Pack:
    """Read a pack from its YAML text. Raises ValueError naming the source and the field."""
    try:
        return Pack.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{source}: {field}: {first['msg']}") from None
    except YAMLError as problem:
        raise ValueError(f"{source}: not YAML ({' '.join(str(problem).split())})") from None


def resolve(pack: Pack, base: Referential | None, source: str) -> Referential:
    """The pack with its borrowed rows. Raises ValueError naming what `uses` asks for and does not exist."""
    competences = [one for activity in pack.activities for one in activity.competences]
    known: dict[str, tuple[Row, ...]] = {row.id: (row,) for row in (base.rows.values() if base else ())}
    known |= base.sheets if base else {}
    known |= {row.id: (row,) for one in competences for row in one.rows}
    sheets = {}
    for competence in competences:
        if unknown := [name for name in competence.uses if name not in known]:
            raise ValueError(f"{source}: competence {competence.id}: uses: no such row: {', '.join(unknown)}")
        borrowed = {row.id: row for name in competence.uses for row in known[name]}
        sheets[competence.id] = (*competence.rows, *borrowed.values())
    return Referential(pack, sheets)
