"""What an error of Proxmox VE means for what to do next.

Its status tells little: nearly everything is a 500 whose reason phrase is the message, a task that failed says the same
words in its exit status, and both may end in Perl's "at /usr/share/… line N". So parts of texts are matched, as they
were recorded from Proxmox VE 9.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.base import NodeKey


class Kind(StrEnum):
    """What to do about an error."""

    UNKNOWN = "unknown"
    """It may have been done, or be done later: read again before doing it again."""
    BUSY = "busy"
    """A lock is held by somebody else; nothing was done, and trying again is safe."""
    MISSING = "missing"
    EXISTS = "exists"
    """The identifier or the state asked for is already there."""
    DENIED = "denied"
    INVALID = "invalid"
    FULL = "full"
    """A storage has no room left."""
    NO_AGENT = "no agent"
    STOPPED = "stopped"
    OTHER = "other"


class ApiError(HypervisorError):
    """The API refused, or a task failed; `kind` says what that means."""

    def __init__(self, message: str, kind: Kind, text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.text = text or message


class RefusedTokenError(EnvironmentLackError):
    """The token is not accepted (exit code 3): no other call would be."""


_TRANSIENT_LOCKS = "backup|clone|create|disk|migrate|rollback|snapshot|snapshot-delete|suspending"
"""All but `suspended`, which lasts until somebody resumes the machine."""
_TEXTS = (
    (Kind.UNKNOWN, r"got no worker upid"),
    (Kind.FULL, r"[Nn]o space left on device|not enough free space|out of space"),
    (Kind.BUSY, r"can't lock file .* got timeout|got lock request timeout|cfs-lock .* error"),
    (Kind.BUSY, rf"is locked \((?:{_TRANSIENT_LOCKS})\)"),
    (Kind.BUSY, r"invalid lock token provided|configuration has pending changes"),
    (Kind.NO_AGENT, r"guest agent is not running|qmp command 'guest-[a-z-]+' failed - (?:got|unable)"),
    (Kind.STOPPED, r"VM \d+ (?:is )?not running"),
    (Kind.MISSING, r"does not exist|no such (?:user|pool|task|logical volume)|unable to find configuration file"),
    (Kind.EXISTS, r"already (?:exists?|defined|running|used|stopped|a pool member)|convert a template to a template"),
)


def classify(status: int | None, text: str) -> Kind:
    """The meaning of an HTTP status and its words, or (status None) of a task's exit status.

    >>> classify(500, "unable to create VM 230: config file already exists")
    <Kind.EXISTS: 'exists'>
    >>> classify(596, "Connection timed out")
    <Kind.UNKNOWN: 'unknown'>
    """
    if status is not None and 595 <= status <= 599:
        return Kind.UNKNOWN
    if status == 403:
        return Kind.DENIED
    for kind, pattern in _TEXTS:
        if re.search(pattern, text):
            return kind
    return Kind.INVALID if status in {400, 501} else Kind.OTHER


def cleaned(text: str) -> str:
    """An error's words for people: one line, without where in Perl's sources it was raised."""
    return re.sub(r" at /usr/share/\S+ line \d+\.?", "", " ".join(text.split())).rstrip(".")


@contextmanager
def named(key: NodeKey) -> Iterator[None]:
    """Say in an error of the API which machine it is about."""
    try:
        yield
    except ApiError as problem:
        if str(key) in str(problem):
            raise
        raise ApiError(f"{key}: {problem}", problem.kind, problem.text) from None
