"""Sent to a candidate's machine: the runs of a script that creates folders, and what each left there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
from typing import Any

from graders.remote_launch import attempt, pace

PLACE = "/srv"
HIDE = """
kept=/run/controle-$$.tar
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then
    find "$1" -xdev -type d -print0 | tar -cPf "$kept" --no-recursion --null -T - &&
      mount -t tmpfs tmpfs "$1" && tar -xpPf "$kept" || exit
    rm "$kept"
  fi
  shift
done
shift
exec "$@"
"""
"""Folders, `--`, then a program that sees no file in them, and the same folders (unshare(1))."""


def tree(root: str) -> dict[str, str]:
    """Folders with their rights, files with their first characters."""
    found = {}
    for folder, _, files in os.walk(root):
        name = os.path.relpath(folder, root)
        if name != ".":
            found[name + "/"] = f"{os.stat(folder).st_mode & 0o777:o}"
        for file in files:
            path = os.path.join(folder, file)
            with open(path, encoding="utf-8", errors="replace") as stream:
                found[os.path.normpath(os.path.join(name, file))] = stream.read(200)
    return found


def known(account: str) -> str | None:
    """The account that runs a program (None: root), or nobody's where the machine does not have it."""
    try:
        return pwd.getpwnam(account).pw_name if account else None
    except KeyError:
        return "nobody"


def trial(script: str, run: dict[str, Any], place: str) -> dict[str, Any]:
    """One run, in a folder of its own under `place`."""

    def others() -> set[str]:
        return {name for name in tree(place) if not os.path.join(place, name).startswith(root)}

    source, root = os.path.join(place, run["name"] + ".csv"), os.path.join(place, "dossiers", run["root"])
    if run["text"] is not None:
        with open(source, "w", encoding="utf-8") as stream:
            stream.write(run["text"])
        os.chmod(source, 0o600 if run["account"] else 0o644)
    os.makedirs(root, exist_ok=True)
    for folder in run["used"]:
        if os.path.isdir(os.path.join(root, folder)):
            for name in ("rapport.txt", "LISEZMOI.txt"):
                with open(os.path.join(root, folder, name), "a", encoding="utf-8") as stream:
                    stream.write("travail\n")
    before, start = others(), tree(root)
    command = [script, *run["options"], source, root]
    if run["hidden"]:
        command = ["unshare", "--mount", "/bin/sh", "-c", HIDE, "sh", *run["hidden"], "--", *command]
    status, out, err, late = attempt(command, run["seconds"], place, known(run["account"]))
    return {"status": status, "out": out[-4000:], "err": err[-600:], "tree": tree(root), "start": start,
            "strays": sorted(others() - before), "pace": pace() if late else 0.0}  # fmt: skip


def main(text: str) -> None:
    """`text`: {"script": path, "runs": […]}. Prints what each run gave, in JSON."""
    asked = json.loads(text)
    os.umask(0o022)  # as the folders of an export are: ours is stricter
    place = os.path.realpath(tempfile.mkdtemp(prefix="controle-", dir=PLACE))
    os.chmod(place, 0o755)
    try:
        told = [trial(asked["script"], run, place) for run in asked["runs"]]
    finally:
        shutil.rmtree(place)
    print(json.dumps(told))
