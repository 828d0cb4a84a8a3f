"""The form that a person fills, as YAML: written once, then only completed. What was typed is never touched."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from graders.referentials import Referential, Row
from graders.report.aggregate import CandidateResult
from graders.report.messages import Messages
from graders.report.text import short, visible
from labs.errors import InputError
from labs.models.loader import line_of, read_yaml
from labs.sessionfiles import write_private

HEAD = """\
Grille d'évaluation humaine. À remplir : level, comment ; et, si besoin, evaluator et date d'une ligne.
  level : 1 insuffisant, 2 fragile, 3 satisfaisant, 4 très satisfaisant ; vide tant que rien n'est évalué.
  comment : entre guillemets dès que le texte contient « : » ou commence par un signe.
  competences, satisfied : oui ou non, l'avis de l'évaluateur sur l'ensemble des critères.
  overrides : pour s'écarter d'un verdict de la machine, avec un motif ; les deux restent visibles :
    - {check: CP06-S1.a, phase: live, verdict: passed, reason: "…", evaluator: "…", date: 2026-11-23}
Les champs title, class et observed sont récrits à chaque `plateau rubric` ; le reste ne l'est jamais.
"""
TYPED_ROW = ("level", "comment", "evaluator", "date")
TYPED_OPINION = ("satisfied", "comment", "evaluator", "date")


def human_rows(referential: Referential, competences: Iterable[str]) -> list[Row]:
    """The rows that a person must mark: those of the competences, and the transversal ones."""
    wanted = set(competences)
    rows = {row.id: row for one, sheet in referential.sheets.items() if one in wanted for row in sheet if row.human}
    return [*rows.values(), *(row for row in referential.pack.transversal if row.human)]


def write(path: Path, candidate: CandidateResult, session: str, referential: Referential, every: bool) -> None:
    """Write the form, or complete the one that is there with rows and evidence it lacks. Comments are kept.

    Raises InputError when the file is there and is not YAML.
    """
    form: Any = _typed(path) if path.exists() else CommentedMap()
    if not path.exists():
        form.yaml_set_start_comment(HEAD)
    _keep(form, {"candidate": candidate.bench.candidate, "name": visible(candidate.bench.name)})
    _keep(form, {"session": session, "referential": referential.id, "evaluator": None, "date": None})
    touched = [one for one in referential.sheets if every or _observed(one, referential, candidate)]
    rows = form.setdefault("rows", CommentedMap())
    for row in human_rows(referential, touched):
        entry = rows.setdefault(row.id, CommentedMap())
        entry["title"] = row.title.fr
        entry["class"] = row.row_class
        entry["observed"] = CommentedSeq(evidence(candidate, row.id))
        _keep(entry, dict.fromkeys(TYPED_ROW))
    opinions = form.setdefault("competences", CommentedMap())
    titles = {one.id: one.title.fr for one in referential.competences}
    for name in touched:
        entry = opinions.setdefault(name, CommentedMap())
        entry["title"] = titles[name]
        _keep(entry, dict.fromkeys(TYPED_OPINION))
    _keep(form, {"overrides": CommentedSeq()})
    save(path, form)


def _typed(path: Path) -> Any:
    """The form as people left it. Raises InputError, naming the line, when its parts are not what they must be."""
    form: Any = read_yaml(path)
    if not isinstance(form, dict):
        raise InputError(f"{path}: not a form of marks; delete it, and `plateau rubric` writes it again")
    for part in ("rows", "competences"):
        entries = form.setdefault(part, CommentedMap())
        if not isinstance(entries, dict):
            raise InputError(f"{path}:{line_of(form, [part])}: {part}: must hold one entry a line, each with its name")
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                where = f"{path}:{line_of(form, [part, name])}"
                raise InputError(f"{where}: {part}.{name}: must hold its fields; take it out, and it is written again")
    return form


def save(path: Path, form: Any) -> None:
    """Replace the file whole; readable by its owner only: it holds opinions about a person."""
    out = io.StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 4096
    yaml.allow_unicode = True
    yaml.dump(form, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, out.getvalue().encode())


def evidence(candidate: CandidateResult, row: str) -> list[str]:
    """What the machine has to say about a row, one line a check."""
    messages = Messages("fr")
    found: Sequence[Any] = [one for c in candidate.competences for one in c.rows if one.id == row]
    return [
        visible(
            f"{record.check} ({record.phase}) {messages(record.verdict.value).lower()}"
            f"{' : ' + short(record.message, 300) if record.message else ''}"
        )
        for result in found
        for record in result.records
    ]


def _observed(competence: str, referential: Referential, candidate: CandidateResult) -> bool:
    measured = {row.id for one in candidate.competences for row in one.rows}
    return any(row.id in measured for row in referential.sheets[competence])


def _keep(form: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        form.setdefault(key, value)
