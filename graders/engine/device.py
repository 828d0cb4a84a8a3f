"""The route to a network device: its command line over SSH, by netmiko; an answer ends at the device's prompt."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import secrets
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graders.engine.command import KEPT_BYTES, Answer, Command
from graders.engine.routes import BANNER_SECONDS, CONNECT_SECONDS, SLACK_SECONDS, Hello, RouteError
from labs.deadline import Deadline

if TYPE_CHECKING:
    from netmiko import BaseConnection

RECEIVED_LIMIT = 8 * KEPT_BYTES
"""Bytes that a device may send for one question, encryption included; then it is hung up."""
REFUSED = re.compile(r"^% ?[A-Z][a-z]")
"""How IOS and FRR say that a command is wrong, or that there is nothing: `% Invalid input detected`, `% Unknown …`."""
PAGER = re.compile(r" ?-- ?More ?-- ?")


@dataclass(frozen=True)
class DeviceLogin:
    """How the grader logs in. `type` is netmiko's device_type; `known` holds the device's host key."""

    type: str
    user: str
    known: Path
    password: str | None = None
    key: Path | None = None
    enable: str = ""
    """Password of the privileged mode; empty when the account is privileged or none is needed."""
    pinned: bool = False
    """Whether `known` was written beforehand; otherwise the first key that is seen is kept there."""


class MeteredSocket(socket.socket):
    """A connection that ends when the other side sends more than it was allowed to."""

    left = RECEIVED_LIMIT

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        self.left -= len(data)
        if self.left < 0:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the device sends without end")
        return data


class DeviceRoute:
    """One session of a device's command line; logged in when it is first used. A command is one exchange."""

    name = "netmiko"

    def __init__(self, address: Callable[[], tuple[str, int]], login: DeviceLogin, what: str) -> None:
        self._address, self._login, self._what = address, login, what
        self._connection: BaseConnection | None = None
        self._stream: MeteredSocket | None = None
        self.exchanges = 0

    async def hello(self, deadline: Deadline) -> Hello | None:
        """A device tells neither its boot nor, with any precision, its clock."""
        return None

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        return await asyncio.to_thread(self._ask, commands, deadline)

    async def close(self) -> None:
        await asyncio.to_thread(self._hang_up)

    def _ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        found: list[Answer | None] = []
        for command in commands:
            try:
                if self._connection is None:
                    self._open(deadline)
                found.append(self._run(command, deadline.sooner(command.seconds)))
            except RouteError:
                self._hang_up()
                if not any(found):
                    raise
                break  # what was answered stays; the rest is asked again, when a check needs it
        return found + [None] * (len(commands) - len(found))

    def _open(self, deadline: Deadline) -> None:
        from netmiko import ConnectHandler
        from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException
        from paramiko import SSHException

        # Its background thread logs a traceback for every broken connection, beside the exception that we handle.
        logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)
        login, (host, port) = self._login, self._address()
        seconds = deadline.sooner(CONNECT_SECONDS)
        login.known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        login.known.touch(mode=0o600)
        try:
            self._stream = _knock(host, port, seconds.sooner(BANNER_SECONDS))
            self._connection = ConnectHandler(
                device_type=login.type, host=host, port=port, sock=self._stream, username=login.user,
                password=login.password, use_keys=login.key is not None, key_file=login.key and str(login.key),
                secret=login.enable, allow_agent=False, ssh_strict=login.pinned, alt_host_keys=True,
                alt_key_file=str(login.known), auth_timeout=seconds.remaining, banner_timeout=seconds.remaining,
                read_timeout_override=max(1.0, seconds.remaining), encoding="utf-8",
            )  # fmt: skip
            if login.enable and not self._connection.check_enable_mode():
                self._connection.enable()
        except NetmikoAuthenticationException:
            self._hang_up()
            raise RouteError(f"{self._what}: {host}:{port} refused the account {login.user}") from None
        except (OSError, SSHException, NetmikoBaseException, ValueError, EOFError) as problem:
            self._hang_up()
            reason = " ".join(str(problem).split())[:300] or type(problem).__name__
            if "does not match" in reason:
                reason = f"its host key is not the one in {login.known}; delete that file if the machine was made anew"
            raise RouteError(f"{self._what}: command line of {host}:{port}: {reason}") from None

    def _run(self, command: Command, deadline: Deadline) -> Answer:
        """One command. A word that the device cannot know marks the end: its answer may contain the prompt."""
        assert self._connection is not None
        assert self._stream is not None
        if not command.text.isprintable():
            raise RouteError(f"{self._what}: not one line of a command line: {command.text[:80]!r}")
        began = time.monotonic()
        self._stream.left = RECEIVED_LIMIT
        prompt = rf"(?:^|[\r\n]){re.escape(self._connection.base_prompt)}[^\r\n]{{0,40}}[>#][ \t]*"
        self.exchanges += 1
        raw = self._send(command.text, rf"{prompt}\Z", deadline)
        if raw is None:
            self._hang_up()
            return Answer(None, seconds=time.monotonic() - began, route=self.name)
        seconds = time.monotonic() - began
        mark = f"! {secrets.token_hex(6)}"
        echo = self._send(mark, rf"{re.escape(mark)}[\r\n\s]*{prompt}\Z", Deadline.after(SLACK_SECONDS))
        if echo is None or echo.partition(mark)[0].strip():
            raise RouteError(f"{self._what}: {command.text!r}: the answer holds the device's own prompt, or no end")
        text = strip(raw, command.text, prompt)
        status = 1 if any(REFUSED.match(line) for line in text.splitlines()[:4]) else 0
        return Answer(status, text.encode()[:KEPT_BYTES], b"", seconds, self.name)

    def _send(self, text: str, end: str, deadline: Deadline) -> str | None:
        """What follows a line until `end`; None when it did not come in time. Raises RouteError when hung up."""
        from netmiko.exceptions import NetmikoBaseException
        from paramiko import SSHException

        connection, seen = self._connection, ""
        assert connection is not None
        pattern = re.compile(end)
        try:
            connection.write_channel(f"{text}{connection.RETURN}")
            for _ in deadline.ticks(0.005, 1.2):
                seen += connection.read_channel().replace("\x1b[K", "")
                if pattern.search(seen[-4096:]):
                    return seen
                if PAGER.search(seen[-40:]):
                    connection.write_channel(" ")
                    seen = PAGER.sub("", seen)
                if getattr(connection.remote_conn, "closed", False):  # is_alive() would type a NUL on the device
                    raise OSError("it hung up")
        except (OSError, EOFError, SSHException, NetmikoBaseException) as problem:
            raise RouteError(f"{self._what}: {text[:80]!r}: {' '.join(str(problem).split())[:200]}") from None
        return None

    def _hang_up(self) -> None:
        connection, stream = self._connection, self._stream
        self._connection = self._stream = None
        if connection is not None:
            connection.paramiko_cleanup()
        if stream is not None:
            stream.close()


def strip(raw: str, command: str, prompt: str) -> str:
    """The answer alone: no echo of the command, no prompt, no backspaces of a pager, line ends as elsewhere.

    >>> strip("show x\\r\\none\\r\\ntwo\\r\\nr1# ", "show x", r"(?:^|[\\r\\n])r1[>#][ \\t]*")
    'one\\ntwo\\n'
    """
    text = re.sub(rf"{prompt}\Z", "\n", raw).replace("\r\n", "\n").replace("\r", "")
    text = re.sub(r"\x08+ *\x08*", "", text)
    first, _, rest = text.partition("\n")
    text = rest if command in first else text
    return text.strip("\n") + "\n" if text.strip() else ""


def _knock(host: str, port: int, deadline: Deadline) -> MeteredSocket:
    """A connection on which something answers. Raises OSError."""
    stream = MeteredSocket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        stream.settimeout(max(0.1, deadline.remaining))
        stream.connect((host, port))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not select.select([stream], [], [], deadline.remaining)[0]:
            raise TimeoutError("no answer")
    except OSError:
        stream.close()
        raise
    return stream
