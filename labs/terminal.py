"""A terminal joined to a machine's serial line, and a local port joined to its screen."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, HypervisorError
from labs.hypervisors.base import Line, Screen, Stream

LEAVE = b"\x1d"  # Ctrl-]
READ_BYTES = 65536
QUIET_SECONDS = 25.0
"""After so long without a key the size is told again: what stands between may close connections that are silent."""
NOW_SECONDS = 30.0


def bridge(open_line: Callable[[Deadline], Line]) -> None:
    """Pass keys to the serial line and its output to the terminal until Ctrl-] or the machine's end."""
    if not sys.stdin.isatty():
        raise EnvironmentLackError("the console needs a terminal; use plateau ssh for commands in scripts")
    line = open_line(Deadline.after(NOW_SECONDS))
    sys.stderr.write("connected to the serial line; press Enter for a prompt, Ctrl-] to leave\r\n")
    sys.stderr.flush()
    keyboard = sys.stdin.fileno()
    saved = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        with _size_changes() as resized:
            _pass(line, keyboard, resized)
    except HypervisorError as problem:
        sys.stderr.write(f"\r\n{problem}")
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
        line.close()
        sys.stderr.write("\r\n")


def _pass(line: Line, keyboard: int, resized: int) -> None:
    while True:
        waited = [keyboard, line.fileno(), resized]
        ready = [line.fileno()] if line.pending else select.select(waited, [], [], QUIET_SECONDS)[0]
        if resized in ready:
            os.read(resized, 4096)
        if resized in ready or not ready:
            line.resize(*os.get_terminal_size(keyboard))
        if keyboard in ready:
            keys = os.read(keyboard, 4096)
            if not keys or LEAVE in keys:
                return
            line.send(keys)
        if line.fileno() in ready:
            output = _arrived(line)
            if output is None:
                return
            _write(output)


def _arrived(stream: Stream) -> bytes | None:
    """What can be read now, perhaps nothing: a descriptor is ready for TLS's own messages too. None at the end."""
    try:
        return stream.receive(Deadline.after(0)) or None
    except DeadlineError:
        return b""


def _write(output: bytes) -> None:
    while output:
        output = output[os.write(sys.stdout.fileno(), output) :]


@contextlib.contextmanager
def _size_changes() -> Iterator[int]:
    """A descriptor that can be read from when the terminal's size has changed; once at the beginning."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)

    def note(_signal: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(theirs, b"x")

    before = signal.signal(signal.SIGWINCH, note)
    os.write(theirs, b"x")
    try:
        yield ours
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(ours)
        os.close(theirs)


def serve_screen(open_screen: Callable[[Deadline], Screen], tell: Callable[[int, str], None]) -> None:
    """Listen on a port of 127.0.0.1 for one VNC viewer and join it to the screen until either leaves.

    `tell` gets the port and the password before the viewer is waited for.
    """
    screen = open_screen(Deadline.after(NOW_SECONDS))
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            tell(server.getsockname()[1], screen.password)
            viewer, _ = server.accept()
        with viewer:
            _join(screen.stream, viewer)
    finally:
        screen.stream.close()


def _join(stream: Stream, viewer: socket.socket) -> None:
    while True:
        waited = [stream.fileno(), viewer.fileno()]
        ready = waited[:1] if stream.pending else select.select(waited, [], [])[0]
        try:
            if viewer.fileno() in ready:
                data = viewer.recv(READ_BYTES)
                if not data:
                    return
                stream.send(data)
            if stream.fileno() in ready:
                arrived = _arrived(stream)
                if arrived is None:
                    return
                viewer.sendall(arrived)
        except ConnectionError:
            return
