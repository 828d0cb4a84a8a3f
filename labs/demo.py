"""The demonstration: the whole path once, on one candidate's bench, with a table at the end."""

from __future__ import annotations

import time
from typing import Any

from labs.cli.grading import grade_session
from labs.cli.output import Progress, duration, err, out, table
from labs.cli.provisioning import bring_up, take_down
from labs.cli.work import solve_benches
from labs.errors import PlateauError
from labs.grade import Selection

SESSION = "demo"


def run_demo(*, keep: bool) -> None:
    """Up, grade untouched, solve, grade solved, report, down. Raises PlateauError at the first step that fails."""
    from labs.bench import compute_benches
    from labs.hypervisors import open_hypervisor
    from labs.models.session import load_session

    session = load_session(SESSION)
    hypervisor = open_hypervisor(session.profile)
    times: dict[str, float] = {}

    def timed(label: str, work: Any) -> Any:
        err.print(f"[bold]{label}[/]")
        started = time.monotonic()
        result = work()
        times[label] = time.monotonic() - started
        return result

    def graded() -> tuple[dict[str, Any], dict[str, Any]]:
        return grade_session(SESSION, None, Selection(), quiet=False, lang="fr", anew=True)

    def up() -> None:
        outcome = bring_up(session, hypervisor, compute_benches(session), quiet=False)
        for nodes in outcome.errors.values():
            raise PlateauError(f"the bench did not come up: {'; '.join(nodes.values())}")

    def solve() -> None:
        progress = Progress(quiet=False)
        with progress.showing():
            solve_benches(SESSION, None, progress)

    try:
        timed("Images, templates and the bench", up)
        untouched, _ = timed("Grading the untouched bench", graded)
        timed("Applying the solution", solve)
        solved, documents = timed("Grading the solved bench", graded)
    finally:
        if not keep:
            timed("Taking the bench down", lambda: take_down(session, hypervisor, None, quiet=False))
    shown = table("", "Points", "Passed")
    for label, summary in (("untouched", untouched), ("solved", solved)):
        one = summary["candidates"][0]
        counts = one["verdicts"]
        shown.add_row(
            label, f"{one['points']:g} / {one['max_points']:g}", f"{counts['passed']} / {sum(counts.values())}"
        )
    out.print(shown)
    for label, seconds in times.items():
        out.print(f"{label}: {duration(seconds)}")
    out.print(f"report: {documents['report.html']}")
    first, last = untouched["candidates"][0], solved["candidates"][0]
    if first["points"] != 0 or last["points"] != last["max_points"]:
        raise PlateauError("the demonstration did not give 0 points untouched and all points solved; see the report")
