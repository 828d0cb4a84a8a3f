"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

SessionArg = Annotated[str, typer.Argument(metavar="SESSION", help="A folder under inventories/, or a session.yaml.")]
CandidateArg = Annotated[str, typer.Argument(metavar="CANDIDATE", help="Id of the candidate.")]
NodeArg = Annotated[str, typer.Argument(metavar="NODE", help="Name of the machine, e.g. rtr.")]
CandidateOption = Annotated[
    list[str] | None, typer.Option("--candidate", "-c", metavar="ID", help="Only this candidate; may be repeated.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
LangOption = Annotated[str, typer.Option("--lang", help="Language of the documents: fr or en.")]
