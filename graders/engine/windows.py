"""The route to a Windows node: one PowerShell over WinRM runs all questions and answers in JSON, by pywinrm."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.engine.command import KEPT_BYTES, Answer, Command
from graders.engine.routes import CONNECT_SECONDS, SLACK_SECONDS, Hello, OneCallRoute, RouteError
from labs.deadline import Deadline
from labs.powershell import ARGUMENTS, POWERSHELL

if TYPE_CHECKING:
    from winrm.protocol import Protocol

POLL_SECONDS = 5
"""The server is asked again so often whether the PowerShell has ended."""
PIECE = 64 * 1024
"""Of standard input, a message; Windows refuses envelopes of more than 500 kB (MaxEnvelopeSizekb)."""
OUTPUT_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class WindowsLogin:
    """How the grader logs in by NTLM. `ca` verifies the certificate; without it the messages are encrypted all the
    same, under keys that only a server which knows the password can have (but a certificate is not compared)."""

    user: str
    password: str
    tls: bool = True
    ca: Path | None = None


class WindowsRoute(OneCallRoute):
    """A PowerShell for each batch of questions."""

    name = "winrm"

    def __init__(self, address: Callable[[], tuple[str, int]], login: WindowsLogin, what: str) -> None:
        self._address, self._login, self._what = address, login, what
        self.exchanges = 0

    async def ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        return await asyncio.to_thread(self._ask, commands, deadline)

    async def close(self) -> None:
        """Each batch closed its shell."""
        self._hello = None

    def _ask(self, commands: Sequence[Command], deadline: Deadline) -> list[Answer | None]:
        from requests.exceptions import RequestException
        from spnego.exceptions import SpnegoError
        from winrm.exceptions import InvalidCredentialsError, WinRMError, WinRMTransportError

        host, port = self._address()
        deadline = deadline.sooner(sum(one.seconds for one in commands) + CONNECT_SECONDS + SLACK_SECONDS)
        nonce, began = secrets.token_hex(8), time.time()
        self.exchanges += 1
        try:
            with socket.create_connection((host, port), min(CONNECT_SECONDS, max(0.1, deadline.remaining))):
                pass  # a dead machine is known before the long wait of an HTTP request
            output, errors = self._powershell(self._protocol(host, port), program(nonce, commands), deadline)
        except InvalidCredentialsError:
            raise RouteError(f"{self._what}: WinRM of {host}:{port} refused the account {self._login.user}") from None
        except (
            StopIteration,
            SyntaxError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            AssertionError,
            SpnegoError,
        ) as problem:
            raise RouteError(f"{self._what}: {host}:{port} does not speak WinRM as it should ({problem!r})") from None
        except (OSError, RequestException, WinRMError, WinRMTransportError) as problem:
            reason = " ".join(str(problem).split())[:300] or type(problem).__name__
            raise RouteError(f"{self._what}: WinRM of {host}:{port}: {reason}") from None
        told = read(output, nonce)
        if told is None:
            raise RouteError(f"{self._what}: PowerShell did not answer: {errors.decode('utf-8', 'replace')[:300]}")
        return self._answers(told, len(commands), (began + time.time()) / 2)

    def _answers(self, told: Any, count: int, middle: float) -> list[Answer | None]:
        try:
            self._hello = Hello(float(told["clock"]) - middle, str(told["boot"]))
            answers = [
                Answer(
                    None if one["status"] is None else int(one["status"]),
                    str(one["out"]).encode("utf-8", "replace")[:KEPT_BYTES],
                    str(one["error"]).encode("utf-8", "replace")[:KEPT_BYTES],
                    float(one["seconds"]),
                    self.name,
                )
                for one in told["answers"]
            ]
        except (KeyError, TypeError, ValueError) as problem:
            raise RouteError(f"{self._what}: PowerShell answered something else ({problem!r})") from None
        if len(answers) != count:
            raise RouteError(f"{self._what}: {count} questions, {len(answers)} answers")
        return list(answers)

    def _protocol(self, host: str, port: int) -> Protocol:
        from winrm.protocol import Protocol

        login = self._login
        return Protocol(
            endpoint=f"{'https' if login.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/wsman",
            transport="ntlm",
            username=login.user,
            password=login.password,
            server_cert_validation="validate" if login.ca else "ignore",
            ca_trust_path=str(login.ca) if login.ca else "legacy_requests",
            message_encryption="always",
            operation_timeout_sec=POLL_SECONDS,
            read_timeout_sec=POLL_SECONDS + 10,
            proxy=None,
        )

    def _powershell(self, protocol: Protocol, text: bytes, deadline: Deadline) -> tuple[bytes, bytes]:
        """Output and error output of a PowerShell that runs `text`."""
        from winrm.exceptions import WinRMOperationTimeoutError

        shell = protocol.open_shell(codepage=65001)
        try:
            command = protocol.run_command(shell, POWERSHELL, ARGUMENTS, console_mode_stdin=False)
            try:
                _send(protocol, shell, command, base64.b64encode(text))
                streams, over = (bytearray(), bytearray()), False
                while not over:
                    with contextlib.suppress(WinRMOperationTimeoutError):
                        *parts, _, over = protocol.get_command_output_raw(shell, command)
                        for stream, part in zip(streams, parts, strict=True):
                            stream.extend(part)
                    if not over and (deadline.expired or len(streams[0]) > OUTPUT_LIMIT):
                        raise TimeoutError("no end of the answer before the deadline")
                return bytes(streams[0]), bytes(streams[1])
            finally:
                protocol.cleanup_command(shell, command)
        finally:
            protocol.close_shell(shell)


def _send(protocol: Protocol, shell: str, command: str, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        protocol.send_command_input(shell, command, data[start : start + PIECE], end=start + PIECE >= len(data))


@cache
def _template() -> str:
    lines = Path(__file__).with_name("windows.ps1").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")) + "\n"


def program(nonce: str, commands: Sequence[Command]) -> bytes:
    """The PowerShell that asks these questions. Values are base64: nothing of them is read as code around them."""
    questions = json.dumps([{"run": one.text, "seconds": one.seconds} for one in commands])
    text = _template().replace("@QUESTIONS@", base64.b64encode(questions.encode()).decode())
    return text.replace("@LIMIT@", str(KEPT_BYTES)).replace("@NONCE@", nonce).encode()


def read(output: bytes, nonce: str) -> Any:
    """What the program told; None when it did not. What others printed before it is not looked at."""
    for line in reversed(output.split(b"\n")):
        word, _, rest = line.strip().partition(b" ")
        if word == nonce.encode():
            with contextlib.suppress(ValueError):
                return json.loads(base64.b64decode(rest, validate=True))
    return None
