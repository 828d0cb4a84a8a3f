"""What can be told of the playbooks for Windows machines without one: run by `nox -s windows`, in its environment.

Every option of a module is one that its documentation names, with its choices, none that is required is missing; every
script named is there; every PowerShell of the project parses, by a grammar that is not Microsoft's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tree_sitter
import tree_sitter_powershell
import yaml

ROOT = Path(__file__).resolve().parent.parent
ROLES = sorted((ROOT / "playbooks" / "roles").glob("annuaire_windows_*"))
COLLECTIONS = ("ansible.windows.", "microsoft.ad.")
SLOT = re.compile(r"\{\{.*?\}\}|@[A-Z]+@")
EXPRESSION = "1"


def main() -> int:
    """Print one line a problem; 0 when there is none."""
    scripts = [*ROOT.glob("labs/**/*.ps1*"), *ROOT.glob("graders/**/*.ps1"), *ROOT.glob("playbooks/roles/**/*.ps1")]
    work = [(path, task) for role in ROLES for path in sorted(role.glob("*/*.yml")) for task in tasks_of(path)]
    problems = [*unparsed(scripts), *misused(work)]
    for problem in problems:
        print(problem)
    print(f"{len(scripts)} scripts, {len(work)} tasks, {len(problems)} problems")
    return 1 if problems or not scripts or not work else 0


def unparsed(scripts: list[Path]) -> Iterator[str]:
    """Scripts that are no PowerShell, with their line."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    for path in scripts:
        text = SLOT.sub(EXPRESSION, path.read_text(encoding="utf-8"))
        for node in errors(parser.parse(text.encode()).root_node):
            yield f"{path.relative_to(ROOT)}:{node.start_point[0] + 1}: does not parse"


def errors(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """The first places of a tree that the grammar does not know."""
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from errors(child)


def tasks_of(path: Path) -> list[dict[str, Any]]:
    """The tasks of a file, those of blocks too; a file of variables has none."""
    found = []
    left = yaml.safe_load(path.read_text(encoding="utf-8"))
    left = list(left) if isinstance(left, list) else []
    while left:
        task = left.pop()
        left += task.get("block", [])
        found.append(task)
    return found


def misused(work: list[tuple[Path, dict[str, Any]]]) -> Iterator[str]:
    """Options that are not what the modules' documentation says, and scripts that are not there."""
    uses = [(path, name, task[name]) for path, task in work for name in task if name.startswith(COLLECTIONS)]
    known = documented(sorted({name for _, name, _ in uses}))
    common = {name for _, task in work for group in task.get("module_defaults", {}).values() for name in group}
    for path, name, given in uses:
        where, options = f"{path.relative_to(ROOT)}: {name}", known[name]
        for option, value in given.items():
            if option not in options:
                yield f"{where}: has no option {option}"
            elif (choices := options[option].get("choices")) and "{{" not in str(value) and value not in choices:
                yield f"{where}: {option}: {value!r} is none of {choices}"
        for option, about in options.items():
            if about.get("required") and option not in given:
                yield f"{where}: wants {option}"
        if name.endswith(".win_powershell") and not (path.parent.parent / "files" / given["path"]).is_file():
            yield f"{where}: no script {given['path']} in files/"
        if name.startswith("microsoft.ad.") and (strange := common - set(options)) and "identity" in options:
            yield f"{where}: module_defaults: has no option {', '.join(sorted(strange))}"


def documented(modules: list[str]) -> dict[str, dict[str, Any]]:
    """Module -> its options."""
    program = Path(sys.executable).with_name("ansible-doc")
    answer = subprocess.run([program, "--json", *modules], capture_output=True, text=True, check=True)
    return {name: told["doc"]["options"] for name, told in json.loads(answer.stdout).items()}


if __name__ == "__main__":
    sys.exit(main())
