"""Ctrl-C, or a polite kill, during `up`: one line, exit status 130, and a state that `up` repairs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import pytest
from place import CHILD, Place, document, minimal

from labs.deadline import Deadline
from labs.journal import Journal


def begun(session: Path, action: str) -> bool | None:
    """True once the journal says that `action` began."""
    journal = session.with_name("journal.db")
    if not journal.exists():
        return None
    with contextlib.closing(Journal(journal, "test")) as opened:
        return any(step.action == action for step in opened.steps()) or None


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT] * 2, [signal.SIGTERM]])
def test_interrupted_up_is_repaired_by_the_next(place: Place, signals: list[signal.Signals]) -> None:
    session = place.session("minimal")
    command = [*CHILD, "0", "0", "up", str(session)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        Deadline.after(120).poll(lambda: begun(session, "start"), "the start of the machine", interval=0.02)
        for one in signals:
            process.send_signal(one)
            time.sleep(0.05)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("plateau: interrupted")
    found = document(minimal("up", session, "--json"))
    assert {node["state"] for node in found["nodes"]} == {"ready"}
    assert place.processes() == {"machines": 1, "switches": 1, "all": 2}
    document(minimal("down", session, "--json"))
    assert place.left() == []
