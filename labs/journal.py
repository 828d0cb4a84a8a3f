"""The journal of a session: what was about to be done, written before, and what came of it, written after.

It explains a run that was killed and drives no decision: the hypervisor is the truth, a lost or damaged journal is
simply begun again, and on a full disk work goes on without one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
  id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, verb TEXT NOT NULL, subject TEXT NOT NULL, action TEXT NOT NULL,
  started REAL NOT NULL, ended REAL, outcome TEXT, detail TEXT
);
"""


@dataclass(frozen=True)
class Step:
    """One mutation. `outcome` is None while it runs, or for ever when its run was killed."""

    verb: str
    subject: str
    action: str
    started: float
    ended: float | None
    outcome: str | None
    detail: str | None


class Journal:
    """An SQLite file in WAL mode, shared by the threads of a run."""

    def __init__(self, path: Path, verb: str) -> None:
        self._verb = verb
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open(path)
        except (OSError, sqlite3.OperationalError):  # no space, or nothing may be written there
            self._database = _open(":memory:")
        except sqlite3.DatabaseError:
            path.replace(path.with_name(f"{path.name}.damaged"))
            for beside in ("-wal", "-shm"):
                path.with_name(f"{path.name}{beside}").unlink(missing_ok=True)
            self._database = _open(path)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def step(self, action: str, subject: object) -> Iterator[None]:
        """Write the intent, do what the `with` block does, write the outcome (`done` or `failed`)."""
        number = self._write(
            "INSERT INTO step (pid, verb, subject, action, started) VALUES (?, ?, ?, ?, ?)",
            (os.getpid(), self._verb, str(subject), action, time.time()),
        )
        update = "UPDATE step SET ended = ?, outcome = ?, detail = ? WHERE id = ?"
        try:
            yield
        except BaseException as problem:
            self._write(update, (time.time(), "failed", str(problem) or type(problem).__name__, number))
            raise
        self._write(update, (time.time(), "done", None, number))

    def steps(self, subject: str | None = None) -> list[Step]:
        """All steps in order (of one subject)."""
        query = "SELECT verb, subject, action, started, ended, outcome, detail FROM step"
        with self._lock:
            rows = self._database.execute(f"{query} ORDER BY id").fetchall()
        return [Step(*row) for row in rows if subject is None or row[1] == subject]

    def last_error(self, subject: str) -> str | None:
        """Detail of the subject's last step when that failed or was cut short; None when all is well."""
        steps = self.steps(subject)
        if not steps or steps[-1].outcome == "done":
            return None
        last = steps[-1]
        return last.detail if last.outcome == "failed" else f"{last.verb} was interrupted during {last.action}"

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        with self._lock, contextlib.suppress(sqlite3.OperationalError):
            return int(self._database.execute(statement, values).lastrowid or 0)
        return 0


def _open(path: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.executescript(SCHEMA)
    return database
