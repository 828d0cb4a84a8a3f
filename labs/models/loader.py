"""YAML to validated models, with errors that name the file, the line and the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labs.errors import InputError

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Base of every model read from a file: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_WORDS: dict[str, str] = {}


def worded(pattern: str, words: str) -> Any:
    """A text that must match `pattern`; `words` say to a person what that means."""
    _WORDS[pattern] = words
    return Field(pattern=pattern, description=words)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file, keeping line numbers. Raises InputError with file and line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read ({problem})") from None
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {problem.problem or problem.context}") from None
    except YAMLError as problem:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(problem).split())}") from None


def load(path: Path, model: type[M]) -> M:
    """Read `path` as a `model`. Raises InputError naming file, line and field of the first problem."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}:1: expected keys and values, found {_shape(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as problems:
        raise InputError("\n".join(describe(path, data, problem) for problem in problems.errors()[:5])) from None


def describe(path: Path, data: Any, problem: Any) -> str:
    """One line for one pydantic error: `file:line: field: what is wrong`."""
    loc = [part for part in problem["loc"] if not _is_union_tag(part)]
    line = line_of(data, loc)
    field = ".".join(str(part) for part in loc) or "(file)"
    return f"{path}:{line}: {field}: {complaint(problem)}"


def complaint(problem: Any) -> str:
    """What one pydantic error says is wrong, with what was found."""
    if problem["type"] == "extra_forbidden":
        return "unknown key; check the spelling"
    if problem["type"] == "missing":
        return "missing; add this key"
    value = problem.get("input")
    shown = isinstance(value, str | int | float) and not isinstance(value, bool)
    words = _WORDS.get(str(problem.get("ctx", {}).get("pattern"))) or str(problem["msg"]).removeprefix("Value error, ")
    return words + (f" (found {value!r})" if shown else "")


def line_of(data: Any, loc: list[Any]) -> int:
    """The line (from 1) of the field at `loc`, or of its nearest parent that has one."""
    line = 1
    node = data
    for part in loc:
        position = getattr(node, "lc", None)
        try:
            if isinstance(node, dict) and part in node:
                line = position.value(part)[0] + 1 if position else line
                line = position.key(part)[0] + 1 if position else line
                node = node[part]
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                line = position.item(part)[0] + 1 if position else line
                node = node[part]
            else:
                break
        except (KeyError, AttributeError, TypeError):
            break
    return line


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and (part in {"str", "int"} or "[" in part)


def _shape(data: Any) -> str:
    return "nothing" if data is None else f"a {type(data).__name__}"
