"""The two ends of runner.sh's protocol that belong to the grader; no input or output here."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graders.engine.command import KEPT_BYTES, Answer, Command
from labs.errors import EnvironmentLackError, PlateauError

BUSYBOX = Path("/bin/busybox")
ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")
"""Not the login environment: a candidate's dotfiles neither slow nor change a command."""
IDLE_SECONDS = 3600
"""A runner that is asked nothing for so long ends."""
LINE_LIMIT = 64 * 1024
BLOCK_LIMIT = 64 * 2 * KEPT_BYTES
FLUSH = b"F\n"


class NoisyError(PlateauError):
    """A node sent something else than answers."""


@dataclass(frozen=True)
class Greeting:
    """How the runner presents itself: the node's clock (Unix seconds) and the id of its boot."""

    clock: float
    boot_id: str


@cache
def busybox() -> bytes:
    """The grader's own tools. Raises EnvironmentLackError when Debian's busybox-static is not installed."""
    try:
        content = BUSYBOX.read_bytes()
    except OSError:
        raise EnvironmentLackError(f"{BUSYBOX} is missing: install busybox-static (./bootstrap does)") from None
    if b"/lib64/ld-linux" in content[:4096]:
        raise EnvironmentLackError(f"{BUSYBOX} is not static: install busybox-static in its place (./bootstrap does)")
    return content


@cache
def runner() -> str:
    """The script that runs on the node."""
    lines = Path(__file__).with_name("runner.sh").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")) + "\n"


def opening(nonce: str) -> tuple[str, bytes]:
    """The shell command that starts the runner on a node, and what to send it before the requests."""
    tools = busybox()
    unpack = (
        "umask 077; for p in /dev/shm /var/tmp /tmp; do d=$(mktemp -d $p/.plateau.XXXXXXXX) && cd $d && "
        "printf '#!/bin/sh\\n' >t && chmod 700 t && ./t && break; cd /; rm -rf $d; d=; done 2>/dev/null; "
        'test -n "$d" && '
        f"head -c {len(tools)} >busybox && chmod 700 busybox && "
        f'exec "$d/busybox" ash -c {shlex.quote(runner())} runner {nonce} {KEPT_BYTES // 512} {IDLE_SECONDS}'
    )
    return shlex.join(["exec", "/usr/bin/env", "-i", *ENVIRONMENT, "/bin/sh", "-c", unpack]), tools


def request(number: int, command: Command) -> bytes:
    """One request line. Raises ValueError for a command that no shell can run."""
    if "\0" in command.text:
        raise ValueError("a command cannot hold a NUL byte")
    mode, text = "t" if command.trusted else "n", command.text
    if "\n" in text:
        mode, text = mode.upper(), text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"{number} {math.ceil(command.seconds)} {mode} {text}\n".encode("utf-8", "surrogateescape")


def requests(first: int, commands: Sequence[Command]) -> bytes:
    """Several, numbered from `first`, and the order to send what is done."""
    return b"".join(request(first + offset, command) for offset, command in enumerate(commands)) + FLUSH


class Reader:
    """Takes the runner's bytes as they come and yields its answers.

    What precedes the greeting (a login banner, a talkative start-up file) is skipped, up to a limit.
    """

    def __init__(self, nonce: str, route: str) -> None:
        self._nonce, self._route = nonce.encode(), route
        self._buffer = bytearray()
        self.greeting: Greeting | None = None

    def feed(self, data: bytes) -> list[tuple[int, Answer]]:
        """The answers that `data` completes. Raises NoisyError when the bytes cannot be the runner's."""
        self._buffer += data
        if self.greeting is None and not self._greet():
            return []
        found: list[tuple[int, Answer]] = []
        while (block := self._block()) is not None:
            found += block
        return found

    def _greet(self) -> bool:
        start = self._buffer.find(b"P %s " % self._nonce)
        end = self._buffer.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise NoisyError("the node talks without being asked and never starts the grader's tools")
            return False
        try:
            _, _, version, clock, boot_id = self._buffer[start:end].decode().split()
            self.greeting = Greeting(float(clock), boot_id)
        except ValueError:
            raise NoisyError("the node's greeting cannot be read") from None
        if version != "1":
            raise NoisyError(f"the node speaks version {version} of the protocol")
        del self._buffer[: end + 1]
        return True

    def _block(self) -> list[tuple[int, Answer]] | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise NoisyError("the node sends something else than answers")
            return None
        try:
            mark, nonce, count = self._buffer[:end].split()
            if mark != b"B" or nonce != self._nonce:
                raise ValueError
            lines: list[list[bytes]] = []
            for _ in range(int(count)):
                after = self._buffer.find(b"\n", end + 1)
                if after < 0:
                    return None
                lines.append(bytes(self._buffer[end + 1 : after]).split())
                end = after
            return self._answers(lines, end + 1)
        except ValueError:
            raise NoisyError("the node sends something else than answers") from None

    def _answers(self, lines: Sequence[Sequence[bytes]], start: int) -> list[tuple[int, Answer]] | None:
        total = sum(int(line[4]) + int(line[5]) for line in lines)
        if total > BLOCK_LIMIT or any(int(size) < 0 for line in lines for size in line[4:]):
            raise NoisyError("the node announces more output than it may keep")
        if len(self._buffer) < start + total:
            return None
        found = []
        for number, status, began, ended, out, err in lines:
            middle, stop = start + int(out), start + int(out) + int(err)
            answer = Answer(
                None if status == b"killed" else int(status),
                bytes(self._buffer[start:middle]),
                bytes(self._buffer[middle:stop]),
                max(0.0, float(ended) - float(began)),
                self._route,
            )
            found.append((int(number), answer))
            start = stop
        del self._buffer[:start]
        return found
