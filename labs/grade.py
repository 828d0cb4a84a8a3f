"""Grade a session: one `pytest graders/` per candidate, side by side, and their records joined.

This is what `plateau grade` adds to `pytest graders/ --session …`: benches in parallel, progress, one report.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders.dossier import sources
from labs.errors import InterruptedRunError, NotMeasuredError, PlateauError
from labs.models.proxmox import ProxmoxProfile
from labs.models.session import Session
from labs.paths import GRADERS, ROOT
from labs.sessionfiles import SessionFiles, write_private

KEPT = {0, 1, 4}
"""Exit statuses of a grader that measured: all passed, something not passed, something not measurable."""

UNUSED = ("cacheprovider", "capture", "doctest", "junitxml", "legacypath", "logging", "pastebin", "setuponly",
          "stepwise", "threadexception", "unittest", "unraisableexception", "warnings")  # fmt: skip
"""Parts of pytest that look after tests, and cost time with every check. Without `capture`, what a grader prints goes
straight to its log."""
LEAN = ("-q", *(f"-pno:{name}" for name in UNUSED))
"""Options of a grader."""
PARTS, END, LOG = "parts", "end", "grader.log"
"""In a run's folder: one folder a candidate, with the file that says that its grading ended, and the grader's words."""

ALIKE = ("lab", "lab_version", "tasks", "bareme", "training", "referential", "versions", "seed_digest",
         "grader_version", "frozen")  # fmt: skip
"""What the headers of a run's parts have in common."""


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
    restarted: bool = False
    """The machines were restarted before: the persistence phase takes them as they are."""
    needs: bool = False
    """Also the checks that those of `checks` come after."""
    frozen: bool = False
    """Each bench goes back to the bell just before it is measured."""
    signs: bool = True
    """Signs of tampering are looked for, which takes some seconds a machine."""

    def arguments(self) -> list[str]:
        """For `pytest graders/`."""
        found = ["-k", self.keyword] if self.keyword else []
        found += [f"--check={check}" for check in self.checks] + [f"--reboot-node={name}" for name in self.reboot_nodes]
        found += ["--restarted"] if self.restarted else []
        found += ["--with-needs"] if self.needs else []
        found += ["--frozen"] if self.frozen else []
        found += [] if self.signs else ["--no-signs"]
        return found if self.reboot else [*found, "--no-reboot"]


EVERYTHING = Selection()


@dataclass
class _Grader:
    candidate: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    """None when it ended in an earlier process of this run, or never began."""

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


def is_run_name(name: str) -> bool:
    """Whether a folder is called as `new_run_folder` does: a copy under another name is nobody's newest run."""
    return re.fullmatch(r"\d{8}T\d{6}Z(-\d+)?", name) is not None


def grade(
    session: Session,
    candidates: Sequence[str],
    run_folder: Path,
    progress: Callable[[str, str], None],
    *,
    lock: int,
    selection: Selection = EVERYTHING,
    hosts: Mapping[str, Set[str]] | None = None,
    cancelled: threading.Event | None = None,
    before: Callable[[str], None] | None = None,
) -> Path:
    """Grade the candidates' benches and return the joined records.

    A candidate whose grading ended in this folder before (labs.resume) is not graded again. `hosts` says which hosts of
    the hypervisor carry a candidate's machines: the profile caps the gradings on each.

    `before` is called with a candidate just before their bench is measured; when it raises PlateauError it is not.

    The graders inherit `lock`, the session's: should this process be killed, nobody else works on the benches before
    they have ended.

    Raises NotMeasuredError, naming the log, when a grader ended without measuring, after the others have ended, and
    InterruptedRunError once `cancelled` is set; no grader is left running then.
    """
    sources.keep(run_folder, session.lab.name, session.lab.referential)
    parts = run_folder / PARTS
    done = [_Grader(one, parts / one) for one in candidates if ended(parts / one)]
    waiting = [one for one in candidates if one not in {part.candidate for part in done}]
    running: list[_Grader] = []
    cap = _per_host(session, hosts or {})
    try:
        while waiting or running:
            if cancelled is not None and cancelled.is_set():
                raise InterruptedRunError("the grading was cut short")
            while (chosen := _next(waiting, running, _parallel(session), cap)) is not None:
                waiting.remove(chosen)
                running.append(_start(session, chosen, parts, selection, lock, before))
            for grader in list(running):
                _show(grader, progress)
                if grader.process is None or grader.process.poll() is not None:
                    running.remove(grader)
                    done.append(grader)
            time.sleep(0.2)
    finally:
        processes = [grader.process for grader in running if grader.process is not None]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    if lost := [_why(grader, run_folder) for grader in done if not ended(grader.folder)]:
        count = len(done) - len(lost)
        others = " ".join(f"--without {grader.candidate}" for grader in done if not ended(grader.folder))
        kept = (
            f"; {count} of {len(candidates)} are measured: plateau grade {session.path} --resume tries the others "
            f"again, --resume {others} makes the documents of those alone"
        )
        raise NotMeasuredError(f"{'; '.join(lost)}{kept if count else ''}")
    parts_done = sorted(done, key=lambda part: candidates.index(part.candidate))
    _require_alike([part.records for part in parts_done], session)
    for part in parts_done:
        shutil.copyfile(part.folder / LOG, run_folder / f"grader-{part.candidate}.log")
        for path in part.folder.glob("snapshots/*"):
            (run_folder / "snapshots").mkdir(exist_ok=True)
            path.replace(run_folder / "snapshots" / path.name)
    # Last: from here on the run is complete, and nothing of it is in the parts alone.
    records = run_folder / "records.jsonl"
    _join([part.records for part in parts_done], records)
    shutil.rmtree(parts)
    return records


def _parallel(session: Session) -> int:
    return session.profile.parallel or max(1, os.cpu_count() or 1)


def _next(
    waiting: Sequence[str], running: Sequence[_Grader], at_once: int, cap: Callable[[str, Sequence[str]], bool]
) -> str | None:
    """The first candidate who may be graded now."""
    if len(running) >= at_once:
        return None
    busy = [grader.candidate for grader in running]
    return next((one for one in waiting if cap(one, busy)), None)


def _per_host(session: Session, hosts: Mapping[str, Set[str]]) -> Callable[[str, Sequence[str]], bool]:
    """Whether a candidate may be graded beside others, as far as the hypervisor's hosts are concerned."""
    profile = session.profile
    limit = profile.caps.gradings_per_node if isinstance(profile, ProxmoxProfile) else None

    def allowed(candidate: str, busy: Sequence[str]) -> bool:
        mine = hosts.get(candidate, set())
        return limit is None or all(sum(host in hosts.get(one, set()) for one in busy) < limit for host in mine)

    return allowed


def ended(part: Path) -> bool:
    """Whether a candidate's grading is all on disk."""
    try:
        status = int((part / END).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    return status in KEPT and _measured(part / "records.jsonl")


def _measured(records: Path) -> bool:
    """Whether a candidate is in the records: a grader that stumbled at its first question wrote its own header only."""
    try:
        return '"kind": "bench"' in records.read_text(encoding="utf-8")
    except OSError:
        return False


def _start(
    session: Session,
    candidate: str,
    parts: Path,
    selection: Selection,
    lock: int,
    before: Callable[[str], None] | None,
) -> _Grader:
    folder = parts / candidate
    shutil.rmtree(
        folder, ignore_errors=True
    )  # of a grading that was interrupted: its measurements do not mix with new ones
    folder.mkdir(parents=True)
    try:
        if before:
            before(candidate)
    except PlateauError as problem:
        (folder / LOG).write_text(f"ERROR {problem}\n", encoding="utf-8")
        return _Grader(candidate, folder)
    command = [sys.executable, "-m", "pytest", str(GRADERS), *LEAN]
    command += ["--session", str(session.path), "--candidate", candidate, "--run-dir", str(folder)]
    command += ["--end-file", str(folder / END)]
    command += selection.arguments()
    with (folder / LOG).open("wb") as log:
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


def _why(grader: _Grader, run_folder: Path) -> str:
    """Why a grader measured nothing, as far as its log tells; the log is kept."""
    log = run_folder / f"grader-{grader.candidate}.log"
    shutil.copyfile(grader.folder / LOG, log)
    words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in words if line.startswith(("ERROR", "E  "))), words[-1] if words else "no message")
    return f"{grader.candidate}: the grader did not measure: {reason.strip()} (see {log})"


def _lines(part: Path) -> list[str]:
    # Not splitlines(): evidence may hold U+2028 or U+0085, which JSON leaves as they are.
    return part.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _headers(part: Path) -> list[dict[str, Any]]:
    return [data for line in _lines(part) if (data := json.loads(line))["kind"] == "run"]


def _require_alike(parts: Sequence[Path], session: Session) -> None:
    """Raise PlateauError when candidates were not graded alike: somebody changed the lab or the program meanwhile."""
    headers = [header for part in parts for header in _headers(part)]
    for name in ALIKE:
        if any(header.get(name) != headers[0].get(name) for header in headers):
            raise PlateauError(
                f"{session.name}: {name} changed while candidates were graded; "
                f"plateau grade {session.path} --anew grades all of them alike"
            )


def _join(parts: Sequence[Path], target: Path) -> None:
    """One records file: the header of who was first, under the name of the whole run, then the candidates in order."""
    headers = [header for part in parts for header in _headers(part)]
    lines = [line for part in parts for line in _lines(part) if json.loads(line)["kind"] != "run"]
    header = {**min(headers, key=lambda one: str(one["started"])), "run": target.parent.name}
    text = "\n".join([json.dumps(header, ensure_ascii=False), *lines]) + "\n"
    write_private(target, text.encode(), mode=0o644)
