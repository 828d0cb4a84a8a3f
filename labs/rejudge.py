"""Judge a run again from its snapshots, without its machines, and say where the verdicts differ."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labs.errors import InputError, PlateauError
from labs.grade import LEAN
from labs.paths import GRADERS, ROOT

if TYPE_CHECKING:
    from graders.records import Record, Run
    from labs.models.session import Session

SECONDS = 900.0
"""For all candidates: judging waits for nothing."""


def rejudge(session: Session, folder: Path, run: Run) -> list[str]:
    """One line for each check whose verdict is not the recorded one; empty when all are the same.

    Raises InputError when the run has no snapshot of a candidate, PlateauError when judging ended early.
    """
    from graders.records import load

    candidates = [bench.candidate for bench in run.benches]
    for one in candidates:
        if not (folder / "snapshots" / f"{one}.jsonl").is_file():
            raise InputError(f"{folder}: no snapshot of {one}: this run was graded by a version that kept none")
    with tempfile.TemporaryDirectory(prefix="plateau-rejudge-") as name:
        command = [sys.executable, "-m", "pytest", str(GRADERS), *LEAN]
        command += ["--session", str(session.path), "--replay", str(folder), "--run-dir", name]
        command += [f"--candidate={one}" for one in candidates]
        command += [f"--check={one}" for one in dict.fromkeys(record.check for record in run.records)]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            again = load(Path(name) / "records.jsonl")
        except subprocess.TimeoutExpired:
            raise PlateauError(f"{folder}: not judged again within {SECONDS:g} s") from None
        except (OSError, ValueError) as problem:
            last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
            raise PlateauError(f"{folder}: not judged again: {' '.join(last) or problem}") from None
    return differences(_by_check(run), _by_check(again))


def differences(before: Mapping[tuple[str, str], Record], after: Mapping[tuple[str, str], Record]) -> list[str]:
    """Candidate, check and both verdicts, where they are not the same."""
    found = []
    for candidate, check in sorted(set(before) | set(after)):
        old, new = (records.get((candidate, check)) for records in (before, after))
        if old is None or new is None or (old.verdict, old.blocked_by) != (new.verdict, new.blocked_by):
            shown = [record.verdict.value if record else "not there" for record in (old, new)]
            found.append(f"{candidate} {check}: recorded {shown[0]}, judged again {shown[1]}")
    return found


def _by_check(run: Run) -> dict[tuple[str, str], Record]:
    return {(record.candidate, record.check): record for record in run.records}
