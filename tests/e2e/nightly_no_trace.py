"""Grading leaves no trace on real machines, and gives the same verdicts twice."""

from __future__ import annotations

import json
from pathlib import Path

from footprint import difference, state
from place import Place, document, plateau

MACHINES = ("rtr", "srv", "ws")


def verdicts(session: Path) -> dict[str, str]:
    newest = max(session.with_name("results").iterdir(), key=lambda path: path.name)
    records = [json.loads(line) for line in (newest / "records.jsonl").read_text().splitlines()]
    return {one["check"]: one["verdict"] for one in records if one["kind"] == "record"}


def test_grading_leaves_no_trace(place: Place) -> None:
    session = place.session("reseau")
    document(plateau("up", session, "--json"))
    assert plateau("solve", session, seconds=600).returncode == 0
    assert (
        plateau("grade", session, "--no-reboot", seconds=600).returncode == 4
    )  # without the reboot marks are not final
    first = verdicts(session)
    before = {node: state(session, node) for node in MACHINES}
    assert plateau("grade", session, "--no-reboot", seconds=600).returncode == 4
    after = {node: state(session, node) for node in MACHINES}
    assert {node: difference(before[node], after[node]) for node in MACHINES} == {node: [] for node in MACHINES}
    assert verdicts(session) == first
    assert set(first.values()) == {"passed"}
    assert plateau("ssh", session, "alex", "ws", "touch /etc/trace; ip address add 192.0.2.1/32 dev lo").returncode == 0
    seen = difference(after["ws"], state(session, "ws"))
    assert any("/etc/trace" in line for line in seen), "a trace is seen"
    assert any("192.0.2.1" in line for line in seen)
    assert document(plateau("down", session, "--json"))["left"] == []
