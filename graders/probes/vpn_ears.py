"""Who listens behind a tunnel, and what is read in front of it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from typing import Any

from .legs import Legs, card, packet_socket

BIND_SECONDS = 20.0


class Ears:
    """Listeners behind the tunnel, and a capture in front of it."""

    def __init__(self, legs: Legs, origin: str, words: list[dict[str, Any]]) -> None:
        self._legs, self._origin, self._words = legs, origin, words
        self._said = {word["id"]: os.urandom(12).hex().encode() for word in words}
        self._heard: dict[bytes, str] = {}
        self._stack = contextlib.ExitStack()
        self._listeners: list[socket.socket] = []
        self._over = False
        self.clear = False

    def __enter__(self) -> Ears:
        with self._legs.inside(self._origin):
            self._capture = self._stack.enter_context(packet_socket(card()))
        for leg, address, port in {(word["leg"], word["address"], int(word["port"])) for word in self._words}:
            with self._legs.inside(leg):
                listener = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(listener, address, port)
            listener.listen(8)
            self._listeners.append(listener)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._stack.close()

    def speak(self, word: dict[str, Any], window: float = 4.0) -> None:
        """Say the word through the tunnel, and wait for it to come back."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((word["address"], int(word["port"])), window) as link,
        ):
            link.sendall(self._said[word["id"]])
            link.settimeout(window)
            link.recv(64)

    def heard(self) -> dict[str, str | None]:
        return {name: self._heard.get(said) for name, said in self._said.items()}

    def _listen(self) -> None:
        while not self._over:
            for ready in select.select([self._capture, *self._listeners], [], [], 0.1)[0]:
                if ready is self._capture:
                    frame = ready.recv(4096)
                    self.clear = self.clear or any(said in frame for said in self._said.values())
                    continue
                with contextlib.suppress(OSError):
                    link, peer = ready.accept()
                    with link:
                        link.settimeout(2.0)
                        said = link.recv(64)
                        self._heard[said] = str(peer[0])
                        link.sendall(said[::-1])


def _bind(listener: socket.socket, address: str, port: int) -> None:
    """Take a port that another probe may hold for some seconds. Raises OSError when it stays taken."""
    end = time.monotonic() + BIND_SECONDS
    while True:
        try:
            listener.bind((address, port))
            return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)
