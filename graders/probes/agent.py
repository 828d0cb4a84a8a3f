"""The agent: one process on the probe that takes requests as JSON lines and runs each in a child of its own.

Request: {"id", "probe", "leg", "params", "timeout", "after"}. Answer: {"id", "ok", "result" or "error", "seconds",
"waited", "crowd"}: how long the child was ready to run and did not get the processor (seconds), and how many ran at
most with it. A child enters its leg, runs the probe and is killed at its timeout; several may run at once. "after", if
there, is the id of a request that must end first: its time begins then.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import arp, dhcp, dns, flow, http, icmp, inject, scan, snmp, tcp
from .legs import Legs

PROBES: dict[str, Callable[..., Any]] = {
    "arp.sweep": arp.sweep,
    "arp.who_has": arp.who_has,
    "dhcp.discover": dhcp.discover,
    "dhcp.relayed": dhcp.relayed,
    "dns.query": dns.query,
    "dns.seen": dns.seen,
    "dns.transfer": dns.transfer,
    "flow.matrix": flow.matrix,
    "http.get": http.get,
    "icmp.echo_from": icmp.echo_from,
    "icmp.ping": icmp.ping,
    "icmp.traceroute": icmp.traceroute,
    "inject.send": inject.send,
    "scan.tcp_ports": scan.tcp_ports,
    "snmp.get": snmp.get,
    "tcp.connect": tcp.connect,
    "tcp.exchange": tcp.exchange,
}
SELDOM = (
    "clock.now",
    "clock.offset",
    "ether.networks",
    "handover.watch",
    "intrusion.trial",
    "kerberos.obtain",
    "ldap.add",
    "ldap.binds",
    "ldap.change",
    "ldap.delete",
    "ldap.move",
    "ldap.search",
    "lure.offer",
    "mail.received",
    "mail.send",
    "mirror.offer",
    "mirror.seen",
    "monitoring.trial",
    "ndp.newcomer",
    "ndp.routers",
    "ospf.announce",
    "ospf.heard",
    "ospf.state",
    "pmtu.too_big",
    "proxy.fetch",
    "proxy.tunnel",
    "secondary.follow",
    "secondary.remind",
    "smb.use",
    "vpn.use",
    "wifi.join",
    "wifi.leave",
)
"""Probes of modules that are imported when asked for: what they import would delay the others."""


@dataclass
class _Child:
    """A request being served."""

    request: Any
    pid: int
    deadline: float
    started: float
    crowd: int = 1
    output: bytearray = field(default_factory=bytearray)


class Agent:
    """Reads requests from one descriptor, writes answers to another, until the first one closes."""

    def __init__(self, legs: Legs, source: int, sink: int) -> None:
        self.legs, self.source, self.sink = legs, source, sink
        self.selector = selectors.DefaultSelector()
        self.selector.register(source, selectors.EVENT_READ)
        self.pending = b""
        self.children: dict[int, _Child] = {}
        self.waiting: list[dict[str, Any]] = []

    def serve(self) -> None:
        """Run until the caller hangs up; children die with us."""
        self._answer({"id": None, "ok": True, "result": sorted([*PROBES, *SELDOM]), "seconds": 0.0})
        while True:
            for key, _ in self.selector.select(self._next_timeout()):
                if key.fd != self.source:
                    self._read_child(key.fd)
                elif not self._read_requests():
                    self._kill_all()
                    return
            now = time.monotonic()
            for descriptor in [fd for fd, child in self.children.items() if child.deadline <= now]:
                self._finish(descriptor, "timeout")

    def _next_timeout(self) -> float | None:
        if not self.children:
            return None
        return max(0.0, min(child.deadline for child in self.children.values()) - time.monotonic())

    def _read_requests(self) -> bool:
        data = os.read(self.source, 65536)
        self.pending += data
        *lines, self.pending = self.pending.split(b"\n")
        for line in lines:
            self.waiting.append(json.loads(line))
        self._start_ready()
        return bool(data)

    def _start_ready(self) -> None:
        """Start what waits for nothing, in the order in which it was asked for."""
        ready, self.waiting = self.waiting, []
        for request in ready:
            unfinished = [*(child.request for child in self.children.values()), *self.waiting]
            if request.get("after") in {one["id"] for one in unfinished}:
                self.waiting.append(request)
            else:
                self._start(request)

    def _start(self, request: dict[str, Any]) -> None:
        reader, writer = os.pipe()
        now = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.close(reader)
            for other in self.children:
                os.close(other)
            _run_child(self.legs, request, writer)
        os.close(writer)
        self.children[reader] = _Child(request, pid, now + float(request["timeout"]), now)
        for child in self.children.values():
            child.crowd = max(child.crowd, len(self.children))
        self.selector.register(reader, selectors.EVENT_READ)

    def _read_child(self, descriptor: int) -> None:
        data = os.read(descriptor, 65536)
        self.children[descriptor].output += data
        if not data:
            self._finish(descriptor, None)

    def _finish(self, descriptor: int, error: str | None) -> None:
        child = self.children.pop(descriptor)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        _kill(child.pid)
        os.waitpid(child.pid, 0)
        answer: dict[str, Any]
        try:
            answer = {"ok": False, "error": error} if error else json.loads(bytes(child.output))
        except ValueError:
            answer = {"ok": False, "error": "the probe died without an answer"}
        seconds = round(time.monotonic() - child.started, 3)
        self._answer({"id": child.request["id"], **answer, "seconds": seconds, "crowd": child.crowd})
        self._start_ready()

    def _answer(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(self.sink, data) :]

    def _kill_all(self) -> None:
        for child in self.children.values():
            _kill(child.pid)


def _function(name: str) -> Callable[..., Any]:
    """The probe of that name. Raises KeyError when there is none."""
    if name not in SELDOM:
        return PROBES[name]
    module, _, attribute = name.partition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f".{module}", __package__), attribute)
    return found


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _run_child(legs: Legs, request: dict[str, Any], writer: int) -> None:
    """Run one probe and leave; never returns."""
    try:
        function = _function(request["probe"])
        if request.get("leg"):
            legs.enter(request["leg"])
        params = dict(request.get("params") or {})
        if function.__code__.co_varnames[:1] == ("legs",):
            params["legs"] = legs
        answer: dict[str, Any] = {"ok": True, "result": function(**params)}
    except BaseException as problem:  # noqa: BLE001 - whatever it was, the grader must be told
        place = traceback.extract_tb(problem.__traceback__)[-1]
        answer = {"ok": False, "error": f"{type(problem).__name__}: {problem} ({place.name}:{place.lineno})"}
    answer["waited"] = _waited()
    try:
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


def _waited() -> float:
    """Seconds that this process spent ready to run, waiting for a processor (proc_pid_schedstat(5)); 0 when unknown."""
    try:
        return round(int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9, 3)
    except (OSError, IndexError, ValueError):
        return 0.0


def main() -> None:
    """Serve on standard input and output; the arguments, if any, say where the namespaces and the DNS log are."""
    legs = Legs(*sys.argv[1:3])
    sink = os.dup(1)
    os.dup2(2, 1)  # a stray print must not break the protocol
    Agent(legs, 0, sink).serve()
