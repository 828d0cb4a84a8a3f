"""The engine of one bench: its nodes, their plan, and the hosts that checks read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from graders.engine import plan, signs
from graders.engine.command import SHELL, Answer, Command
from graders.engine.doors import routes
from graders.engine.loop import Loop
from graders.engine.node import Node, action, collect_all
from graders.engine.routes import Hello, RouteError
from graders.engine.snapshot import Observation
from labs.deadline import Deadline
from labs.errors import PlateauError
from labs.paths import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graders.notebook import Notebook
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.sessionfiles import SessionFiles

LOOK_SECONDS = 60.0


class BenchEngine:
    """Answers the commands of one bench's checks: from the plan's collection, else live; always recorded.

    >>> engine.host("ws").file("/etc/hosts").exists
    True
    """

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench, files: SessionFiles, notebook: Notebook) -> None:
        self.hypervisor, self.bench, self.files, self.notebook = hypervisor, bench, files, notebook
        self.asked: dict[str, dict[Command, None]] = {}
        """Node -> what the checks asked, in order: the plan of the lab."""
        self.signs: list[str] = []
        """What the jury should know about the machines, one sentence each."""
        self._phase = ""
        self._looked: set[str] = set()
        self._loop = Loop()
        self._nodes: dict[tuple[str, str], Node] = {}
        self._plan: dict[str, list[Command]] | None = None

    def host(self, node: str) -> Any:
        """The testinfra host of a machine; a command raises RouteError when no route answers it."""
        from graders.engine.backend import engine_host

        def tell(doubt: str) -> None:
            self._tell(node, f"{node} : {doubt}")

        return engine_host(f"{self.bench.candidate.id}/{node}", lambda command: self.ask(node, command), tell)

    def _tell(self, node: str, sign: str) -> None:
        """A sign of tampering: with the evidence of the check, once a bench; it changes no mark."""
        if sign not in self.signs:
            self.signs.append(sign)
            self.notebook.add(f"sign:{node}", "signe d'altération, à l'appréciation du jury", sign, 0.0)
            if not self.notebook.snapshot.replaying:
                self.notebook.snapshot.record(Observation("", f"sign:{node}", "sign", sign))

    def ask(self, node: str, command: Command) -> Answer:
        """One answer, noted as evidence of the current check. Raises RouteError, or MissingError on a replay."""
        self.asked.setdefault(node, {})[command] = None
        deadline = self.notebook.current.deadline
        if self.notebook.snapshot.replaying:
            found = self.notebook.snapshot.take("", self._source(node), action(command)).answer
            if "error" in found:
                raise RouteError(found["error"])
            answer = Answer.from_data(found)
        else:
            answer = self._live(node, command, deadline)
        shown = (answer.stdout + (b"\n[stderr] " + answer.stderr if answer.stderr else b"")).decode("utf-8", "replace")
        status = "killed" if answer.status is None else answer.status
        self.notebook.add(f"{answer.route}:{node}", command.text, f"[{status}] {shown}", answer.seconds)
        if answer.status is None:
            raise RouteError(f"{node}: stopped after {command.seconds:g} s: {command.text[:200]}")
        return answer

    def look(self, node: str) -> None:
        """Whether there are signs that a Unix machine was tampered with: once, and nothing when it does not answer."""
        if self.notebook.snapshot.replaying or node in self._looked or not self.bench.node(node).model.unix:
            return
        self._looked.add(node)
        with contextlib.suppress(PlateauError):  # what a check needs, it asks for itself
            found = self.node(node)
            if not found.answers:
                self._open(node, found, SHELL, [], Deadline.after(LOOK_SECONDS))

    def collect(self, commands: dict[str, Sequence[Command]], seconds: float) -> None:
        """Ask many commands of several nodes at once; what was not answered is asked again when a check needs it."""
        work: dict[tuple[str, str], list[Command]] = {}
        for name, wanted in commands.items():
            for one in wanted:
                work.setdefault((name, one.language), []).append(one)
        self._loop.run(collect_all([(self.node(*key), wanted) for key, wanted in work.items()], seconds))

    def hello(self, node: str, deadline: Deadline) -> Hello | None:
        """Clock and boot of a node. Raises RouteError."""
        found = self.node(node)

        async def greet() -> Hello | None:
            for route in found.routes:
                try:
                    return await route.hello(deadline)
                except RouteError as problem:
                    found.problems.append(str(problem))
            return None

        found.hello = found.hello or self._loop.run(greet())
        return found.hello

    def node(self, name: str, language: str = SHELL) -> Node:
        """The node of that name, with the routes on which this language is understood."""
        key = name, language
        if key not in self._nodes:
            assert self.hypervisor is not None
            folder = CATALOGUE / self.bench.session.lab.name
            found = routes(self.hypervisor, self.bench.node(name), self.files, language, folder)
            self._nodes[key] = Node(name, found, self.notebook.snapshot, source=self._source(name))
        return self._nodes[key]

    def forget(self, phase: str = "") -> None:
        """Hang up and forget every answer: what follows is another phase (the machines reboot)."""
        self._phase = phase
        for node in self._nodes.values():
            self._loop.run(node.forget(self._source(node.name)))

    def close(self) -> None:
        """Hang up for good."""
        self.forget()
        self._loop.close()

    def _live(self, node: str, command: Command, deadline: Deadline) -> Answer:
        found = self.node(node, command.language)
        if not found.answers:
            self._open(node, found, command.language, [command], deadline)
        try:
            return self._loop.run(found.ask(command, deadline))
        except RouteError as problem:
            error = {"error": str(problem)}
            self.notebook.snapshot.record(Observation("", self._source(node), action(command), error))
            raise

    def _open(self, name: str, node: Node, language: str, first: Sequence[Command], deadline: Deadline) -> None:
        """The first exchange with a node: everything that the plan knows goes with it, and what would be unusual."""
        unix = language == SHELL
        planned = [one for one in self._planned(name) if one.language == language]
        self._loop.run(node.collect([*first, *planned, *(signs.COMMANDS if unix else ())], deadline))
        with contextlib.suppress(RouteError):
            for sign in signs.look(name, node.hello, lambda one: self._loop.run(node.ask(one, deadline)), unix=unix):
                self._tell(name, sign)

    def _source(self, node: str) -> str:
        return f"node:{node}" + (f"@{self._phase}" if self._phase else "")

    def _planned(self, node: str) -> list[Command]:
        if self._plan is None:
            self._plan = plan.load(CATALOGUE / self.bench.session.lab.name, self.bench.values)
        return self._plan.get(node, [])
