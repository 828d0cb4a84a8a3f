"""Render a role's tree/ on the controller and ship all of it in one module call.

A task costs 2 to 4 seconds on an emulated machine: one task for a whole machine instead of one for each file.
See library/plateau_tree.py for what it does there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

OPTIONS = {"tree", "remove", "services", "stopped"}


class ActionModule(ActionBase):
    """`tree/etc/foo.conf.j2` becomes /etc/foo.conf with the host's variables; other files are taken as they are."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(OPTIONS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise AnsibleActionFail(f"plateau_tree: unknown option {unknown[0]!r}; known: {', '.join(sorted(OPTIONS))}")
        name = options.pop("tree", "tree")
        folder = Path(self._task._role._role_path if self._task._role else self._loader.get_basedir()) / name
        files = self._render(folder) if folder.is_dir() else {}
        if not files and "tree" in self._task.args:
            raise AnsibleActionFail(f"plateau_tree: {folder}: no such folder, or nothing in it")
        arguments = {**options, "files": files}
        result.update(self._execute_module("plateau_tree", module_args=arguments, task_vars=task_vars))
        return result

    def _render(self, folder: Path) -> dict[str, dict[str, str]]:
        files = {}
        for source in sorted(path for path in folder.rglob("*") if path.is_file()):
            text = source.read_text(encoding="utf-8")
            target = "/" + str(source.relative_to(folder))
            if target.endswith(".j2"):
                target = target.removesuffix(".j2")
                try:
                    text = self._templar.template(trust_as_template(text), convert_data=False)
                except Exception as problem:
                    raise AnsibleActionFail(f"{source}: {problem}") from problem
            mode = "0755" if source.stat().st_mode & 0o100 else "0644"
            files[target] = {"content": text, "mode": mode}
        return files
