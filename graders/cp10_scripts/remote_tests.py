"""Sent to a candidate's machine: a test program is given programs, right and wrong, one after the other."""

from __future__ import annotations

import json
import os
from typing import Any

from graders.cp10_scripts.remote_journal import differing, everything, tell_apart
from graders.remote_launch import attempt, pace


def trial(tests: str, path: str, seconds: float, place: str) -> dict[str, Any]:
    """What the tests said of one program, and what they left behind."""
    before = everything([place])
    status, out, err, late = attempt([tests, path], seconds, place)
    left = differing(before, everything([place]))
    return {"status": status, "out": out[-1000:], "err": err[-600:], "left": left[:20], "pace": pace() if late else 0.0}


def run_all(asked: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The programs of the request, one after the other; nothing more once one was late."""
    told: list[dict[str, Any]] = []
    for name, base, old, new in asked["programs"]:
        path = os.path.join(place, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(asked["bases"][base].replace(old, new) if old else asked["bases"][base])
        os.chmod(path, 0o755)
    for path in [os.path.join(place, name) for name, *_ in asked["programs"]]:
        told.append(trial(asked["tests"], path, asked["seconds"], place))
        if told[-1]["status"] is None:
            break
    return told


def main(text: str) -> None:
    """`text`: {"tests", "folder", "bases", "programs": [[name, base, old, new]…], "seconds"}; JSON out."""
    asked = json.loads(text)
    tell_apart(asked["folder"], lambda place: run_all(asked, place))
