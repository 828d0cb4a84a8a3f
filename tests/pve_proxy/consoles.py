"""Consoles as pveproxy and termproxy serve them: tickets, the websocket, the framing of a serial line."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Any

import aiohttp
from aiohttp import web


class Consoles:
    """Tickets that were given, and the machines' ends of their streams."""

    def __init__(self, user: str) -> None:
        self.takes_tokens = True
        """False as before qemu-server 9.1.7, whose termproxy knows users only."""
        self.sizes: list[tuple[int, int]] = []
        self._user = user
        self._given: dict[str, tuple[int, str]] = {}

    def ticket(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """The answer of `termproxy` or `vncproxy`."""
        signature = base64.b64encode(secrets.token_bytes(256)).decode()
        ticket = f"PVEVNC:6B0272E6::{signature}"
        port = 5900 + len(self._given)
        self._given[ticket] = (port, kind)
        upid = f"UPID:pve1:0006F8BC:0006EE90:6B0272E6:vncproxy:400:{self._user}:"
        told = {"port": str(port), "ticket": ticket, "user": self._user, "upid": upid}
        return {**told, "password": "s3cr3t;~"} if data.get("generate-password") == "1" else told

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`vncwebsocket`: a ticket opens it once, at its port."""
        port, kind = self._given.pop(request.query["vncticket"], (0, ""))
        if str(port) != request.query["port"]:
            return web.Response(status=401, reason="permission denied - invalid PVEVNC ticket", body=b"")
        socket = web.WebSocketResponse(protocols=("binary",), compress=False, max_msg_size=128 * 1024)
        await socket.prepare(request)
        await (self._terminal(socket, request) if kind == "termproxy" else self._screen(socket))
        return socket

    async def _terminal(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """A serial line whose machine writes back in capitals what it is told."""
        line = (await socket.receive_bytes()).decode()
        user, _, ticket = line.rstrip("\n").partition(":")
        if not self.takes_tokens or user != self._user or ticket != request.query["vncticket"]:
            await socket.close()
            return
        await socket.send_bytes(b"OK")
        await socket.send_bytes(b"login: ")
        held = b""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                break
            held += message.data
            while found := re.match(rb"0:(\d+):|1:(\d+):(\d+):|2", held):
                held = held[found.end() :]
                if found[1] is not None:
                    told, held = held[: int(found[1])], held[int(found[1]) :]
                    if told == b"\x04":
                        await socket.close()
                        return
                    await socket.send_bytes(told.upper())
                elif found[2] is not None:
                    self.sizes.append((int(found[2]), int(found[3])))

    async def _screen(self, socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"RFB 003.008\n")
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
