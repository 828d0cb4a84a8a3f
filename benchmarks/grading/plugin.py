"""pytest plugin (-p benchmarks.grading.plugin): `--hosts=plateau://NAME` is the engine; figures go to $GRADING_FIGURES.

$GRADING describes the hosts: {"hosts": {NAME: port}, "user", "key", "host_key", "plan", "seconds"}.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import testinfra.backend

from graders.engine.backend import EngineBackend
from graders.engine.command import Answer, Command
from graders.engine.loop import Loop
from graders.engine.node import Node, collect_all
from graders.engine.plan import load, save
from graders.engine.routes import RouteError, SshRoute
from graders.engine.snapshot import Snapshot
from graders.plugin import quick
from labs.deadline import Deadline

DESCRIBED = json.loads(os.environ.get("GRADING", "{}"))
VERDICTS: dict[str, str] = {}
BEGAN = time.monotonic()


class Hosts:
    """All hosts of the run."""

    def __init__(self) -> None:
        self.loop = Loop()
        folder = Path(DESCRIBED["folder"])
        host_key, key = Path(DESCRIBED["host_key"]), Path(DESCRIBED["key"])
        self.nodes = {
            name: Node(name, [SshRoute(lambda port=port: ("127.0.0.1", port), DESCRIBED["user"], key, host_key, name)],
                       Snapshot(folder / f"{name}.jsonl"))
            for name, port in DESCRIBED["hosts"].items()
        }  # fmt: skip
        self.asked: dict[Command, None] = {}
        self.seconds = float(DESCRIBED["seconds"])

    def collect(self) -> None:
        commands = load(Path(DESCRIBED["plan"]), {}).get("node", [])
        self.loop.run(collect_all([(node, commands) for node in self.nodes.values()], self.seconds))

    def ask(self, name: str, command: Command) -> Answer:
        self.asked[command] = None
        node = self.nodes[name]
        if command in node.answers:
            return node.answers[command]
        return self.loop.run(node.ask(command, Deadline.after(self.seconds)))

    def close(self) -> None:
        async def hang_up() -> None:
            await asyncio.gather(*(node.forget("") for node in self.nodes.values()))

        exchanges = max(node.exchanges for node in self.nodes.values())
        self.loop.run(hang_up())
        self.loop.close()
        for node in self.nodes.values():
            node.snapshot.close()
        if DESCRIBED.get("record"):
            save(Path(DESCRIBED["plan"]), {"node": self.asked}, {})
        figures["exchanges"] = exchanges


class Backend(EngineBackend):
    """What `plateau://NAME` means to testinfra."""

    def __init__(self, name: str, *_args: Any, **_options: Any) -> None:
        super().__init__(name, lambda command: HOSTS[0].ask(name, command))


HOSTS: list[Hosts] = []
figures: dict[str, Any] = {}


def pytest_configure(config: Any) -> None:
    testinfra.backend.BACKENDS["plateau"] = f"{__name__}.Backend"
    if DESCRIBED:  # as in grading; plain testinfra runs as testinfra does
        config.pluginmanager.register(quick)


def pytest_sessionstart(session: Any) -> None:
    if DESCRIBED:
        HOSTS.append(Hosts())
        HOSTS[0].collect()
        figures["collected_seconds"] = time.monotonic() - BEGAN


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        lost = isinstance(report.longrepr, object) and RouteError.__name__ in str(report.longrepr)
        VERDICTS[report.nodeid.partition("::")[2]] = "error" if lost else report.outcome


def pytest_sessionfinish(session: Any) -> None:
    if HOSTS:
        HOSTS[0].close()
    own, children = (resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    figures["cpu_seconds"] = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    figures["rss_mb"] = own.ru_maxrss / 1024
    figures["verdicts"] = VERDICTS
    Path(os.environ["GRADING_FIGURES"]).write_text(json.dumps(figures))
