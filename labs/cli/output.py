"""What the commands show: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(data: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2, sort_keys=False)
    sys.stdout.write("\n")


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house style."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


class Progress:
    """Steps of many subjects at once: a live table on a terminal, plain lines otherwise."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._rows: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None

    def __call__(self, subject: str, step: str) -> None:
        with self._lock:
            now = time.monotonic() - self._start
            self._rows[subject] = (step, now)
            if self._live is not None:
                self._live.update(self._render(), refresh=True)
            elif not self._quiet:
                err.print(f"{now:7.1f} s  {escape(subject)}: {escape(step)}")

    def _render(self) -> Table:
        shown = table("", "", "")
        for subject, (step, moment) in list(self._rows.items())[-40:]:
            colour = (
                "green" if step in {"ready", "deleted", "built"} else "red" if step.startswith("failed") else "cyan"
            )
            shown.add_row(f"{moment:6.1f} s", escape(subject), f"[{colour}]{escape(step)}[/]")
        return shown

    @contextmanager
    def showing(self) -> Iterator[Progress]:
        """Show the live table while the `with` block runs, when standard error is a terminal."""
        if self._quiet or not err.is_terminal:
            yield self
            return
        with Live(self._render(), console=err, auto_refresh=False) as live:
            self._live = live
            try:
                yield self
            finally:
                self._live = None


def duration(seconds: float) -> str:
    """A duration for people: `45 s`, `3 min 20 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60:02d} s"
