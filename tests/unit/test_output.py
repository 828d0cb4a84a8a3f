"""Progress of a cohort: one row a machine while they fit on a screen, then one row a bench."""

from __future__ import annotations

import io

from rich.console import Console

from labs.cli.output import ROWS, Progress


def shown(progress: Progress) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(progress._render())
    return stream.getvalue()


def test_machines_one_by_one_while_they_fit() -> None:
    progress = Progress(quiet=True)
    progress("alex/rtr", "create")
    progress("alex/srv", "ready")
    assert "alex/rtr" in shown(progress)
    assert "alex/srv" in shown(progress)


def test_one_row_a_bench_beyond() -> None:
    progress = Progress(quiet=True)
    for number in range(ROWS // 4 + 1):
        for node in ("rtr", "srv", "ws", "probe"):
            progress(f"c{number:02d}/{node}", "ready" if number else "start")
    progress("c01/ws", "failed: no disk")
    text = shown(progress)
    rows = {line.split()[2]: line for line in text.splitlines() if " s " in line}
    assert len(rows) == ROWS // 4 + 1
    assert "0/4" in rows["c00"]
    assert "start" in rows["c00"]
    assert "3/4" in rows["c01"]
    assert "ws: failed: no disk" in rows["c01"]
    assert rows["c02"].split()[-1] == "4/4"


def test_what_a_machine_says_does_not_reach_the_terminal() -> None:
    progress = Progress(quiet=True)
    progress("alex/ws", "failed: \x1b]52;c;bWFs\x07\x1b[1A[green]ready[/]")
    text = shown(progress)
    assert "\x1b]52" not in text
    assert "⟦U+001B⟧]52;c;bWFs⟦U+0007⟧⟦U+001B⟧[1A[green]ready[/]" in text
