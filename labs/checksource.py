"""The checks of graders/ as their source tells them, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from labs.paths import GRADERS


def graded_ids() -> dict[str, Path]:
    """Check id -> the file of graders/ that grades it."""
    return {check: path for check, path, _ in _decorated()}


def graded_needs() -> dict[str, set[str]]:
    """Check id -> the checks that it needs."""
    return {
        check: {one.value for keyword in call.keywords if keyword.arg == "needs"
                for one in ast.walk(keyword.value) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        for check, _, call in _decorated()
    }  # fmt: skip


def graded_after_reboot() -> dict[str, set[str]]:
    """Check id -> its machines, of those that are made again after a reboot."""
    found = {}
    for check, _, call in _decorated():
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if "phase" in given and ast.literal_eval(given["phase"]) == "reboot":
            found[check] = set(ast.literal_eval(given["nodes"])) if "nodes" in given else set()
    return found


def _decorated() -> Iterator[tuple[str, Path, ast.Call]]:
    """Every check's id, file and decorator."""
    for path in sorted(GRADERS.glob("*/check_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Name):
                    continue
                if decorator.func.id == "check" and decorator.args and isinstance(decorator.args[0], ast.Constant):
                    yield str(decorator.args[0].value), path, decorator
