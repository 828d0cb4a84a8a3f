"""One graded node while it is collected: its routes in order of preference, its answers, its plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graders.engine.command import Answer, Command
from graders.engine.routes import Hello, Route, RouteError
from graders.engine.snapshot import Observation, Snapshot
from labs.deadline import Deadline

NODE_SECONDS = 120.0


@dataclass
class Node:
    """Asks each question once: the answer is kept until `forget` (the machine was rebooted)."""

    name: str
    routes: Sequence[Route]
    snapshot: Snapshot
    answers: dict[Command, Answer] = field(default_factory=dict)
    hello: Hello | None = None
    problems: list[str] = field(default_factory=list)
    """Why a route was given up."""
    dead: str = ""
    """Why no route works, once that is known: nobody waits for it again."""
    source: str = ""
    """Where the snapshot says that its answers come from."""

    @property
    def exchanges(self) -> int:
        return sum(route.exchanges for route in self.routes)

    async def collect(self, commands: Iterable[Command], deadline: Deadline) -> None:
        """Ask what is not known yet, in one exchange. Never raises: a question without answer stays one."""
        missing = [one for one in dict.fromkeys(commands) if one not in self.answers]
        if missing and not self.dead:
            await self._ask(missing, deadline)

    async def ask(self, command: Command, deadline: Deadline) -> Answer:
        """One answer, asked now unless it is known. Raises RouteError when no route gives one."""
        await self.collect([command], deadline)
        try:
            return self.answers[command]
        except KeyError:
            raise RouteError(self.dead or f"{self.name}: no answer: {'; '.join(self.problems[-2:])}") from None

    async def forget(self, source: str) -> None:
        """Hang up and forget: the node has changed, and answers as `source` from now on."""
        self.source = source
        self.answers.clear()
        self.dead, self.hello = "", None
        for route in self.routes:
            await route.close()

    async def _ask(self, commands: Sequence[Command], deadline: Deadline) -> None:
        left = list(commands)
        reached = False
        for route in self.routes:
            try:
                answers = await route.ask(left, self._limit(route, deadline))
            except RouteError as problem:
                self.problems.append(str(problem))
                continue
            reached = True
            self.hello = self.hello or await route.hello(deadline)
            for command, answer in zip(left, answers, strict=True):
                if answer is not None:
                    self.answers[command] = answer
                    self.snapshot.record(observation(self.source or f"node:{self.name}", command, answer))
            left = [one for one in left if one not in self.answers]
            if not left:
                return
        if not reached:
            self.dead = f"{self.name}: no route works: {'; '.join(self.problems[-len(self.routes) :])}"

    def _limit(self, route: Route, deadline: Deadline) -> Deadline:
        return deadline if route.exchanges else deadline.sooner(NODE_SECONDS)


def observation(source: str, command: Command, answer: Answer) -> Observation:
    """A command's answer as the snapshot keeps it."""
    return Observation("", source, action(command), answer.to_data(), round(answer.seconds, 3))


def action(command: Command) -> str:
    """How the snapshot names a command."""
    return f"{'busybox' if command.trusted else command.language}: {command.text}"


async def collect_all(work: Sequence[tuple[Node, Sequence[Command]]], seconds: float, cap: int = 16) -> None:
    """Collect the plans of many nodes side by side, at most `cap` at once and each within `seconds`."""
    gate = asyncio.Semaphore(cap)

    async def one(node: Node, plan: Sequence[Command]) -> None:
        async with gate:
            await node.collect(plan, Deadline.after(seconds))

    async with asyncio.TaskGroup() as group:
        for node, plan in work:
            group.create_task(one(node, plan))
