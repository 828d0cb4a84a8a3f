"""A candidate's subject: the lab's template with the candidate's values, as Markdown and as a printable page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labs import diagram
from labs.errors import InputError
from labs.page import escape, french, page
from labs.paths import CATALOGUE
from labs.sessionfiles import SessionFiles, write_private
from labs.variants import render, template_environment

if TYPE_CHECKING:
    from labs.bench import Bench

Language = Literal["fr", "en"]
NAMES: dict[Language, str] = {"fr": "sujet", "en": "subject"}
FIGURE = "PLATEAU-TOPOLOGY"


def write(bench: Bench, files: SessionFiles) -> list[Path]:
    """Write the subject in every language the lab has, under access/<candidate>/; return the files."""
    folder = files.access / bench.candidate.id
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for language, name in NAMES.items():
        if not template_path(bench, language).is_file():
            continue
        for path, content in (
            (folder / f"{name}.md", markdown(bench, language)),
            (folder / f"{name}.html", html_page(bench, language)),
        ):
            write_private(path, content.encode(), mode=0o644)
            written.append(path)
    return written


def markdown(bench: Bench, language: Language = "fr") -> str:
    """The subject as Markdown, its diagram drawn with characters."""
    drawing = diagram.text(bench.session.lab, language, addresses(bench))
    return _rendered(bench, language, f"```text\n{drawing}\n```")


def html_page(bench: Bench, language: Language = "fr") -> str:
    """The subject as one self-contained page."""
    drawing = diagram.svg(bench.session.lab, language, addresses(bench))
    return page(_rendered(bench, language, FIGURE), language, {FIGURE: drawing})


def addresses(bench: Bench) -> dict[tuple[str, str], str]:
    """What the lab's addresses.yaml tells of (node, segment); empty when it has none."""
    path = lab_folder(bench) / "addresses.yaml"
    if not path.is_file():
        return {}
    return {
        (str(node), str(segment)): render(str(template), bench.values)
        for node, segments in read_addresses(path).items()
        for segment, template in segments.items()
    }


def read_addresses(path: Path) -> Any:
    """addresses.yaml: machine -> segment -> address. Raises InputError naming the line that is not so."""
    from labs.models.loader import line_of, read_yaml

    data: Any = read_yaml(path) or {}
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be machines, with their segments and addresses under each")
    for node, segments in data.items():
        if not isinstance(segments, dict):
            raise InputError(f"{path}:{line_of(data, [node])}: {node}: must hold segments, with an address each")
    return data


def lab_folder(bench: Bench) -> Path:
    return CATALOGUE / bench.session.lab.name


def template_path(bench: Bench, language: Language) -> Path:
    return lab_folder(bench) / f"subject.{language}.md.j2"


def context(bench: Bench, language: Language, drawing: str) -> dict[str, Any]:
    """What a subject's template sees: the values, the machines, and the lab's own texts.

    `number` has the tasks that are worked on, numbered from 1: in a training version, `"dhcp" in number` tells whether
    that part is in its subject.
    """
    lab, training = bench.session.lab, bench.session.training
    return {
        **bench.variables,
        "candidate": {"id": bench.candidate.id, "name": escape(bench.candidate.name)},
        "session": {"title": escape(bench.session.file.title), "mode": bench.session.file.mode},
        "lab": {"name": lab.name, "title": lab.title[language], "summary": lab.summary[language]},
        "nodes": [{"name": node.name, "title": node.title[language]} for node in lab.graded_nodes],
        "training": {"id": training.id, "title": training.title[language]} if training else None,
        "number": {task.id: number for number, task in enumerate(lab.tasks, 1)},
        "tasks": [{"title": task.title[language], "points": f"{lab.task_points(task):g}"} for task in lab.tasks],
        "task_points": {task.id: f"{lab.task_points(task):g}" for task in lab.tasks},
        "points": f"{lab.points:g}",
        "duration": duration(lab.duration_minutes),
        "diagram": drawing,
    }


def duration(minutes: int) -> str:
    """A length of time as people write it, the same in both languages.

    >>> duration(210), duration(60), duration(45)
    ('3 h 30', '1 h', '45 min')
    """
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest:02d}" if rest else f"{hours} h"


def _rendered(bench: Bench, language: Language, drawing: str) -> str:
    from jinja2 import TemplateError

    path = template_path(bench, language)
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the lab has no subject in {language!r}") from None
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 ({problem.reason} at byte {problem.start}); save it as UTF-8") from None
    try:
        text = template_environment().from_string(source).render(context(bench, language, drawing))
    except (TemplateError, ValueError, TypeError) as problem:
        line = getattr(problem, "lineno", None)
        raise InputError(f"{path}{f':{line}' if line else ''}: cannot be rendered: {problem}") from None
    text = re.sub(r"\n{3,}", "\n\n", text)
    return french(text) if language == "fr" else text
