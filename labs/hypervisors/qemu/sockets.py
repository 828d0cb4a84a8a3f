"""UNIX sockets in folders whose path may be longer than the 108 bytes that sockaddr_un allows (unix(7))."""

from __future__ import annotations

import os
import socket
from pathlib import Path


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
