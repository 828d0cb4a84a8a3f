"""The plan of a lab: the commands that its checks ask of each node, recorded while the solution is graded.

Values of the candidate are written as `{{name}}`, so that the plan recorded on one bench serves every other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graders.engine.command import SECONDS, SHELL, Command
from labs.errors import InputError

NAME = "plan.json"
SHORTEST = 4
"""A value of fewer characters (a number, a prefix) is too likely to be something else."""
SLOT = re.compile(r"\{\{(\w+)\}\}")


def load(folder: Path, values: Mapping[str, Any]) -> dict[str, list[Command]]:
    """Node -> commands, for one candidate; empty when the lab has no plan. Raises InputError when it is not one."""
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {
            node: [Command(_fill(one["run"], values), one.get("seconds", SECONDS), one.get("trusted", False),
                           one.get("language", SHELL))
                   for one in commands if set(SLOT.findall(one["run"])) <= set(values)]
            for node, commands in data.items()
        }  # fmt: skip
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise InputError(f"{path}: not a plan ({problem}); delete it, and grade with --record-plan") from None


def save(folder: Path, asked: Mapping[str, Iterable[Command]], values: Mapping[str, Any]) -> Path:
    """Write the plan of a lab, in an order that does not depend on the run."""
    data = {}
    for node, commands in sorted(asked.items()):
        lines = {}
        for one in commands:
            line: dict[str, Any] = {"run": _slots(one.text, values)}
            if one.seconds != SECONDS:
                line["seconds"] = one.seconds
            if one.trusted:
                line["trusted"] = True
            if one.language != SHELL:
                line["language"] = one.language
            lines[json.dumps(line)] = line
        data[node] = [lines[key] for key in sorted(lines)]
    path = folder / NAME
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _fill(text: str, values: Mapping[str, Any]) -> str:
    return SLOT.sub(lambda slot: str(values[slot[1]]), text)


def _slots(text: str, values: Mapping[str, Any]) -> str:
    """The command with the candidate's values as slots, the longest first.

    >>> _slots("getent hosts www.agence.test", {"domaine": "agence.test", "court": "ag"})
    'getent hosts www.{{domaine}}'
    """
    found = {str(value): name for name, value in values.items() if isinstance(value, str | int)}
    known = sorted((value for value in found if len(value) >= SHORTEST), key=lambda value: (-len(value), value))
    if not known:
        return text
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in known))
    return pattern.sub(lambda match: f"{{{{{found[match[0]]}}}}}", text)
