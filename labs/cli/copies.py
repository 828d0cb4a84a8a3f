"""copies: one candidate's tokens and names, seen on another's machines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labs.cli.options import JsonOption, SessionArg

if TYPE_CHECKING:
    from graders.copies import Likeness
    from labs.models.session import Session

TEXTS = {".jsonl", ".json", ".txt", ".log"}


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(copies)


def copies(
    session: SessionArg,
    run: Annotated[str | None, typer.Option("--run", help="Name of the run's folder; the newest by default.")] = None,
    json: JsonOption = False,
) -> None:
    """Signs of copying, for the trainer to look into. Exit status 1: there are some."""
    from labs.cli.output import out, plain, print_json, table
    from labs.cli.runs import find_run
    from labs.models.session import load_session

    loaded = load_session(session)
    found = likenesses(loaded, find_run(loaded, run))
    if json:
        print_json([dataclasses.asdict(one) for one in found])
    elif not found:
        out.print("nothing of a candidate's variant was seen at another's")
    else:
        shown = table("Seen at", "Belongs to", "Value", "", "Where")
        for one in found:
            cells = (one.candidate, one.owner, one.name, one.value, ", ".join(one.places[:6]))
            shown.add_row(*(plain(cell) for cell in cells))
        out.print(shown)
    if found:
        raise typer.Exit(1)


def likenesses(session: Session, folder: Path) -> list[Likeness]:
    """What a run holds of one candidate's variant at another's: in records, and in the files collected from them."""
    from graders.copies import find
    from graders.dossier.collect import owner
    from labs.bench import compute_benches
    from labs.cli.runs import RECORDS, load_run

    names = [one.id for one in session.candidates]
    files: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        who = owner(name, names)
        if who and path.suffix in TEXTS and path.name != RECORDS and path.is_file():
            files.setdefault(who, []).append((name, path.read_text(encoding="utf-8", errors="replace")))
    return find(load_run(folder), {one.candidate.id: one.values for one in compute_benches(session)}, files)
