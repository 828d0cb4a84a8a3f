"""The grading engine against plain testinfra: a suite of 150 checks on a loopback sshd behind a delaying proxy."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, publish
from labs.grade import LEAN
from labs.paths import ROOT
from tests.sshd import Sshd

LIMITS = {
    "round_trips_per_host": 4,
    "wall_ratio_paramiko_20ms": 10,
    "cpu_ratio_paramiko": 2,
    "wall_ratio_default_ssh": 30,
    "cpu_seconds_per_host_180": 0.13,
    "rss_mb_180": 300,
    "dead_host_extra_seconds": 5,
}
SUITE = "benchmarks/grading/suite.py"
DEAD_RUN_HOSTS = 8
CPU_HOSTS = 4
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""For every engine alike: pytest plugins that are installed for our own tests are not part of grading."""


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- grading")
    parser.add_argument("--hosts", type=int, default=180, help="hosts of the large run (default: 180)")
    parser.add_argument("--repeat", type=int, default=3, help="interleaved repetitions; the best wall counts")
    parser.add_argument("--rtt", type=float, default=20.0, help="round-trip time of the small runs, ms")
    options = parser.parse_args(arguments)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="plateau-bench-") as name:
        bench = Bench(Path(name))
        try:
            figures = bench.small(options.rtt, options.repeat) | bench.processor() | bench.dead()
            figures |= bench.large(options.hosts)
        finally:
            bench.sshd.close()
    publish("grading", {**facts, "rtt_ms": options.rtt, "hosts": options.hosts}, figures, LIMITS)


class Bench:
    """One sshd, measured through proxies by several engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sshd = Sshd(folder / "sshd")
        (folder / "plan").mkdir()

    def small(self, rtt: float, repeat: int) -> dict[str, Any]:
        """One host: the engine, plain testinfra over paramiko, and its default ssh://."""
        with self.proxies(rtt, 1) as ports:
            hosts = {"node": ports[0]}
            self.engine(hosts, record=True)  # what CI does on the solution
            runs: dict[str, list[dict[str, Any]]] = {"engine": [], "paramiko": [], "ssh": []}
            for turn in range(repeat):
                runs["engine"].append(self.engine(hosts))
                runs["paramiko"].append(self.plain("paramiko", ports[0]))
                if turn == 0:
                    runs["ssh"].append(self.plain("ssh", ports[0]))
        wall = {name: min(run["wall"] for run in found) for name, found in runs.items()}
        cpu = {name: min(run["cpu_seconds"] for run in found) for name, found in runs.items()}
        mine = names(runs["engine"][-1]["verdicts"], "plateau://")
        same = all(names(run["verdicts"], f"{kind}://") == mine for kind, found in runs.items() if kind != "engine"
                   for run in found)  # fmt: skip
        if not same:
            differences(mine, names(runs["paramiko"][-1]["verdicts"], "paramiko://"))
        return {
            "checks": len(mine),
            "checks_passed": sum(one == "passed" for one in mine.values()),
            "round_trips_per_host": max(run["exchanges"] for run in runs["engine"]),
            "wall_ratio_paramiko_20ms": wall["paramiko"] / wall["engine"],
            "cpu_ratio_paramiko_1_host": cpu["paramiko"] / cpu["engine"],
            "wall_ratio_default_ssh": wall["ssh"] / wall["engine"],
            "verdicts_identical": same,
            "wall_seconds_engine": wall["engine"],
            "wall_seconds_paramiko": wall["paramiko"],
            "wall_seconds_ssh": wall["ssh"],
            "cpu_seconds_engine": cpu["engine"],
            "cpu_seconds_paramiko": cpu["paramiko"],
        }

    def processor(self) -> dict[str, Any]:
        """Processor time of the grader for four hosts: the interpreter's start counts once, as in a real session."""
        with self.proxies(0, CPU_HOSTS) as ports:
            hosts = {f"n{number}": port for number, port in enumerate(ports)}
            mine = min(self.engine(hosts)["cpu_seconds"] for _ in range(2))
            plain = min(self.pytest([f"paramiko://{name}" for name in hosts],
                                    f"--ssh-config={self.sshd.ssh_config(hosts)}")["cpu_seconds"]
                        for _ in range(2))  # fmt: skip
        return {"cpu_ratio_paramiko": plain / mine}

    def dead(self) -> dict[str, Any]:
        """What a host that never answers adds to some that do."""
        with self.proxies(5, DEAD_RUN_HOSTS) as ports, silent_port() as silent:
            hosts = {f"n{number}": port for number, port in enumerate(ports)}
            without = min(self.engine(hosts)["wall"] for _ in range(2))
            dead = min(self.engine({**hosts, "dead": silent})["wall"] for _ in range(2))
        return {"dead_host_extra_seconds": max(0.0, dead - without)}

    def large(self, count: int) -> dict[str, Any]:
        """Many hosts in one process; they all are this machine, whose own work is not counted."""
        with self.proxies(5, count) as ports:
            run = self.engine({f"n{number}": port for number, port in enumerate(ports)})
        lost = sum(one == "error" for one in run["verdicts"].values())
        if lost:
            sys.exit(f"large run: {lost} checks were not measured")
        return {
            "cpu_seconds_per_host_180": run["cpu_seconds"] / count,
            "rss_mb_180": run["rss_mb"],
            "wall_seconds_180": run["wall"],
            "collect_seconds_180": run["collected_seconds"],
        }

    def engine(self, hosts: dict[str, int], *, record: bool = False) -> dict[str, Any]:
        """Grade these hosts with the engine, snapshots written."""
        snapshots = Path(tempfile.mkdtemp(dir=self.folder))
        described = {
            "hosts": hosts, "user": self.sshd.user, "key": str(self.sshd.key), "host_key": str(self.sshd.host_key),
            "plan": str(self.folder / "plan"), "folder": str(snapshots), "record": record, "seconds": 600,
        }  # fmt: skip
        return self.pytest([f"plateau://{name}" for name in hosts], *LEAN, GRADING=json.dumps(described))

    def plain(self, kind: str, port: int) -> dict[str, Any]:
        """Grade one host with testinfra alone."""
        return self.pytest([f"{kind}://node"], f"--ssh-config={self.sshd.ssh_config({'node': port})}")

    def pytest(self, hosts: list[str], *options: str, **environment: str) -> dict[str, Any]:
        """Run the suite in a process of its own; its figures and its wall time in seconds."""
        figures = self.folder / "figures.json"
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--no-summary", "--tb=no", "--show-capture=no",
                   "-p", "no:cacheprovider", "-p", "no:logging", "-p", "testinfra.plugin",
                   "-p", "benchmarks.grading.plugin", "-o", "addopts=", "-o", "filterwarnings=", "--noconftest",
                   f"--hosts={','.join(hosts)}", SUITE, *options]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **ALONE, **environment, "GRADING_FIGURES": str(figures)}, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        wall = time.monotonic() - began
        if done.returncode not in {0, 1}:
            sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(figures.read_text())
        print(f"  {hosts[0]} x {len(hosts)}: {wall:.2f} s, {found['cpu_seconds']:.2f} s of processor", file=sys.stderr)
        return {**found, "wall": wall}

    @contextlib.contextmanager
    def proxies(self, rtt: float, count: int) -> Iterator[list[int]]:
        """Ports that lead to the sshd, `rtt` milliseconds away."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.grading.proxy", str(self.sshd.port), str(rtt), str(count)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            yield [int(port) for port in process.stdout.readline().split()]
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def names(verdicts: dict[str, str], host: str) -> dict[str, str]:
    """Verdicts without the name of the engine in their ids."""
    return {name.replace(f"{host}node", "node"): verdict for name, verdict in verdicts.items()}


def differences(mine: dict[str, str], theirs: dict[str, str]) -> None:
    """Say which verdicts differ."""
    for name in sorted(set(mine) | set(theirs)):
        if mine.get(name) != theirs.get(name):
            print(f"  {name}: engine {mine.get(name)}, paramiko {theirs.get(name)}", file=sys.stderr)
