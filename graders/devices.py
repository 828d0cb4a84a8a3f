"""What a check asks of machines that are no Unix: a network device's command line, a Windows machine's PowerShell.

Both go through the engine: asked once a phase, with the plan of the lab, and answered by the snapshot on a replay.
Nothing is judged there: PowerShell and commands only read, Python compares.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graders.engine.command import DEVICE, POWERSHELL, SECONDS, Command
from labs.errors import PlateauError

if TYPE_CHECKING:
    from graders.engine.bench import BenchEngine

VOLATILE = re.compile(
    r"^(!.*|Building configuration\.*|Current configuration.*|Using \d+ .*bytes.*|ntp clock-period .*|"
    r"frr version .*|end)?$"
)
"""Lines of a configuration that say nothing about it."""
STARTUP = {"frr": "cat /etc/frr/frr.conf"}
"""Where a restart would take the configuration from, when the command line has no `show startup-config`."""


class AnswerError(PlateauError):
    """A machine answered something that cannot be read: says nothing about the candidate."""


class Device:
    """A network device. FRR is asked through vtysh, as root of its machine; any other through netmiko."""

    def __init__(self, engine: BenchEngine, node: str) -> None:
        self._engine, self._node = engine, node

    @property
    def _frr(self) -> bool:
        model = self._engine.bench.node(self._node).model.device
        return model is None or model.type == "frr"

    def show(self, command: str) -> str:
        """What a command prints, also when the device refuses it (`% Invalid input…`). Raises RouteError."""
        if self._frr:
            return self._ask(Command(f"vtysh -c {shlex.quote(command)}"))
        return self._ask(Command(command, language=DEVICE))

    def json(self, command: str) -> Any:
        """The same, read as JSON (FRR: `show … json`); None when the device prints nothing. Raises AnswerError."""
        text = self.show(command)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise AnswerError(f"{self._node}: {command}: not JSON: {' '.join(text.split())[:200]}") from None

    def running(self) -> Block:
        """The configuration in force."""
        return parse(self.show("show running-config"))

    def startup(self) -> Block:
        """The configuration that a restart would take."""
        return parse(self._ask(Command(STARTUP["frr"])) if self._frr else self.show("show startup-config"))

    def unsaved(self) -> list[str]:
        """What a restart would change: `+ line` is lost, `- line` comes back. Empty when all is saved."""
        running, startup = set(self.running().paths()), set(self.startup().paths())
        lost = [f"+ {' / '.join(path)}" for path in sorted(running - startup)]
        return lost + [f"- {' / '.join(path)}" for path in sorted(startup - running)]

    def _ask(self, command: Command) -> str:
        return self._engine.ask(self._node, command).stdout.decode("utf-8", "replace")


class Windows:
    """A Windows machine."""

    def __init__(self, engine: BenchEngine, node: str) -> None:
        self._engine, self._node = engine, node

    def query(self, powershell: str, seconds: float = SECONDS) -> list[Any]:
        """The objects that a PowerShell pipeline gives, as JSON carries them (end it with Select-Object).

        Raises RouteError, and AnswerError when the pipeline reported an error.
        """
        answer = self._engine.ask(self._node, Command(powershell, seconds, language=POWERSHELL))
        if answer.status != 0:
            told = " ".join(answer.stderr.decode("utf-8", "replace").split())
            raise AnswerError(f"{self._node}: {powershell[:200]}: {told[:300]}")
        try:
            found = json.loads(answer.stdout)
        except ValueError:
            raise AnswerError(f"{self._node}: {powershell[:200]}: not JSON, or cut") from None
        return list(found) if isinstance(found, list) else [found]


@dataclass
class Block:
    """A line of a configuration and the lines below it, told by their indentation.

    >>> parse("interface e0\\n ip address 10.0.0.1 255.0.0.0\\n!\\n").find("interface e0").lines
    ['ip address 10.0.0.1 255.0.0.0']
    """

    line: str = ""
    below: list[Block] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [one.line for one in self.below]

    def find(self, start: str) -> Block:
        """The first block below whose line starts so; an empty one when there is none."""
        return next((one for one in self.below if one.line.startswith(start)), Block())

    def paths(self, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        """Every line with those above it."""
        found = []
        for one in self.below:
            found += [(*above, one.line), *one.paths((*above, one.line))]
        return found


def parse(text: str) -> Block:
    """The configuration as a tree. Comments, dates and sizes are left out."""
    root = Block()
    open_blocks = [(-1, root)]
    for line in text.splitlines():
        words = line.strip()
        if VOLATILE.match(words) or words in {"exit", "exit-address-family"}:
            continue
        depth = len(line) - len(line.lstrip())
        while open_blocks[-1][0] >= depth:
            open_blocks.pop()
        block = Block(" ".join(words.split()))
        open_blocks[-1][1].below.append(block)
        open_blocks.append((depth, block))
    return root
