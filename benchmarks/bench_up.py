"""bench-up: how long benches take to come up, to be graded and to go, from cached images; what they cost."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import cpu_seconds, machine, plateau, pss_mb, publish

CANDIDATES = ("a1", "b2", "c3")
SESSION = """\
name: {name}
title: Mesures
lab: reseau
seed: mesures-de-plateau
hypervisor: {profile}
candidates_csv: candidates.csv
"""
LIMITS = {
    "up_seconds_4vm": 15,
    "up_seconds_12vm": 45,
    "cold_ratio": 4,
    "grade_seconds": 30,
    "down_seconds": 3,
    "pss_mb": 1300,
    "image_build_seconds": 360,
    "help_seconds": 0.25,
}
SETTLE_SECONDS = 3.0


def main(arguments: Sequence[str]) -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- bench-up", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="times each is measured; the median counts")
    parser.add_argument("--with-images", action="store_true", help="build every image once, in a cache of its own")
    options = parser.parse_args(arguments)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="plateau-bench-") as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        figures = measure(folder, options.rounds)
        figures["image_build_seconds"] = build_images(folder) if options.with_images else None
    publish("bench-up", facts, figures, LIMITS)


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Everything but the images."""
    instant = write_session(folder / "instant", "qemu")
    cold = write_session(folder / "cold", "cold")
    one = ("--candidate", CANDIDATES[0])
    figures: dict[str, Any] = {}
    try:
        plateau("up", instant, *one)  # images and templates are made here, when they are missing
        plateau("down", instant)
        ups, cpus, downs = [], [], []
        for number in range(rounds):
            ups.append(plateau("up", instant, *one))
            cpus.append(cpu_seconds(folder))
            if number == rounds - 1:
                figures |= measure_grading(folder, instant)
            downs.append(plateau("down", instant))
        figures["up_seconds_4vm"] = median(ups)
        figures["up_cpu_seconds_4vm"] = median(cpus)
        figures["down_seconds"] = median(downs)
        figures["up_seconds_12vm"] = round(plateau("up", instant), 2)
        time.sleep(SETTLE_SECONDS)
        figures["pss_12vm_mb"] = round(pss_mb(folder))
        figures["down_seconds_12vm"] = round(plateau("down", instant), 2)
        cold_seconds = plateau("up", cold, *one)
        figures["cold_seconds_4vm"] = round(cold_seconds, 2)
        figures["cold_cpu_seconds_4vm"] = round(cpu_seconds(folder), 2)
        figures["cold_ratio"] = round(cold_seconds / figures["up_seconds_4vm"], 2)
    finally:
        for session in (instant, cold):
            plateau("down", session)
    figures["help_seconds"] = median([plateau("--help") for _ in range(7)])
    return dict(sorted(figures.items(), key=lambda item: (item[0] not in LIMITS, item[0])))


def measure_grading(folder: Path, session: Path) -> dict[str, Any]:
    """The bench that is up: graded untouched and solved, the reboot apart; its memory before and after."""
    time.sleep(SETTLE_SECONDS)
    before = pss_mb(folder)
    unfinished = (4,)  # without the reboot, marks are never final
    untouched = plateau("grade", session, "--candidate", CANDIDATES[0], "--no-reboot", accept=unfinished)
    solve = plateau("solve", session, "--candidate", CANDIDATES[0])
    solved = plateau("grade", session, "--candidate", CANDIDATES[0], "--no-reboot", accept=unfinished)
    return {
        "grade_seconds": round(max(untouched, solved), 2),
        "grade_untouched_seconds": round(untouched, 2),
        "grade_solved_seconds": round(solved, 2),
        "solve_seconds": round(solve, 2),
        "pss_idle_mb": round(before),
        "pss_mb": round(max(before, pss_mb(folder))),
    }


def build_images(folder: Path) -> float:
    """Build all images of the lab and the package depot, from nothing."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        return round(plateau("image", "build", "rtr", "srv", "ws", "probe"), 1)
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def write_session(folder: Path, profile: str) -> Path:
    """A session of three candidates; `cold` boots every machine instead of resuming it."""
    folder.mkdir(parents=True)
    path = folder / "session.yaml"
    path.write_text(SESSION.format(name=folder.name, profile=profile), encoding="utf-8")
    rows = "".join(f"{one},Candidat {one}\n" for one in CANDIDATES)
    (folder / "candidates.csv").write_text(f"id,name\n{rows}", encoding="utf-8")
    (folder / "cold.hypervisor.yaml").write_text("instant: false\n", encoding="utf-8")
    return path


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
