"""A multipart form with one large file, read as it is sent: fields in order, the file last, its length known."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from typing import BinaryIO


class Multipart:
    """A request body of known length; requests sends what has `__len__` and `read` without chunked encoding.

    pveproxy refuses chunked bodies (501), and a form whose `content` does not come before the file (400).
    """

    def __init__(self, fields: Sequence[tuple[str, str]], filename: str, stream: BinaryIO) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="filename"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._stream = stream
        self._before = head.encode()
        self._after = f"\r\n--{boundary}--\r\n".encode()
        size = os.fstat(stream.fileno()).st_size
        self._length = len(self._before) + size + len(self._after)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while part := self.read():
            yield part

    def read(self, size: int = -1) -> bytes:
        """The next part of the body."""
        if self._before:
            part, self._before = self._before, b""
            return part
        part = self._stream.read(size if size > 0 else 1 << 20)
        if part:
            return part
        part, self._after = self._after, b""
        return part
