"""What benchmarks share: this machine's facts, the cost of processes, a table and the file of figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from labs import __version__
from labs.cli.output import table
from labs.hypervisors.qemu import processes
from labs.hypervisors.qemu.templates import qemu_version
from labs.paths import ROOT

AT_LEAST = frozenset({
    "cold_ratio", "speedup_vs_serial", "speedup_vs_ansible",
    "wall_ratio_paramiko_20ms", "wall_ratio_default_ssh", "cpu_ratio_paramiko",
})  # fmt: skip
PLATEAU = str(Path(sys.executable).with_name("plateau"))


def plateau(*arguments: object, accept: tuple[int, ...] = (0,)) -> float:
    """Run a command to its end and return the seconds it took. Raises SystemExit, with its words, when it fails."""
    command = [PLATEAU, *map(str, arguments)]
    print(f"  plateau {' '.join(map(str, arguments))}", file=sys.stderr, flush=True)
    began = time.monotonic()
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if answer.returncode not in accept:
        sys.exit(f"{' '.join(command)}: exit status {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return seconds


def pss_mb(folder: Path) -> float:
    """Memory of the processes that work below `folder`, shared pages counted once among them (MiB)."""
    total = 0
    for pid in processes.owned(folder):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu_seconds(folder: Path) -> float:
    """Processor time that the living processes below `folder` have used so far."""
    ticks = 0
    for pid in processes.owned(folder):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """What the figures depend on, besides the product."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory,
        "load_before": [round(one, 2) for one in os.getloadavg()],
        "versions": {
            "plateau": __version__,
            "commit": commit.stdout.strip() or None,
            "python": sys.version.split()[0],
            "qemu": qemu_version(),
        },
    }


def publish(name: str, facts: Mapping[str, Any], figures: Mapping[str, Any], limits: Mapping[str, float]) -> None:
    """Print the table and write .bench/NAME.json. A limit is a maximum, or a minimum for AT_LEAST."""
    shown = table("Figure", "Measured", "Wanted", "")
    for key, value in figures.items():
        limit = limits.get(key)
        wanted, verdict = "", ""
        if limit is not None:
            least = key in AT_LEAST
            wanted = f"{'>=' if least else '<='} {limit:g}"
            if value is not None:
                met = value >= limit if least else value <= limit
                verdict = "[green]met[/]" if met else "[red]not met[/]"
        shown.add_row(key, "not measured" if value is None else f"{value:g}", wanted, verdict)
    console = Console(highlight=False)
    console.print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_mb']} MiB, load before {facts['load_before']}"
    )
    console.print(", ".join(f"{what} {version}" for what, version in facts["versions"].items()))
    console.print(shown)
    path = ROOT / ".bench" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**figures, "machine": facts}, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {path.relative_to(ROOT)}")
