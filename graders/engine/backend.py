"""testinfra's `host` over the engine: its modules run unchanged, the engine answers their commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from graders.engine import facts
from graders.engine.command import Answer, Command, is_trusted

Ask = Callable[[Command], Answer]


class EngineBackend(BaseBackend):  # type: ignore[misc]
    """Turns testinfra's commands into ours."""

    NAME = "plateau"

    def __init__(self, name: str, ask: Ask, tell: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(name)
        self._ask, self._tell = ask, tell

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        """The result of a command, as far as it may be believed; `tell` gets what contradicts the node's tools."""
        text = self.get_command(command, *args)
        answer = self._ask(Command(text, trusted=is_trusted(text)))
        answer, doubt = facts.weigh(text, answer, self._ask)
        if doubt:
            self._tell(doubt)
        status = 124 if answer.status is None else answer.status
        return self.result(status, text.encode("utf-8", "surrogateescape"), answer.stdout, answer.stderr)

    def get_encoding(self) -> str:
        """The commands run with a UTF-8 locale: the node need not be asked."""
        return "UTF-8"

    def decode(self, data: bytes) -> str:
        """Text for the checks: bytes that are no UTF-8 must not stop the grader."""
        return data.decode("utf-8", "replace")


def engine_host(name: str, ask: Ask, tell: Callable[[str], None] = lambda _: None) -> Any:
    """A testinfra host whose commands `ask` answers."""
    backend = EngineBackend(name, ask, tell)
    host = Host(backend)
    backend.set_host(host)
    return host
