"""Grade a session: one `pytest graders/` per candidate, side by side, and their records joined.

This is what `plateau grade` adds to `pytest graders/ --session …`: benches in parallel, progress, one report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labs.errors import PlateauError
from labs.models.session import Session
from labs.paths import GRADERS, ROOT
from labs.sessionfiles import SessionFiles

KEPT = {0, 1, 4}
"""Exit statuses of a grader that measured: all passed, something not passed, something not measurable."""


@dataclass(frozen=True)
class Selection:
    """What of the sheet is graded."""

    keyword: str | None = None
    """An expression for pytest's `-k`."""
    checks: tuple[str, ...] = ()
    """Ids; all when empty."""
    reboot: bool = True
    reboot_nodes: tuple[str, ...] = ()
    """Machines that the persistence phase reboots; all when empty."""

    def arguments(self) -> list[str]:
        """For `pytest graders/`."""
        found = ["-k", self.keyword] if self.keyword else []
        found += [f"--check={check}" for check in self.checks] + [f"--reboot-node={name}" for name in self.reboot_nodes]
        return found if self.reboot else [*found, "--no-reboot"]


EVERYTHING = Selection()


@dataclass
class _Grader:
    candidate: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def records(self) -> Path:
        return self.folder / "records.jsonl"


def new_run_folder(session: Session) -> Path:
    """A folder for a new run, named after the moment it begins (UTC)."""
    results = SessionFiles(session.folder).results
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(100):
        folder = results / (stamp if not number else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise PlateauError(f"{results}: a hundred runs in one second; try again")


def grade(
    session: Session,
    candidates: Sequence[str],
    run_folder: Path,
    progress: Callable[[str, str], None],
    *,
    lock: int,
    selection: Selection = EVERYTHING,
) -> Path:
    """Grade the candidates' benches and return the joined records.

    The graders inherit `lock`, the session's: should this process be killed, nobody else works on the benches before
    they have ended.

    Raises PlateauError, naming the log, when a grader ended without measuring.
    """
    parts = run_folder / "parts"
    waiting = list(candidates)
    running: list[_Grader] = []
    done: list[_Grader] = []
    try:
        while waiting or running:
            while waiting and len(running) < _parallel(session):
                running.append(_start(session, waiting.pop(0), parts, selection, lock))
            for grader in list(running):
                _show(grader, progress)
                if grader.process.poll() is not None:
                    running.remove(grader)
                    _finish(grader, run_folder)
                    done.append(grader)
            time.sleep(0.2)
    finally:
        for grader in running:
            grader.process.terminate()
        for grader in running:
            grader.process.wait()
    records = run_folder / "records.jsonl"
    _join([part.records for part in sorted(done, key=lambda part: candidates.index(part.candidate))], records)
    for part in done:
        shutil.copyfile(part.folder / "grader.log", run_folder / f"grader-{part.candidate}.log")
        for path in part.folder.glob("snapshots/*"):
            (run_folder / "snapshots").mkdir(exist_ok=True)
            path.replace(run_folder / "snapshots" / path.name)
    shutil.rmtree(parts)
    return records


def _parallel(session: Session) -> int:
    return session.profile.parallel or max(1, os.cpu_count() or 1)


def _start(session: Session, candidate: str, parts: Path, selection: Selection, lock: int) -> _Grader:
    folder = parts / candidate
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", str(GRADERS), "-q", "-p", "no:cacheprovider"]
    command += ["--session", str(session.path), "--candidate", candidate, "--run-dir", str(folder)]
    command += selection.arguments()
    with (folder / "grader.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # a second of imports that grading does not use
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
        )
    return _Grader(candidate, folder, process)


def _show(grader: _Grader, progress: Callable[[str, str], None]) -> None:
    try:
        lines = grader.records.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        progress(grader.candidate, "begins")
        return
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the grader is writing this line right now
        if record.get("kind") == "record":
            progress(grader.candidate, f"{record['check']} {record['verdict']}")
            return


def _finish(grader: _Grader, run_folder: Path) -> None:
    if grader.process.returncode in KEPT and grader.records.exists():
        return
    log = run_folder / f"grader-{grader.candidate}.log"
    shutil.copyfile(grader.folder / "grader.log", log)
    words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in words if line.startswith(("ERROR", "E  "))), words[-1] if words else "no message")
    raise PlateauError(f"{grader.candidate}: the grader did not measure: {reason.strip()} (see {log})")


def _join(parts: Sequence[Path], target: Path) -> None:
    header: str | None = None
    lines: list[str] = []
    for part in parts:
        for line in part.read_text(encoding="utf-8").splitlines():
            if json.loads(line)["kind"] == "run":
                header = header or line
            else:
                lines.append(line)
    temporary = target.with_suffix(".tmp")
    temporary.write_text("\n".join([header or "", *lines]) + "\n", encoding="utf-8")
    temporary.replace(target)
