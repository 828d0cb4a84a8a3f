"""referential list, show, coverage: the official texts as data, and what is graded of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import JsonOption, LangOption
from labs.errors import InputError

if TYPE_CHECKING:
    from graders.referentials import Referential

referential = typer.Typer(help="The official referentials, as data.", no_args_is_help=True)
NameArg = Annotated[str, typer.Argument(metavar="NAME", help="e.g. tssi-2013")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(referential, name="referential")


@referential.command("list")
def list_(json: JsonOption = False, lang: LangOption = "fr") -> None:
    """The referentials shipped, with their size."""
    from graders import referentials
    from labs.cli.output import out, print_json, table

    packs = [referentials.load(name) for name in referentials.names()]
    if json:
        print_json([{**_head(one, lang), "competences": len(one.competences), "rows": len(one.rows)} for one in packs])
        return
    shown = table("Name", "Title", "Competences", "Rows")
    for one in packs:
        shown.add_row(one.id, one.pack.title.get(lang), str(len(one.competences)), str(len(one.rows)))
    out.print(shown)


@referential.command("show")
def show(name: NameArg = "tssi-2013", json: JsonOption = False, lang: LangOption = "fr") -> None:
    """Activities, competences and rows; the class of a row says who judges it (P probe, A artefact, H person)."""
    from labs.cli.output import out, print_json, table

    found = _load(name)
    if json:
        print_json(
            {
                **found.pack.model_dump(mode="json", by_alias=True),
                "sheets": {key: [row.id for row in rows] for key, rows in found.sheets.items()},
            }
        )
        return
    out.print(f"[bold]{found.pack.title.get(lang)}[/] ({found.pack.code}, {found.pack.document} {found.pack.version})")
    for activity in found.pack.activities:
        out.print(f"\n[bold]{activity.id}  {activity.title.get(lang)}[/]")
        shown = table("", "Class", "")
        for competence in activity.competences:
            shown.add_row(f"[bold]{competence.id}[/]", "", f"[bold]{competence.title.get(lang)}[/]")
            for row in found.sheets[competence.id]:
                shown.add_row(f"  {row.id}", row.row_class, row.title.get(lang))
        out.print(shown)
    if found.pack.transversal:
        out.print()
        shown = table("", "Class", "")
        for row in found.pack.transversal:
            shown.add_row(row.id, row.row_class, row.title.get(lang))
        out.print(shown)


@referential.command("coverage")
def coverage(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="By default the lab's, or tssi-2013.")] = None,
    lab: Annotated[str | None, typer.Option("--lab", help="Only what this lab's sheet grades.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="One line a row, not only the counts.")] = False,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Which rows checks decide, which have no check yet, which only a person judges. Refuses checks outside them."""
    from graders import referentials
    from graders.referentials import coverage as counting
    from labs.checksource import graded_ids
    from labs.cli.output import out, print_json, table
    from labs.models.lab import load_lab

    sheet = load_lab(lab) if lab else None
    found = _load(name or (sheet.referential if sheet else "tssi-2013"))
    checks = [check for task in sheet.tasks for check in task.checks] if sheet else list(graded_ids())
    everywhere = {row for pack in map(referentials.load, referentials.names()) for row in pack.rows}
    known = found.rows if sheet and sheet.referential == found.id else everywhere
    if strangers := counting.outside(checks, known):
        where = f"lab {lab}: tasks" if lab else "graders/"
        raise InputError(f"{where}: {', '.join(strangers)}: no row of a referential; nothing outside it is graded")
    covered = counting.cover(found, checks, lang)
    if json:
        print_json({**_head(found, lang), "lab": lab, "competences": [_covered(one) for one in covered]})
        return
    statuses = list(counting.Status)
    shown = table("", "", "Rows", *(str(status) for status in statuses))
    for one in covered:
        counts = [f"{one.counts[status] or '·'}" for status in statuses]
        shown.add_row(one.id, one.title, str(len(one.rows)), *counts)
        for row in one.rows if rows else ():
            shown.add_row("", f"  {row.row.id} {row.row.title.get(lang)}", row.row.row_class, _words(row))
    distinct = {row.row.id: row.status for one in covered for row in one.rows}
    totals = [str(sum(status is one for one in distinct.values())) for status in statuses]
    shown.add_row("", "[bold]distinct rows[/]", f"[bold]{len(distinct)}[/]", *totals)
    out.print(shown)


def _words(row: Any) -> str:
    return ", ".join(row.checks) or str(row.status)


def _covered(one: Any) -> dict[str, Any]:
    return {
        "competence": one.id,
        "title": one.title,
        "counts": {str(status): number for status, number in one.counts.items()},
        "rows": [
            {"row": row.row.id, "class": row.row.row_class, "status": str(row.status), "checks": list(row.checks)}
            for row in one.rows
        ],
    }


def _head(found: Referential, lang: str) -> dict[str, Any]:
    pack = found.pack
    return {
        "id": pack.id,
        "code": pack.code,
        "document": pack.document,
        "version": pack.version,
        "date": pack.date.isoformat(),
        "title": pack.title.get(lang),
    }


def _load(name: str) -> Referential:
    from graders import referentials

    try:
        return referentials.load(name)
    except ValueError as problem:
        raise InputError(str(problem)) from None
