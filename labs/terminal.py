"""A terminal joined to a machine's serial line."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from pathlib import Path

from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.qemu import sockets

LEAVE = b"\x1d"  # Ctrl-]


def bridge(socket_path: str) -> None:
    """Pass keys to the serial line and its output to the terminal until Ctrl-] or the machine's end."""
    if not sys.stdin.isatty():
        raise EnvironmentLackError("the console needs a terminal; use plateau ssh for commands in scripts")
    try:
        line = sockets.connect(Path(socket_path), timeout=5)
    except OSError as problem:
        raise HypervisorError(f"the serial line cannot be reached ({problem.strerror}); is the machine up?") from None
    sys.stderr.write("connected to the serial line; press Enter for a prompt, Ctrl-] to leave\r\n")
    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        while True:
            ready, _, _ = select.select([descriptor, line], [], [])
            if descriptor in ready:
                keys = os.read(descriptor, 4096)
                if not keys or LEAVE in keys:
                    return
                line.sendall(keys)
            if line in ready:
                output = line.recv(65536)
                if not output:
                    return
                os.write(sys.stdout.fileno(), output)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)
        line.close()
        sys.stderr.write("\r\n")
