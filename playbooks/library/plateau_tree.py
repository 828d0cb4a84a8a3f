#!/usr/bin/python3
"""Put a set of files in place and bring services in line with them, in one call."""

from __future__ import annotations

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: plateau_tree
short_description: A machine's files and services in one task
description:
  - Writes the files of the role's C(tree/) folder (rendered on the controller when they end in C(.j2)), each only when
    its content or mode differs, then enables and starts services; a service restarts only when a file it reads changed.
options:
  tree: {description: Folder beside tasks/ that mirrors the machine's root., type: str, default: tree}
  remove: {description: Files or empty folders that must not be there., type: list, elements: str, default: []}
  services:
    description: Units to enable and start, in this order, each with the paths (files, or folders) it reads.
    type: dict
    default: {}
  stopped: {description: Units to stop and disable., type: list, elements: str, default: []}
"""

EXAMPLES = """
- name: Router
  plateau_tree:
    services:
      systemd-networkd: [/etc/systemd/network]
      nftables: [/etc/nftables.conf]
    stopped: [frr]
"""


def main() -> None:
    """Files first, then services; the module says what it changed and restarted."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "default": {}},
            "remove": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "dict", "default": {}},
            "stopped": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    dry = module.check_mode
    wanted = module.params["files"]
    changed = [path for path, file in wanted.items() if put(path, file["content"], int(file["mode"], 8), dry)]
    changed += [path for path in module.params["remove"] if remove(path, dry)]
    done = []
    try:
        if changed and not dry:
            systemctl("daemon-reload")
        for unit in module.params["stopped"]:
            done += stop(unit, dry)
        for unit, paths in module.params["services"].items():
            touched = any(path == read or path.startswith(read.rstrip("/") + "/") for path in changed for read in paths)
            done += bring(unit, touched, dry)
    except subprocess.CalledProcessError as problem:
        module.fail_json(
            msg=f"{' '.join(problem.cmd)}: {(problem.stderr or problem.stdout).strip()}", files=changed, services=done
        )
    module.exit_json(changed=bool(changed or done), files=changed, services=done)


def put(path: str, content: str, mode: int, dry: bool) -> bool:
    """Write `path` atomically unless it is already so; a symbolic link is replaced by a file."""
    data = content.encode()
    try:
        with open(path, "rb") as stream:
            same = stream.read() == data and not os.path.islink(path)
        same = same and os.stat(path).st_mode & 0o7777 == mode
    except OSError:
        same = False
    if same or dry:
        return not same
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.plateau"
    with open(temporary, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
    os.replace(temporary, path)
    return True


def remove(path: str, dry: bool) -> bool:
    """Delete a file, a link or an empty folder; False when it was not there."""
    if not os.path.lexists(path):
        return False
    if not dry:
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    return True


def stop(unit: str, dry: bool) -> list[str]:
    """Stop and disable a unit if it exists."""
    if show(unit)["LoadState"] == "not-found" or (not active(unit) and not enabled(unit)):
        return []
    if not dry:
        systemctl("disable", "--now", unit)
    return [f"{unit}: stopped"]


def bring(unit: str, touched: bool, dry: bool) -> list[str]:
    """Enable a unit, and start it, or restart it when what it reads changed."""
    done = []
    if not enabled(unit):
        done.append(f"{unit}: enabled")
        if not dry:
            systemctl("enable", unit)
    running = active(unit)
    if touched or not running:
        done.append(f"{unit}: {'restarted' if running else 'started'}")
        if not dry:
            systemctl("reset-failed", unit, check=False)
            systemctl("restart", unit)
    return done


def enabled(unit: str) -> bool:
    """Whether the unit starts at boot (static units have nothing to enable)."""
    state = show(unit)["UnitFileState"]
    return state in {"enabled", "static", "generated", "alias", "indirect"}


def active(unit: str) -> bool:
    """Whether the unit runs now."""
    return show(unit)["ActiveState"] == "active"


def show(unit: str) -> dict[str, str]:
    """The properties of a unit that decide."""
    text = systemctl("show", "--property=LoadState,UnitFileState,ActiveState", unit)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl; raises CalledProcessError with its words when it fails."""
    command = ["systemctl", *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=100).stdout


if __name__ == "__main__":
    main()
