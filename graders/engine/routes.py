"""How the grader reaches a node: SSH with a known host key, or the hypervisor's guest agent; one interface."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from graders.engine import wire
from graders.engine.command import Answer, Command
from labs.errors import DeadlineError, HypervisorError, PlateauError

if TYPE_CHECKING:
    from pathlib import Path

    import asyncssh

    from labs.deadline import Deadline
    from labs.hypervisors.base import ExecResult

CONNECT_SECONDS = 10.0
BANNER_SECONDS = 4.0
"""For the first bytes of an SSH server: an emulated machine needs one or two."""
CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""First; then asyncssh's own. A processor has instructions for them: the default costs three times as much here."""
SLACK_SECONDS = 5.0
"""Beyond the seconds of a command, for the node to kill it and say so."""


class RouteError(PlateauError):
    """A route did not work: says nothing about the candidate."""


@dataclass(frozen=True)
class Hello:
    """What a node said first. `skew`: its clock minus the grader's, in seconds; `boot_id` of its kernel."""

    skew: float
    boot_id: str


class Route(Protocol):
    """A way to run commands on one node. The same object serves one event loop."""

    name: str
    exchanges: int
    """How often something was sent and waited for."""

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        """Run the commands in order; None for those that were not answered in time.

        Raises RouteError when the route does not work at all.
        """
        ...

    async def hello(self, deadline: Deadline) -> Hello | None:
        """What the node said of itself, opening the route if need be. None when the route does not tell."""
        ...

    async def close(self) -> None:
        """Hang up; nothing is left on the node."""
        ...


class SshRoute:
    """The runner in an SSH channel; connected when it is first used."""

    name = "ssh"

    def __init__(self, address: Callable[[], tuple[str, int]], user: str, key: Path, host_key: Path, what: str) -> None:
        self._address, self._user, self._key, self._host_key, self._what = address, user, key, host_key, what
        self._connection: asyncssh.SSHClientConnection | None = None
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._reader: wire.Reader | None = None
        self._sent = 0
        self._hello: Hello | None = None
        self.exchanges = 0

    async def hello(self, deadline: Deadline) -> Hello | None:
        await self.ask([], deadline)
        return self._hello

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        import asyncssh

        if self._process is None:
            await self._open(deadline)
        began = time.time()
        assert self._process is not None
        assert self._reader is not None
        first, self._sent = self._sent, self._sent + len(commands)
        found: dict[int, Answer] = {}
        if not commands and self._reader.greeting is not None:
            return []
        self.exchanges += 1
        seconds = deadline.sooner(sum(one.seconds + SLACK_SECONDS for one in commands) or deadline.remaining)
        try:
            if commands:
                self._process.stdin.write(wire.requests(first, commands))
            async with asyncio.timeout(seconds.remaining):
                while self._reader.greeting is None or len(found) < len(commands):
                    data = await self._process.stdout.read(1 << 18)
                    if not data:
                        raise RouteError(f"{self._what}: the node closed the SSH channel while it was asked")
                    for number, answer in self._reader.feed(data):
                        if number >= first:
                            found.setdefault(number, answer)
                    if self._hello is None and self._reader.greeting is not None:
                        self._greeted(began)
        except TimeoutError:
            # What is still running there belongs to no one: the next question gets a new channel.
            await self.close()
            if not found:
                raise RouteError(f"{self._what}: no answer over SSH before the deadline") from None
        except (OSError, asyncssh.Error, RouteError, wire.NoisyError) as problem:
            await self.close()
            if not found:
                raise RouteError(f"{self._what}: SSH: {problem}".replace(f"SSH: {self._what}: ", "")) from None
        return [found.get(first + offset) for offset in range(len(commands))]

    async def close(self) -> None:
        connection, process = self._connection, self._process
        self._connection = self._process = self._reader = None
        if process is not None:
            with contextlib.suppress(TimeoutError, OSError):  # the runner takes its folder away when nothing more comes
                process.stdin.write_eof()
                await asyncio.wait_for(process.wait_closed(), 2.0)
        if connection is not None:
            connection.close()
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(connection.wait_closed(), 2.0)

    def _greeted(self, began: float) -> None:
        assert self._reader is not None
        assert self._reader.greeting is not None
        greeting = self._reader.greeting
        self._hello = Hello(greeting.clock - (began + time.time()) / 2, greeting.boot_id)

    async def _open(self, deadline: Deadline) -> None:
        import asyncssh

        # A node that cannot be connected to within seconds will not be: the other route waits.
        deadline = deadline.sooner(CONNECT_SECONDS)
        host, port = self._address()
        stream = await self._knock(host, port, deadline.sooner(BANNER_SECONDS))
        nonce = secrets.token_hex(8)
        command, tools = wire.opening(nonce)
        try:
            async with asyncio.timeout(max(0.1, deadline.remaining)):
                self._connection = await asyncssh.connect(
                    host,
                    port,
                    sock=stream,
                    username=self._user,
                    client_keys=[str(self._key)],
                    known_hosts=([asyncssh.read_public_key(self._host_key)], [], []),
                    preferred_auth="publickey",
                    agent_path=None,
                    config=None,
                    compression_algs=["none"],
                    encryption_algs=CIPHERS,
                )
                process: Any = await self._connection.create_process(
                    command, encoding=None, stderr=asyncssh.DEVNULL, window=1 << 22
                )
        except (OSError, TimeoutError, asyncssh.Error) as problem:
            await self.close()
            reason = str(problem) or type(problem).__name__
            raise RouteError(f"{self._what}: SSH to {host}:{port} failed: {reason}") from None
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._process = process
        self._reader, self._sent = wire.Reader(nonce, self.name), 0
        process.stdin.write(tools)

    async def _knock(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        """A connection on which something answers: a dead node is known before the long wait for a login."""
        loop = asyncio.get_running_loop()
        stream = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        stream.setblocking(False)
        spoken = loop.create_future()
        try:
            async with asyncio.timeout(deadline.remaining):
                await loop.sock_connect(stream, (host, port))
                loop.add_reader(stream, spoken.cancel)
                await asyncio.wait([spoken])
        except (OSError, TimeoutError) as problem:
            loop.remove_reader(stream)
            stream.close()
            reason = str(problem) or "no answer"
            raise RouteError(f"{self._what}: SSH to {host}:{port} failed: {reason}") from None
        loop.remove_reader(stream)
        return stream


class OneCallRoute:
    """A route without a connection of its own: each batch of questions is a call; who it is shows in the first."""

    _hello: Hello | None = None

    async def hello(self, deadline: Deadline) -> Hello | None:
        if self._hello is None:
            await self.ask([], deadline)
        return self._hello

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        raise NotImplementedError


class AgentRoute(OneCallRoute):
    """The runner in one call of the guest agent: needs no network of the candidate's and no login shell."""

    name = "agent"

    def __init__(self, execute: Callable[[Sequence[str], Deadline, bytes], ExecResult], what: str) -> None:
        self._execute, self._what = execute, what
        self.exchanges = 0

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        nonce = secrets.token_hex(8)
        command, tools = wire.opening(nonce)
        payload = tools + wire.requests(0, commands)
        self.exchanges += 1
        began = time.time()
        call = asyncio.to_thread(self._execute, ["/bin/sh", "-c", command], deadline, payload)
        try:
            result = await call
        except (HypervisorError, DeadlineError) as problem:
            raise RouteError(f"{self._what}: guest agent: {problem}") from None
        reader = wire.Reader(nonce, self.name)
        try:
            found = dict(reversed(reader.feed(result.stdout)))
        except wire.NoisyError as problem:
            raise RouteError(f"{self._what}: guest agent: {problem}") from None
        if reader.greeting is None:
            raise RouteError(f"{self._what}: guest agent: the grader's tools did not start")
        self._hello = Hello(reader.greeting.clock - (began + time.time()) / 2, reader.greeting.boot_id)
        return [found.get(number) for number in range(len(commands))]

    async def close(self) -> None:
        """Each call closed itself."""
