"""The guest agent through the API: whether it answers, and commands with their input and output byte for byte.

The API hands input to the agent as characters and output back as one character a byte, so what is not ASCII is sent as
base64 and undone in the guest, and output is read as Latin-1. A command that the guest does not have ends in a 596
after five seconds (its error has typographic quotes, on which pvedaemon dies).
"""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.base import ExecResult
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind

INPUT_LIMIT = 60_000
"""Characters of `input-data` and of a written file (65536 and 61440 in the API's schema)."""
FIRST_LOOK = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
"""Between two attempts where the agent missed a ping: each blocks one of the node's API workers for 3 s."""


def answers(client: Client, path: str, deadline: Deadline) -> bool:
    """Whether the agent of the machine at `path` answers now. Raises ApiError (STOPPED) when it does not run."""
    try:
        client.call("POST", f"{path}/agent/ping", deadline)
    except ApiError as problem:
        if problem.kind in {Kind.NO_AGENT, Kind.UNKNOWN, Kind.BUSY}:
            return False
        raise
    return True


def ask(client: Client, path: str, question: str, deadline: Deadline) -> Any:
    """The agent's own answer (`get-osinfo`, `get-host-name`, `network-get-interfaces`). Raises ApiError."""
    return client.get(f"{path}/agent/{question}", deadline)["result"]


def execute(
    client: Client, path: str, what: str, argv: Sequence[str], deadline: Deadline, *, stdin: bytes, linux: bool
) -> ExecResult:
    """Run a command and wait for its end. Never repeats it: an answer that is lost is an error.

    An agent that misses a ping is asked again, before the command and while it runs. Raises HypervisorError, or
    DeadlineError naming `what` when the command does not end in time.
    """
    command, data = list(argv), None
    if stdin:
        command, data = _with_input(client, path, argv, stdin, deadline, linux=linux)
    try:
        started = _post(client, f"{path}/agent/exec", deadline, command=command, **{"input-data": data})
    except ApiError as problem:
        if problem.kind is Kind.UNKNOWN:
            raise HypervisorError(f"{what}: no answer from the agent; is {argv[0]} installed there?") from None
        raise
    try:
        pid = int(started["pid"])
        for _ in deadline.ticks(FIRST_LOOK, slower=1.6):
            if deadline.expired:
                break
            try:
                status = client.get(f"{path}/agent/exec-status", deadline, pid=pid)
            except ApiError as problem:
                if problem.kind not in {Kind.NO_AGENT, Kind.BUSY}:
                    raise
                continue
            if int(status.get("exited") or 0):
                return ExecResult(
                    exit_status=int(status.get("exitcode", 128 + int(status.get("signal") or 0))),
                    stdout=_bytes(status.get("out-data")),
                    stderr=_bytes(status.get("err-data")),
                )
    except (AttributeError, LookupError, TypeError, ValueError) as problem:  # another program in the agent's place
        raise HypervisorError(f"{what}: the agent does not answer as one ({type(problem).__name__})") from None
    raise DeadlineError(f"{what}: {argv[0]} had not ended before the deadline")


def _post(client: Client, path: str, deadline: Deadline, **parameters: Any) -> Any:
    """Call; again only after an answer that says that the agent was not even asked."""
    pause = FIRST_PAUSE
    while True:
        try:
            return client.call("POST", path, deadline, **parameters)
        except ApiError as problem:
            # "qmp command 'guest-exec' failed - got timeout": that one was asked, and may do it yet.
            asked = re.search(r"'guest-(?!ping')[a-z-]+' failed - got", problem.text)
            if problem.kind not in {Kind.NO_AGENT, Kind.BUSY} or asked or deadline.remaining <= pause:
                raise
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


def is_plain(stdin: bytes) -> bool:
    """Whether the API hands this input on as it is, in any guest system."""
    return stdin.isascii() and b"\0" not in stdin and len(stdin) <= INPUT_LIMIT


def _with_input(
    client: Client, path: str, argv: Sequence[str], stdin: bytes, deadline: Deadline, *, linux: bool
) -> tuple[list[str], str | None]:
    """The command and the API's input that together give the program these bytes."""
    if is_plain(stdin):
        return list(argv), stdin.decode("ascii")
    if not linux:
        raise HypervisorError(f"{argv[0]}: input must be ASCII and at most {INPUT_LIMIT} bytes in this guest system")
    packed = base64.b64encode(gzip.compress(stdin, mtime=0)).decode("ascii")
    if len(packed) <= INPUT_LIMIT:
        return ["/bin/sh", "-c", 'base64 -d | gzip -d | "$@"', "sh", *argv], packed
    parts = [packed[start : start + INPUT_LIMIT] for start in range(0, len(packed), INPUT_LIMIT)]
    # In a folder of root's own: the agent makes files that everybody may read.
    folder = f"/run/plateau-{secrets.token_hex(8)}"
    execute(client, path, path, ["/bin/mkdir", "-m", "700", folder], deadline, stdin=b"", linux=linux)
    for number, part in enumerate(parts):
        _post(client, f"{path}/agent/file-write", deadline, file=f"{folder}/{number:03d}", content=part)
    script = f'cat {folder}/* | base64 -d | gzip -d | "$@"; status=$?; rm -rf {folder}; exit $status'
    return ["/bin/sh", "-c", script, "sh", *argv], None


def _bytes(text: object) -> bytes:
    told = str(text or "")
    try:
        return told.encode("latin-1")
    except UnicodeEncodeError:
        return told.encode("utf-8")
