"""labs, lab show, lab check, schema: the catalogue and its authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from labs.cli.options import JsonOption, LangOption
from labs.errors import InputError

if TYPE_CHECKING:
    from labs.models.lab import Lab

lab = typer.Typer(help="One lab of the catalogue.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("labs")(labs)
    app.command()(schema)
    app.add_typer(lab, name="lab")


def labs(json: JsonOption = False, lang: LangOption = "fr") -> None:
    """The catalogue: every lab with its title, machines and points."""
    from labs.cli.output import out, print_json, table
    from labs.models.lab import lab_names, load_lab
    from labs.validity import proven_version

    found = [load_lab(name) for name in lab_names()]
    if json:
        print_json([_data(one) for one in found])
        return
    shown = table("Lab", "Version", "Proven", "Title", "Machines", "Points", "Time", "Training versions")
    for one in found:
        nodes = ", ".join(node.name for node in one.nodes)
        title = one.title.get("fr" if lang == "fr" else "en", one.name)
        versions = ", ".join(training.id for training in one.trainings)
        version = f"{one.version} (draft)" if one.draft else one.version
        proven = proven_version(one.name) or "–"
        time = f"{one.duration_minutes} min"
        shown.add_row(one.name, version, proven, title, nodes, f"{one.points:g}", time, versions)
    out.print(shown)


@lab.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="LAB")], json: JsonOption = False, lang: LangOption = "fr"
) -> None:
    """A lab's diagram, tasks, points and training versions."""
    from labs import diagram
    from labs.cli.output import out, print_json, table
    from labs.models.lab import load_lab
    from labs.models.training import cut_down
    from labs.validity import unproven

    found = load_lab(name)
    if json:
        print_json(_data(found))
        return
    language = _language(lang)
    out.print(f"[bold]{found.title[language]}[/] ({found.name} {found.version}, {found.duration_minutes} min)")
    if found.draft:
        out.print("[yellow]draft[/]: its checks were not proven on machines yet; no exam is held with it")
    elif told := unproven(found):
        out.print(f"[yellow]{told}[/]", soft_wrap=True)
    if found.templates:
        out.print(f"on Proxmox VE only, where a profile names templates {', '.join(found.templates)}")
    out.print(found.summary[language])
    if found.preparation:
        out.print(f"prepared by {found.preparation}")
    out.print()
    out.print(diagram.text(found, language), markup=False)
    shown = table("Task", "", "Checks", "Points")
    for task in found.tasks:
        shown.add_row(task.id, task.title[language], ", ".join(task.checks), f"{found.task_points(task):g}")
    shown.add_row("", "", "", f"[bold]{found.points:g}[/]")
    out.print(shown)
    if found.trainings:
        versions = table("Training version", "", "Tasks", "Points", "Time", "Prepared by")
        for training in found.trainings:
            left = cut_down(found, training)
            tasks = ", ".join(task.id for task in left.tasks)
            minutes = f"{training.duration_minutes} min"
            prepared = training.preparation or found.preparation or ""
            versions.add_row(training.id, training.title[language], tasks, f"{left.points:g}", minutes, prepared)
        out.print(versions)


@lab.command("check")
def check(path: Annotated[Path, typer.Argument(metavar="PATH", help="A lab's folder, or its lab.yaml.")]) -> None:
    """Validate an author's files: model, values for several candidates, templates, playbook, checks."""
    from labs.cli.output import out
    from labs.labcheck import check_lab

    file = path / "lab.yaml" if path.is_dir() else path
    found = check_lab(file)
    out.print(f"{file}: well formed; {len(found.nodes)} machines, {len(found.tasks)} tasks, {found.points:g} points")


def schema(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="lab, session, profile or referential.")],
) -> None:
    """The JSON Schema of a file, for completion and checking in an editor."""
    from pydantic import TypeAdapter

    from graders.referentials import Pack
    from labs.cli.output import print_json
    from labs.models.lab import Lab
    from labs.models.profile import AnyProfile
    from labs.models.session import SessionFile

    models: dict[str, Any] = {"lab": Lab, "session": SessionFile, "profile": AnyProfile, "referential": Pack}
    if model not in models:
        raise InputError(f"no model {model!r}; known: {', '.join(models)}")
    print_json(TypeAdapter(models[model]).json_schema())


def _data(lab: Lab) -> dict[str, Any]:
    from labs.validity import proven_version

    return {**lab.model_dump(mode="json"), "points": lab.points, "proven": proven_version(lab.name)}


def _language(lang: str) -> Literal["fr", "en"]:
    if lang == "fr":
        return "fr"
    if lang == "en":
        return "en"
    raise InputError(f"--lang {lang}: must be fr or en")
