"""Put a machine's files in place and bring its services in line with them, in one task and one round trip.

Files come from the role's tree/ folder, which mirrors the machine's root: `tree/etc/foo.conf.j2` becomes /etc/foo.conf,
rendered with the host's variables; files without `.j2` are taken as they are. Each is written only when its content or
mode differs. A service is started when it does not run, and restarted when a file that it reads changed.

    - name: Router
      plateau_tree:
        services:                         # units to enable and start, each with the paths (files, folders) it reads
          systemd-networkd: [/etc/systemd/network]
          nftables: [/etc/nftables.conf]
        reload: [systemd-networkd]        # those of them that reload instead of restarting
        first: [networking]               # those of them that the others need: started before them
        stopped: [frr]                    # units to stop and disable
        remove: [/etc/dnsmasq.d/old.conf] # files or empty folders that must not be there
        packages: [unbound]               # Debian packages to install first, from the machine's own sources

What runs there is remote/plateau_tree.py, alone: an ordinary Ansible module is some forty files that an emulated machine
takes 8 s to unpack and compile, for each task; this takes 1 s.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

PROGRAM = Path(__file__).resolve().parents[2] / "remote" / "plateau_tree.py"
OPTIONS: dict[str, type] = {
    "tree": str,
    "packages": list,
    "remove": list,
    "services": dict,
    "reload": list,
    "first": list,
    "stopped": list,
}


class ActionModule(ActionBase):
    """The task `plateau_tree`."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        for name, value in options.items():
            if name not in OPTIONS:
                raise AnsibleActionFail(f"plateau_tree: unknown option {name!r}; known: {', '.join(OPTIONS)}")
            if not isinstance(value, OPTIONS[name]):
                raise AnsibleActionFail(f"plateau_tree: {name} must be a {OPTIONS[name].__name__}")
        tree = options.pop("tree", "tree")
        folder = Path(self._task._role._role_path if self._task._role else self._loader.get_basedir()) / tree
        if "tree" in self._task.args and not folder.is_dir():
            raise AnsibleActionFail(f"plateau_tree: {folder}: no such folder")
        request = {**options, "files": self._render(folder), "check": self._task.check_mode}
        result.update(self._ask(request, task_vars or {}))
        return result

    def _render(self, folder: Path) -> dict[str, dict[str, str]]:
        files = {}
        for source in sorted(path for path in folder.rglob("*") if path.is_file()):
            text = source.read_text(encoding="utf-8")
            target = "/" + str(source.relative_to(folder))
            if target.endswith(".j2"):
                target = target.removesuffix(".j2")
                try:
                    text = str(self._templar.template(trust_as_template(text)))
                except Exception as problem:
                    raise AnsibleActionFail(f"{source}: {problem}") from problem
            files[target] = {"content": text, "mode": "0755" if source.stat().st_mode & 0o100 else "0644"}
        return files

    def _ask(self, request: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        interpreter = str(task_vars.get("ansible_python_interpreter", "/usr/bin/python3"))
        program = f"{PROGRAM.read_text(encoding='utf-8')}\nmain({json.dumps(request)!r})\n"
        command = f"{self._compute_environment_string()} {shlex.quote(interpreter)} -I -S -".strip()
        answer = self._low_level_execute_command(command, in_data=program.encode())
        try:
            return dict(json.loads(answer["stdout"]))
        except ValueError:
            words = " ".join((answer.get("stderr") or answer["stdout"]).split())
            return {"failed": True, "msg": f"no answer (status {answer['rc']}): {words[-400:]}"}
