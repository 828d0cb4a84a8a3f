"""UNIX sockets in folders whose path may be longer than the 108 bytes that sockaddr_un allows (unix(7))."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import HypervisorError

READ_BYTES = 65536


def connect(path: Path, timeout: float) -> socket.socket:
    """Connect to the socket at `path`. Raises OSError as connect(2) does."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(timeout)
        try:
            stream.connect(f"/proc/self/fd/{folder}/{path.name}")
        except OSError:
            stream.close()
            raise
        return stream
    finally:
        os.close(folder)


class Line:
    """A serial line of QEMU; it knows nothing of a terminal's size."""

    pending = False

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def fileno(self) -> int:
        return self._stream.fileno()

    def send(self, data: bytes) -> None:
        try:
            self._stream.sendall(data)
        except OSError as problem:
            raise HypervisorError(f"the serial line is gone ({problem.strerror})") from None

    def receive(self, deadline: Deadline) -> bytes:
        if not select.select([self._stream], [], [], deadline.remaining)[0]:
            return b""
        return self._stream.recv(READ_BYTES)

    def resize(self, columns: int, rows: int) -> None:
        """Nothing to tell."""

    def close(self) -> None:
        self._stream.close()


def open_line(path: Path, deadline: Deadline) -> Line:
    """The serial line behind the socket at `path`. Raises HypervisorError when nobody serves it."""
    try:
        return Line(connect(path, timeout=min(5.0, deadline.remaining)))
    except OSError as problem:
        raise HypervisorError(f"the serial line cannot be reached ({problem.strerror}); is the machine up?") from None
