"""The journal: the intent before, the outcome after, whatever happens between them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labs.journal import Journal

KILLED = """
import os, signal, sys
from pathlib import Path
from labs.journal import Journal
with Journal(Path(sys.argv[1]), "up").step("start", "alex/rtr"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def journal(tmp_path: Path):
    with contextlib.closing(Journal(tmp_path / "journal.db", "up")) as opened:
        yield opened


def test_intent_is_written_before_and_outcome_after(journal: Journal) -> None:
    with journal.step("start", "alex/rtr"):
        (during,) = journal.steps()
        assert (during.action, during.outcome, during.ended) == ("start", None, None)
    (after,) = journal.steps()
    assert after.outcome == "done"
    assert after.ended is not None
    assert after.ended >= after.started
    assert journal.last_error("alex/rtr") is None


def test_failure_keeps_its_reason_and_goes_on_up(journal: Journal) -> None:
    with pytest.raises(OSError, match="no space"), journal.step("create", "alex/rtr"):
        raise OSError("no space")
    assert journal.steps()[0].outcome == "failed"
    assert journal.last_error("alex/rtr") == "no space"
    with journal.step("create", "alex/rtr"):
        pass
    assert journal.last_error("alex/rtr") is None


def test_interrupt_is_a_failure_too(journal: Journal) -> None:
    with pytest.raises(KeyboardInterrupt), journal.step("create", "alex/rtr"):
        raise KeyboardInterrupt
    assert journal.last_error("alex/rtr") == "KeyboardInterrupt"


def test_run_that_was_killed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, cwd=Path.cwd(), env=dict(os.environ)
    )
    assert killed.returncode == -9
    with contextlib.closing(Journal(path, "status")) as journal:
        assert journal.last_error("alex/rtr") == "up was interrupted during start"
        assert journal.last_error("alex/srv") is None


def test_threads_share_it(journal: Journal) -> None:
    def work(number: int) -> None:
        with journal.step("start", f"c{number}/rtr"):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    steps = journal.steps()
    assert len(steps) == 100
    assert {step.outcome for step in steps} == {"done"}
    assert len(journal.steps("c7/rtr")) == 1


def test_lost_journal_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.db"
    with contextlib.closing(Journal(path, "up")) as journal, journal.step("start", "a"):
        pass
    for file in path.parent.iterdir():
        file.unlink()
    with contextlib.closing(Journal(path, "up")) as journal:
        assert journal.steps() == []


def test_a_damaged_journal_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database at all" * 100)
    with contextlib.closing(Journal(path, "status")) as journal:
        assert journal.steps() == []
    assert (tmp_path / "journal.db.damaged").read_bytes().startswith(b"not a database")


def test_work_goes_on_without_a_journal(tmp_path: Path) -> None:
    """On a full disk `down` must run: it is what frees it."""
    (tmp_path / "file").touch()
    with contextlib.closing(Journal(tmp_path / "file" / "journal.db", "down")) as journal, journal.step("delete", "a"):
        pass
    with contextlib.closing(Journal(tmp_path / "journal.db", "down")) as journal:
        journal._database.execute("PRAGMA max_page_count=1")
        for _ in range(300):
            with journal.step("delete", "x" * 500):
                pass
