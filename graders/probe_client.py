"""The grader's end of the probe agent: requests out, answers in, each one noted as evidence."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from graders.engine.snapshot import Observation
from graders.notebook import Notebook
from labs.errors import PlateauError

LONGEST = 4096
"""Characters of what was asked, as evidence shows it."""

if TYPE_CHECKING:
    import paramiko

    from labs.deadline import Deadline

PROBE_FOLDER = "/run/plateau"
ARCHIVE = f"{PROBE_FOLDER}/probe.zip"
COMMAND = f"exec python3 -I {ARCHIVE}"
MARGIN = 5.0
CROWD, WAITED = 5, 0.5
"""Beyond so many probes at once, or so many seconds of waiting for a processor, a bad result may be our own doing."""
SILENCES = frozenset({"unreachable", "ETIMEDOUT", "unanswered"})
"""States of kerberos.obtain, smb.use and mail.send."""
SETTLE_SECONDS = 45.0
TIMEOUT = "timeout"
"""What the agent says of a probe that it had to kill."""


class ProbeError(PlateauError):
    """The probe could not measure: never the candidate's fault."""


class Link(Protocol):
    """A running agent: two pipes, whatever carries them."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def close(self) -> None:
        """Hang up; the agent ends by itself."""
        ...


@dataclass(frozen=True)
class _Flight:
    """A request on its way."""

    number: int
    seconds: float
    """How long it may take, with what must end before it."""
    answer: Future[dict[str, Any]] = field(default_factory=Future)


class ProbeClient:
    """Calls probes on the probe machine; several may be in flight.

    >>> client.call("icmp.ping", "lan", address="10.1.2.1")["received"]
    3
    """

    def __init__(self, open_link: Callable[[], Link], notebook: Notebook) -> None:
        self._open_link = open_link
        self._notebook = notebook
        self._link: Link | None = None
        self._pending: dict[int, _Flight] = {}
        self._early: dict[str, _Flight] = {}
        self._shared: dict[str, _Flight] = {}
        self._last = 0
        self._secret = b""
        self._lock = threading.Lock()

    def call(
        self, probe: str, leg: str | None = None, *, timeout: float = 20.0, reuse: bool = False, **params: Any
    ) -> Any:
        """Run a probe (in a leg) and return its result. Raises ProbeError when the probe itself failed.

        With `reuse`, the same call by another check gets the same answer: one measurement, two questions about it.
        """
        key = _key(probe, leg, params)
        source = f"probe:{leg or 'all'}"
        if self._notebook.snapshot.replaying:
            answer = self._notebook.recall(source, key)
        else:
            answer = self._ask(key, probe, leg, timeout, params, reuse)
            self._notebook.keep(source, key, answer, float(answer.get("seconds", 0)))
        shown = answer["result"] if answer.get("ok") else answer.get("error")
        action = f"{probe}({', '.join(f'{key}={json.dumps(value)}' for key, value in params.items())})"
        text = json.dumps(shown, ensure_ascii=False)
        self._notebook.add(
            source,
            action if len(action) <= LONGEST else f"{action[:LONGEST]} […]",
            text,
            float(answer.get("seconds", 0)),
        )
        self._notebook.current.disturbed |= _disturbed(answer)
        if not answer.get("ok"):
            raise ProbeError(f"{probe} in leg {leg}: {answer.get('error')}")
        return answer["result"]

    def prefetch(
        self,
        probe: str,
        leg: str | None = None,
        *,
        timeout: float = 20.0,
        after: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> None:
        """Start a probe now unless it is started; the first `call` with the same arguments gets its answer.

        after: parameters of the same probe in the same leg; if that is in flight, this one begins when it has ended.
        """
        key = _key(probe, leg, params)
        if self._notebook.snapshot.replaying:
            return
        if key not in self._early and key not in self._shared:
            first = self._early.get(_key(probe, leg, dict(after))) if after is not None else None
            self._early[key] = self._send(probe, leg, timeout, params, first)

    def at_rest(self, seconds: float) -> bool:
        """Wait until what is in flight has ended; whether it has, in so many seconds."""
        with self._lock:
            running = [flight.answer for flight in self._pending.values()]
        return not wait(running, seconds).not_done

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let what is in flight end first, then measure afresh while the `with` block runs."""
        self.at_rest(SETTLE_SECONDS)
        early, shared = self._early, self._shared
        self._early, self._shared = {}, {}
        try:
            yield
        finally:
            self._early, self._shared = early, {**shared, **self._shared}

    def nonce(self, purpose: str) -> str:
        """A word nobody has used before, fit for a DNS label or a path; the same for one purpose of one grading."""
        if not self._secret:
            self._secret = self._grading_secret()
        return "n" + hmac.new(self._secret, purpose.encode(), "sha256").hexdigest()[:12]

    def forget(self) -> None:
        """Drop the answers of prefetched and shared probes (the bench has changed since)."""
        self._early.clear()
        self._shared.clear()

    def connect(self) -> None:
        """Start the agent unless it runs. Raises ProbeError or UnreachableError."""
        if self._link is None:
            link = self._open_link()
            greeting = link.stdout.readline()
            if not greeting:
                link.close()
                raise ProbeError("the probe agent did not start")
            self._link = link
            threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(
        self, key: str, probe: str, leg: str | None, timeout: float, params: dict[str, Any], reuse: bool
    ) -> dict[str, Any]:
        flight = self._shared.get(key) if reuse else None
        flight = flight or self._early.pop(key, None) or self._send(probe, leg, timeout, params)
        if reuse:
            self._shared[key] = flight
        left = self._notebook.current.deadline.remaining
        patience = flight.seconds + MARGIN
        try:
            return flight.answer.result(min(patience, left) if left else patience)
        except FutureTimeoutError:
            return {"ok": False, "error": "the probe did not answer in time", "seconds": timeout}

    def _grading_secret(self) -> bytes:
        """Of this grading: a judgement from its snapshot must ask with the same words."""
        snapshot = self._notebook.snapshot
        if snapshot.replaying:
            return bytes.fromhex(snapshot.take("", "grader", "nonce").answer)
        secret = secrets.token_bytes(16)
        snapshot.record(Observation("", "grader", "nonce", secret.hex()))
        return secret

    def _send(
        self, probe: str, leg: str | None, timeout: float, params: dict[str, Any], first: _Flight | None = None
    ) -> _Flight:
        self.connect()
        assert self._link is not None
        with self._lock:
            self._last += 1
            flight = _Flight(self._last, timeout + (first.seconds if first else 0.0))
            self._pending[flight.number] = flight
        request: dict[str, Any] = {
            "id": flight.number, "probe": probe, "leg": leg, "params": params, "timeout": timeout
        }  # fmt: skip
        if first:
            request["after"] = first.number
        try:
            self._link.stdin.write(json.dumps(request).encode() + b"\n")
            self._link.stdin.flush()
        except OSError as problem:
            self.close()
            raise ProbeError(f"{probe}: the probe agent is gone ({problem})") from None
        return flight

    def _read(self, link: Link) -> None:
        """Hand answers out until the agent is gone; then nobody is left waiting."""
        try:
            for line in iter(link.stdout.readline, b""):
                answer = json.loads(line)
                with self._lock:
                    flight = self._pending.pop(answer["id"], None)
                if flight is not None:
                    flight.answer.set_result(answer)
        except (OSError, ValueError):
            pass
        with self._lock:
            left, self._pending = self._pending, {}
            if self._link is link:
                self._link = None
        link.close()
        for flight in left.values():
            flight.answer.set_result({"ok": False, "error": "the probe agent is gone", "seconds": 0.0})


class SshLink:
    """The agent in an SSH channel of the probe machine."""

    def __init__(self, client: paramiko.SSHClient, deadline: Deadline) -> None:
        from graders.probes.bundle import build

        self._client = client
        archive = build()
        transport = client.get_transport()
        if transport is None:
            raise ProbeError("the SSH connection to the probe closed at once")
        channel = transport.open_session(timeout=deadline.remaining)
        # One command: the archive comes first on standard input, then the requests.
        channel.exec_command(f"mkdir -p {PROBE_FOLDER} && head -c {len(archive)} > {ARCHIVE} && {COMMAND}")
        channel.sendall(archive)
        self.stdin = cast("IO[bytes]", channel.makefile_stdin("wb"))
        self.stdout = cast("IO[bytes]", channel.makefile("rb"))

    def close(self) -> None:
        self._client.close()


def _disturbed(answer: dict[str, Any]) -> bool:
    """Whether the other probes may be why the answer is what it is."""
    crowd = answer.get("crowd", 0)
    late = answer.get("error") == TIMEOUT and crowd > 1
    silent = crowd > 1 and _silent(answer.get("result"))
    return bool(late or silent or crowd > CROWD or answer.get("waited", 0) > WAITED)


def _silent(result: Any) -> bool:
    """Whether a server that was asked over a connection said nothing: busy with the other probes, perhaps.

    >>> _silent({"page": {"status": None, "reason": "timeout"}}), _silent({"page": {"status": 403, "reason": ""}})
    (True, False)
    """
    if isinstance(result, list):
        return any(one is None or _silent(one) for one in result)
    if not isinstance(result, dict):
        return result is None
    if result.get("state") in SILENCES or None in (result.get("code", 0), result.get("status", 0)):
        return True
    return any(_silent(one) for one in result.values() if isinstance(one, dict))


def _key(probe: str, leg: str | None, params: dict[str, Any]) -> str:
    return json.dumps([probe, leg, params], sort_keys=True)
