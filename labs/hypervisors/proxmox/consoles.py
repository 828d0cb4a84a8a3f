"""Tickets for consoles, and the streams that they open: the serial line, and the screen for a VNC viewer.

Both are a websocket of pveproxy to a port of the node that answered; a ticket is good for seconds, and only for whom it
was made for: the token. The serial line's program asks for it once more, in the stream.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.base import Screen
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.listing import Machine
from labs.hypervisors.proxmox.machines import Machines
from labs.hypervisors.proxmox.websocket import WebSocket

GREETING = b"OK"


@dataclass(frozen=True)
class Ticket:
    """What `termproxy` and `vncproxy` answer."""

    port: int
    user: str
    ticket: str
    password: str | None = None


class SerialLine:
    """The serial line of a machine: framed on the way there, plain on the way back."""

    def __init__(self, stream: WebSocket, first: bytes) -> None:
        self._stream = stream
        self._first = first

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def pending(self) -> bool:
        return bool(self._first) or self._stream.pending

    def send(self, data: bytes) -> None:
        self._stream.send(b"0:%d:" % len(data) + data)

    def receive(self, deadline: Deadline) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return self._stream.receive(deadline)

    def resize(self, columns: int, rows: int) -> None:
        self._stream.send(b"1:%d:%d:" % (columns, rows))

    def close(self) -> None:
        self._stream.close()


def open_serial(client: Client, machines: Machines, machine: Machine, deadline: Deadline) -> SerialLine:
    """The machine's first serial line. Raises HypervisorError when it has none, or the node refuses the token."""
    config = machines.config(machine, deadline) or {}
    ports = sorted(name for name, value in config.items() if name.startswith("serial") and value == "socket")
    if not ports:
        raise HypervisorError(f"{machine.key}: it has no serial port; use --vnc or --viewer")
    ticket = _ticket(client.call("POST", f"{machine.path}/termproxy", deadline, serial=ports[0]))
    stream = _open(client, machine, ticket, deadline)
    stream.send(f"{ticket.user}:{ticket.ticket}\n".encode())
    answer = b""
    while len(answer) < len(GREETING) and (part := stream.receive(deadline)):
        answer += part
    if not answer.startswith(GREETING):
        stream.close()
        raise HypervisorError(
            f"{machine.key}: {machine.node} does not take a token's ticket for serial lines; its qemu-server is older "
            "than 9.1.7 (Proxmox bug 6079). Update it, or use --vnc or --viewer"
        )
    return SerialLine(stream, answer[len(GREETING) :])


def open_screen(client: Client, machine: Machine, deadline: Deadline) -> Screen:
    """The machine's screen as a stream of the VNC protocol, with the password that the viewer is to give."""
    told = client.call("POST", f"{machine.path}/vncproxy", deadline, websocket=True, **{"generate-password": True})
    ticket = _ticket(told)
    return Screen(_open(client, machine, ticket, deadline), ticket.password or ticket.ticket)


def _ticket(told: Any) -> Ticket:
    password = told.get("password")
    return Ticket(int(told["port"]), str(told["user"]), str(told["ticket"]), str(password) if password else None)


def _open(client: Client, machine: Machine, ticket: Ticket, deadline: Deadline) -> WebSocket:
    query = urllib.parse.urlencode({"port": ticket.port, "vncticket": ticket.ticket})
    return client.websocket(f"{machine.path}/vncwebsocket?{query}", deadline)
