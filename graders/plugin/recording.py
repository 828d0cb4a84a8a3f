"""From what happened to a check to its record, and to the records file."""

from __future__ import annotations

import datetime
import hashlib
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import labs
from graders import versions
from graders.expect import NothingMeasuredError, Unmet
from graders.records import Attempt, BenchHeader, Evidence, Record, RunHeader, Verdict, dump
from labs.errors import PlateauError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labs.models.session import Session


@dataclass(frozen=True)
class Outcome:
    """Verdict of a check with its reason (French)."""

    verdict: Verdict
    message: str = ""
    blocked_by: str | None = None


LONGEST_TRACE = 16384
"""Characters of a traceback's end."""


class TimeLimitError(BaseException):
    """A check exceeded its time; not an Exception, so that no check can swallow it."""


def classify(problem: BaseException | None) -> Outcome:
    """The verdict that an exception means: only an unmet expectation speaks against the candidate.

    >>> classify(AssertionError("from a library")).verdict
    <Verdict.ERROR: 'error'>
    """
    match problem:
        case None:
            return Outcome(Verdict.PASSED)
        case Unmet():
            return Outcome(Verdict.FAILED, str(problem))
        case TimeLimitError():
            return Outcome(Verdict.ERROR, f"Mesure interrompue : {problem}.")
        case NothingMeasuredError():
            return Outcome(Verdict.ERROR, f"Rien n'a été mesuré : {problem}.")
        case PlateauError():
            return Outcome(Verdict.ERROR, f"Mesure impossible : {problem}.")
    place = traceback.extract_tb(problem.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}:{place[0].lineno})" if place else ""
    return Outcome(Verdict.ERROR, f"Mesure impossible : {type(problem).__name__}: {problem}{where}.")


def exception_evidence(problem: BaseException) -> Evidence:
    """The traceback, for whoever repairs the check; never shown as the verdict."""
    text = "".join(traceback.format_exception(problem))
    cut = f"[…]\n{text[-LONGEST_TRACE:]}" if len(text) > LONGEST_TRACE else text
    return Evidence("grader", "exception", cut, 0.0)


def waits(attempts: Sequence[Attempt]) -> list[Evidence]:
    """Every attempt of what was waited for, as one piece of evidence (French); none when nothing was waited for."""
    if len(attempts) < 2:
        return []
    lines = [
        f"essai {number}, après {_seconds(one.at)} ({_seconds(one.seconds)}) : {'réussi' if one.ok else 'manqué'}"
        for number, one in enumerate(attempts, 1)
    ]
    return [Evidence("grader", "essais jusqu'à l'échéance", "\n".join(lines), attempts[-1].at + attempts[-1].seconds)]


def _seconds(value: float) -> str:
    return f"{value:.1f} s".replace(".", ",")


def now() -> str:
    """The grader's clock, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def run_header(session: Session, run: str, hypervisor: str, *, frozen: bool | None = False) -> RunHeader:
    """The first line of a records file."""
    lab, training = session.lab, session.training
    return RunHeader(
        run=run,
        session=session.name,
        title=session.file.title,
        mode=session.file.mode,
        lab=lab.name,
        lab_title={str(lang): text for lang, text in lab.title.items()},
        lab_version=lab.version,
        referential=lab.referential,
        seed_digest=hashlib.sha256(session.file.seed.encode()).hexdigest(),
        started=now(),
        grader_version=labs.__version__,
        hypervisor=hypervisor,
        tasks=[
            {"id": task.id, "title": dict(task.title), "points": lab.task_points(task), "checks": lab.worth(task)}
            for task in lab.tasks
        ],
        bareme=lab.bareme.model_dump(mode="json"),
        versions=versions.collect(lab.referential),
        training={"id": training.id, "title": dict(training.title)} if training else {},
        uid=session.uid,
        frozen=frozen,
    )


class RecordsFile:
    """records.jsonl: one line at a time, in one write each, so that a kill loses nothing that was measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "records.jsonl"
        self._descriptor: int | None = None

    @property
    def opened(self) -> bool:
        return self._descriptor is not None

    def open(self, header: RunHeader) -> None:
        """Create the file with its header; append when it is there (a run that is continued)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if new:
            self.write(header)

    def write(self, item: RunHeader | BenchHeader | Record) -> None:
        assert self._descriptor is not None
        data = dump(item).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
