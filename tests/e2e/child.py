"""`plateau` with another catalogue and a journal that kills its process: child.py CATALOGUE WRITES SECONDS VERB...

The process is killed (SIGKILL) SECONDS after the WRITES-th write of the journal; never when WRITES is 0.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import labs.paths

labs.paths.CATALOGUE = Path(sys.argv[1])

from labs import journal  # noqa: E402 - the catalogue above must be in place before anybody reads it
from labs.cli import main  # noqa: E402

# A shell starts background jobs with Ctrl-C ignored, and their children inherit that: not so a user's terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
WRITES, SECONDS = int(sys.argv[2]), float(sys.argv[3])


def die() -> None:
    time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


class KillingJournal(journal.Journal):
    """Ends its process right after a given write."""

    count = 0

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        number = super()._write(statement, values)
        KillingJournal.count += 1
        if KillingJournal.count == WRITES:
            if SECONDS:
                threading.Thread(target=die, daemon=True).start()
            else:
                die()
        return number


journal.Journal = KillingJournal
sys.argv[1:] = sys.argv[4:]
main.main()
