"""What the commands show: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich import markup
from rich.console import Console
from rich.live import Live
from rich.table import Table

DONE = frozenset({"ready", "deleted", "built"})
ROWS = 40
"""Machines shown one by one."""
REDRAWN_SECONDS = 0.1
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def plain(text: str) -> str:
    """The text for a console that reads markup, without what a terminal would obey: some of it is said by machines."""
    if not (text.isascii() and text.isprintable()):
        from graders.report.text import visible

        text = visible(text)
    return markup.escape(text)


def print_json(data: Any) -> None:
    """One JSON document on standard output, and nothing else there; it holds nothing that a terminal would obey."""
    from graders.report.text import json_text

    sys.stdout.write(json_text(data, indent=2) + "\n")


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
        self._drawn = float("-inf")

    def __call__(self, subject: str, step: str) -> None:
        with self._lock:
            now = time.monotonic() - self._start
            self._rows[subject] = (step, now)
            if self._live is not None:
                if now - self._drawn >= REDRAWN_SECONDS:
                    self._drawn = now
                    self._live.update(self._render(), refresh=True)
            elif not self._quiet:
                err.print(f"{now:7.1f} s  {plain(subject)}: {plain(step)}")

    def _render(self) -> Table:
        if len(self._rows) > ROWS:
            return self._benches()
        shown = table("", "", "")
        for subject, (step, moment) in self._rows.items():
            colour = "green" if step in DONE else "red" if step.startswith("failed") else "cyan"
            shown.add_row(f"{moment:6.1f} s", plain(subject), f"[{colour}]{plain(step)}[/]")
        return shown

    def _benches(self) -> Table:
        """One row a bench, when machines would not all fit on a screen: how many are done, and what the latest does."""
        benches: dict[str, list[tuple[str, str, float]]] = {}
        for subject, (step, moment) in self._rows.items():
            bench, _, node = subject.partition("/")
            benches.setdefault(bench, []).append((node, step, moment))
        shown = table("", "", "", "")
        for bench, rows in benches.items():
            done = sum(step in DONE for _, step, _ in rows)
            failed = [f"{node}: {step}" for node, step, _ in rows if step.startswith("failed")]
            node, step, moment = max(rows, key=lambda row: row[2])
            told = failed[0] if failed else "" if done == len(rows) else f"{node}: {step}"
            colour = "red" if failed else "green" if done == len(rows) else "cyan"
            shown.add_row(f"{moment:6.1f} s", plain(bench), f"{done}/{len(rows)}", f"[{colour}]{plain(told)}[/]")
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
                live.update(self._render(), refresh=True)
                self._live = None


def duration(seconds: float) -> str:
    """A duration for people: `45 s`, `3 min 20 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60:02d} s"
