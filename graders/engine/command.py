"""A command for a graded node and its answer, as every route gives it."""

from __future__ import annotations

import base64
import hashlib
import shlex
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

KEPT_BYTES = 256 * 1024
"""Of each output stream; the node is stopped from writing more, so that judging and replaying see the same bytes."""
SECONDS = 20.0
SHELL, DEVICE, POWERSHELL = "sh", "cli", "powershell"
"""Languages: of a POSIX shell, of a network device's command line, of Windows."""
TRUSTED = frozenset({"cat", "md5sum", "readlink", "sha256sum", "stat", "test"})
"""Programs of which the grader brings its own: the node's are not asked."""
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 %+,-./:=@_'\"")
"""Characters of a command that no shell gives a meaning to (quotes apart, which shlex reads as a shell does)."""


@dataclass(frozen=True)
class Command:
    """What to run: a text, the seconds it may take, whether busybox alone runs it, and who understands it."""

    text: str
    seconds: float = SECONDS
    trusted: bool = False
    language: str = SHELL


@dataclass(frozen=True)
class Answer:
    """What came of a command. `status` is None when it was killed at its deadline."""

    status: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    route: str = ""
    """`ssh`, `agent`, or an adapter's name."""

    @property
    def truncated(self) -> bool:
        """Whether an output reached the limit and was cut there."""
        return max(len(self.stdout), len(self.stderr)) >= KEPT_BYTES

    def to_data(self) -> dict[str, Any]:
        """As the snapshot keeps it."""
        data: dict[str, Any] = {"status": self.status, "seconds": round(self.seconds, 3), "route": self.route}
        for name, content in (("stdout", self.stdout), ("stderr", self.stderr)):
            if content:
                data[name] = _text(content)
                data[f"{name}_sha256"] = hashlib.sha256(content).hexdigest()
        if self.truncated:
            data["truncated"] = True
        return data

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Answer:
        """The inverse of `to_data`. Raises ValueError when an output is not the one that was hashed."""
        streams = {}
        for name in ("stdout", "stderr"):
            streams[name] = _content(data.get(name, ""))
            if streams[name] and hashlib.sha256(streams[name]).hexdigest() != data.get(f"{name}_sha256"):
                raise ValueError(f"{name} was changed after it was recorded")
        return cls(data["status"], streams["stdout"], streams["stderr"], data["seconds"], data["route"])


@lru_cache(maxsize=4096)
def is_trusted(text: str) -> bool:
    """Whether busybox alone can run a command: one plain program of which the grader brings its own.

    >>> is_trusted("stat -c %a /etc/passwd"), is_trusted("ss -ltn"), is_trusted("cat /etc/passwd | wc -l")
    (True, False, False)
    """
    if not set(text) <= PLAIN:
        return False
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return bool(words) and words[0] in TRUSTED


def _text(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _content(data: str | dict[str, str]) -> bytes:
    return base64.b64decode(data["base64"]) if isinstance(data, dict) else data.encode()
