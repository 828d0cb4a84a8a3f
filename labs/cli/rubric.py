"""rubric: the forms in which people mark what no machine can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import CandidateOption, JsonOption, SessionArg
from labs.errors import InputError

if TYPE_CHECKING:
    from graders.rubric import Rubric


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(rubric)


def rubric(
    session: SessionArg,
    candidate: CandidateOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Evidence of this run; the newest by default.")] = None,
    graded: Annotated[
        bool, typer.Option("--graded", help="Only rows of the competences that were graded, and the transversal ones.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write each candidate's form (YAML and spreadsheet), or complete it; what a person typed is never changed."""
    from graders import referentials
    from graders.report import aggregate
    from graders.rubric import Rubric, forms, spreadsheet
    from labs.cli.output import out, print_json, table
    from labs.cli.runs import open_run
    from labs.models.loader import load
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    loaded = load_session(session)
    chosen = [one.id for one in loaded.select(candidate)]
    files = SessionFiles(loaded.folder)
    _, found = open_run(loaded, run, chosen if candidate else None)
    try:
        referential = referentials.load(found.header.referential)
    except ValueError as problem:
        raise InputError(str(problem)) from None
    written: list[dict[str, Any]] = []
    for one in aggregate.build(found).candidates:
        name = one.bench.candidate
        if name not in chosen:
            continue
        form, grid = files.marks / f"{name}.yaml", files.marks / f"{name}.xlsx"
        forms.write(form, one, loaded.name, referential, not graded)
        joined = spreadsheet.read_into(grid, form) if grid.exists() else 0
        marks = load(form, Rubric)
        spreadsheet.write(grid, marks)
        written.append(_state(name, form, grid, joined, marks))
    if json:
        print_json(written)
        return
    shown = table("Candidate", "Marked", "Opinions", "Overrides", "From the spreadsheet", "Form")
    for line in written:
        marked = f"{line['marked']} / {line['rows']}"
        counts = (str(line[key]) for key in ("opinions", "overrides", "joined"))
        shown.add_row(line["candidate"], marked, *counts, line["form"])
    out.print(shown)


def _state(name: str, form: Path, grid: Path, joined: int, marks: Rubric) -> dict[str, Any]:
    return {
        "candidate": name,
        "form": str(form),
        "spreadsheet": str(grid),
        "rows": len(marks.rows),
        "marked": sum(mark.level is not None for mark in marks.rows.values()),
        "opinions": sum(opinion.satisfied is not None for opinion in marks.competences.values()),
        "overrides": len(marks.overrides),
        "joined": joined,
    }
