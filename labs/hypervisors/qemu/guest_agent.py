"""The QEMU guest agent: commands inside one virtual machine without its network (qemu-ga-ref(7))."""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.base import ExecResult
from labs.hypervisors.qemu import sockets

OUTPUT_LIMIT = 16 << 20


class GuestAgent:
    """The agent of one machine. It serves one client at a time, so a lock file queues ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ping(self, deadline: Deadline) -> None:
        """Raise HypervisorError unless the agent answers before the deadline."""
        with self._conversation(deadline):
            pass

    def execute(self, argv: Sequence[str], deadline: Deadline, stdin: bytes = b"") -> ExecResult:
        """Run a command as root. Raises HypervisorError when the agent is silent or the command does not end."""
        arguments: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        with self._conversation(deadline) as talk, self._understood():
            pid = int(talk.command("guest-exec", arguments)["pid"])

            def ended() -> dict[str, Any] | None:
                status: dict[str, Any] = talk.command("guest-exec-status", {"pid": pid})
                return status if status["exited"] else None

            status = deadline.poll(ended, f"{self._folder.name}: {argv[0]}", interval=0.03, slower=1.5)
            return ExecResult(
                exit_status=int(status.get("exitcode", 128 + int(status.get("signal", 0)))),
                stdout=base64.b64decode(status.get("out-data", "")),
                stderr=base64.b64decode(status.get("err-data", "")),
            )

    def shut_down(self, deadline: Deadline) -> None:
        """Ask the system to power off; the agent says nothing when it does (qemu-ga-ref(7), guest-shutdown)."""
        with self._conversation(deadline) as talk:
            talk.send("guest-shutdown", {"mode": "powerdown"})

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Whoever owns the machine may have put another program in the agent's place: raises HypervisorError then."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
            raise HypervisorError(
                f"{self._folder.name}: its guest agent does not answer as one ({type(problem).__name__})"
            ) from None

    @contextmanager
    def _conversation(self, deadline: Deadline) -> Iterator[_Conversation]:
        lock = os.open(self._folder / "qga.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline.poll(lambda: _try_lock(lock), f"{self._folder.name}: its guest agent is busy", interval=0.02)
            talk = _Conversation(self._folder, deadline)
            try:
                talk.synchronise()
                yield talk
            finally:
                talk.close()
        finally:
            os.close(lock)


class _Conversation:
    def __init__(self, folder: Path, deadline: Deadline) -> None:
        self._name = folder.name
        self._deadline = deadline
        self._buffer = b""
        try:
            self._stream = sockets.connect(folder / "qga.sock", max(0.05, deadline.remaining))
        except OSError as problem:
            raise HypervisorError(f"{self._name}: its guest agent cannot be reached ({problem.strerror})") from None

    def close(self) -> None:
        self._stream.close()

    def synchronise(self) -> None:
        """Throw away what an earlier client left in the channel: the agent marks the answer with a 0xFF byte.

        Each attempt has its own number: the answer to an earlier one would leave the later one's in the channel.
        """
        for _ in self._deadline.ticks(0.0):
            token = int.from_bytes(os.urandom(4), "big") >> 1
            self._send(b"\xff" + _message("guest-sync-delimited", {"id": token}))
            patience = self._deadline.sooner(1.0)
            try:
                while True:
                    _, marker, text = self._line(patience).rpartition(b"\xff")
                    if marker and _answers(text, token):
                        return
            except TimeoutError:
                continue
        raise HypervisorError(f"{self._name}: its guest agent does not answer")

    def send(self, name: str, arguments: dict[str, Any]) -> None:
        """Send a command that has no answer."""
        self._send(_message(name, arguments))

    def command(self, name: str, arguments: dict[str, Any]) -> Any:
        self.send(name, arguments)
        try:
            answer = json.loads(self._line(self._deadline))
        except TimeoutError:
            raise HypervisorError(f"{self._name}: guest agent: {name}: no answer before the deadline") from None
        if "error" in answer:
            raise HypervisorError(f"{self._name}: guest agent: {name}: {answer['error'].get('desc')}")
        return answer["return"]

    def _send(self, data: bytes) -> None:
        try:
            self._stream.settimeout(max(0.05, self._deadline.remaining))
            self._stream.sendall(data)
        except OSError as problem:
            raise HypervisorError(f"{self._name}: its guest agent cannot be reached ({problem})") from None

    def _line(self, deadline: Deadline) -> bytes:
        """What came before the next line's end. Raises TimeoutError at the deadline, whatever else comes."""
        while (left := deadline.remaining) > 0 and b"\n" not in self._buffer:
            self._stream.settimeout(max(0.05, left))
            try:
                chunk = self._stream.recv(65536)
            except TimeoutError:
                raise
            except OSError as problem:
                raise HypervisorError(f"{self._name}: guest agent: {problem}") from None
            if not chunk:
                raise HypervisorError(f"{self._name}: its machine ended while its guest agent was asked")
            self._buffer += chunk
            if len(self._buffer) > OUTPUT_LIMIT:
                raise HypervisorError(f"{self._name}: guest agent: an answer of more than {OUTPUT_LIMIT >> 20} MiB")
        if left <= 0:
            raise TimeoutError
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


def _message(name: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"


def _answers(text: bytes, token: int) -> bool:
    """Whether this is the answer to guest-sync-delimited with that number."""
    try:
        told = json.loads(text)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("return") == token


def _try_lock(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return True
