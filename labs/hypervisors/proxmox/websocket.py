"""A websocket to the API over the TLS that the profile trusts, as a stream of bytes."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError

READ_BYTES = 65536
SEND_SECONDS = 30.0
FRAME_BYTES = 65536
"""pveproxy closes on a frame above 128 KiB, and on one in fragments."""


class WebSocket:
    """One connection; made for one thread that waits for it with select."""

    def __init__(self, stream: ssl.SSLSocket, uri: str, headers: Mapping[str, str], deadline: Deadline) -> None:
        """Ask for the upgrade. Raises HypervisorError with the API's words, DeadlineError."""
        stream.setblocking(False)
        self._stream = stream
        self._protocol = ClientProtocol(parse_uri(uri), subprotocols=[Subprotocol("binary")], max_size=None)
        self._arrived = bytearray()
        request = self._protocol.connect()
        request.headers.update(Headers(headers))
        self._protocol.send_request(request)
        self._flush()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            if not self._fill(deadline):
                break
        problem = self._protocol.handshake_exc
        if self._protocol.state is not State.OPEN or problem is not None:
            self.close()
            raise HypervisorError(f"no websocket: {_words(problem)}")

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def pending(self) -> bool:
        """Whether there is something to `receive` that select does not see."""
        return bool(self._arrived) or self._stream.pending() > 0

    def send(self, data: bytes) -> None:
        """Send bytes. Raises HypervisorError when the connection is gone."""
        try:
            for start in range(0, len(data), FRAME_BYTES):
                self._protocol.send_binary(data[start : start + FRAME_BYTES])
            self._flush()
        except (OSError, WebSocketException) as problem:
            raise HypervisorError(f"the console's connection is gone ({problem})") from None

    def receive(self, deadline: Deadline) -> bytes:
        """What arrived, at least a byte; nothing at its end. Raises DeadlineError when nothing comes in time."""
        while not self._arrived:
            if not self._fill(deadline):
                break
        data = bytes(self._arrived)
        self._arrived.clear()
        return data

    def close(self) -> None:
        """Say so, and end the connection without waiting for an answer: pveproxy gives none."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close()
                self._flush()
        except (OSError, WebSocketException):
            pass  # it is gone already
        self._stream.close()

    def _fill(self, deadline: Deadline) -> bool:
        """Read once from the connection; False at its end."""
        if not self._stream.pending() and not select.select([self._stream], [], [], deadline.remaining)[0]:
            raise DeadlineError("the console's connection: no answer before the deadline")
        try:
            data = self._stream.recv(READ_BYTES)
        except ssl.SSLWantReadError:
            return True  # TLS's own, or half a record
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if not isinstance(event, Response) and getattr(event, "opcode", None) in {
                Opcode.BINARY,
                Opcode.TEXT,
                Opcode.CONT,
            }:
                self._arrived += event.data  # type: ignore[union-attr]  # a frame
        self._flush()
        return bool(data) and self._protocol.state in {State.CONNECTING, State.OPEN}

    def _flush(self) -> None:
        for part in self._protocol.data_to_send():
            left = memoryview(part)
            while left:
                try:
                    left = left[self._stream.send(left) :]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    if not select.select([], [self._stream], [], SEND_SECONDS)[1]:
                        raise TimeoutError("nothing is taken any more") from None


def dial(host: str, context: ssl.SSLContext, deadline: Deadline) -> ssl.SSLSocket:
    """A TLS connection to `name:port`. Raises OSError (ssl.SSLError for a certificate that is not trusted)."""
    name, _, port = host.rpartition(":")
    plain = socket.create_connection((name.strip("[]"), int(port)), timeout=max(0.1, deadline.remaining))
    try:
        stream = context.wrap_socket(plain, server_hostname=name.strip("[]"))
    except BaseException:
        plain.close()
        raise
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def _words(problem: Exception | None) -> str:
    if isinstance(problem, InvalidStatus):
        return f"{problem.response.status_code} {problem.response.reason_phrase}"
    return str(problem or "the connection was closed")
