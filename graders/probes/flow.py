"""Flow matrix: which traffic passes between the probe's legs, and with which source it arrives."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from .legs import Legs, card, packet_socket
from .packets import ACK, ICMPV6, SYN, TCP, UDP, Packet, address_bytes, echo, family, icmp_of, parse

Flow = dict[str, Any]
ECHO_REPLY, ECHO_REPLY6 = 0, 129


def matrix(
    legs: Legs, flows: list[Flow], extra: dict[str, str] | None = None, window: float = 3.0
) -> dict[str, dict[str, Any]]:
    """Try every flow at once, from leg `from` to a listener of ours on leg `to`.

    A flow: id, from, to, address (of either family), protocol (tcp, udp, or icmp: an echo, without port), port, and
    optionally `patience`, the seconds it may take (default `window`), and `sport`, the port that UDP leaves from.
    `extra` gives a leg one more address (or several, after commas), for the time of the call.
    State of each: `open` (our word went and its answer came back), `arrived` (seen on the other side, no answer back),
    `refused`, `filtered`. `source` is the address that the other side saw.

    >>> matrix(legs, [{"id": "web", "from": "lan", "to": "wan", "address": "203.0.113.9", "protocol": "tcp",
    ...     "port": 80}])
    {'web': {'state': 'open', 'source': '198.51.100.2'}}
    """
    with _extra_addresses(legs, extra or {}), contextlib.ExitStack() as stack:
        far_side = _FarSide(legs, flows, stack)
        watcher = threading.Thread(target=far_side.run, daemon=True)
        watcher.start()
        attempts = [_Attempt(legs, flow, float(flow.get("patience", window))) for flow in flows]
        for attempt in attempts:
            attempt.start()
        for attempt in attempts:
            attempt.join()
        time.sleep(0.1)
        far_side.stopped = True
        watcher.join()
    for attempt in attempts:
        if attempt.problem:
            raise attempt.problem
    return {flow["id"]: far_side.judge(attempt) for flow, attempt in zip(flows, attempts, strict=True)}


class _FarSide:
    """The listeners and the captures on the legs where the flows go."""

    def __init__(self, legs: Legs, flows: list[Flow], stack: contextlib.ExitStack) -> None:
        self.stopped = False
        self.words: dict[bytes, str] = {}
        """Word received by a listener -> source address."""
        self.captured: dict[tuple[str, bytes | tuple[int, int]], str] = {}
        """Leg, and word of a UDP datagram or echo request, or (port, sequence number) of a SYN -> source address."""
        self.sent: dict[tuple[str, int, str, int], int] = {}
        """Sequence number of each SYN that left: what tells it again behind an address translation."""
        self.selector = stack.enter_context(selectors.DefaultSelector())
        for leg in {flow["from"] for flow in flows} | {flow["to"] for flow in flows}:
            with legs.inside(leg):
                self._register(stack.enter_context(packet_socket(card())), f"capture:{leg}")
        for leg, protocol, address, port in {(f["to"], f["protocol"], f["address"], f["port"]) for f in flows}:
            if protocol == "icmp":  # the kernel of the far side answers an echo
                continue
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            with legs.inside(leg):
                listener = stack.enter_context(socket.socket(family(address), kind))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            if protocol == "tcp":
                listener.listen(16)
            self._register(listener, protocol)

    def _register(self, link: socket.socket, role: str) -> None:
        link.setblocking(False)
        self.selector.register(link, selectors.EVENT_READ, role)

    def run(self) -> None:
        """Serve until stopped."""
        while not self.stopped:
            for key, _ in self.selector.select(0.1):
                link = key.fileobj
                assert isinstance(link, socket.socket)
                with contextlib.suppress(OSError):
                    self._serve(link, key.data)

    def _serve(self, link: socket.socket, role: str) -> None:
        kind, _, leg = role.partition(":")
        if kind == "capture":
            frame, address = link.recvfrom(2048)
            packet = parse(frame)
            if packet:
                self._note(packet, leg, outgoing=address[2] == socket.PACKET_OUTGOING)
        elif role == "tcp":
            connection, _ = link.accept()
            self._register(connection, "connection")
        elif role == "udp":
            word, peer = link.recvfrom(64)
            self.words[word] = peer[0]
            link.sendto(word[::-1], peer)
        else:
            word = link.recv(64)
            if word:
                self.words[word] = link.getpeername()[0]
                link.sendall(word[::-1])
            self.selector.unregister(link)
            link.close()

    def _note(self, packet: Packet, leg: str, *, outgoing: bool) -> None:
        if packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN:
            if outgoing:
                self.sent[packet.source, packet.sport, packet.destination, packet.dport] = packet.seq
            else:
                self.captured[leg, (packet.dport, packet.seq)] = packet.source
        elif not outgoing and (packet.protocol == UDP or packet.is_echo_request):
            self.captured[leg, packet.payload] = packet.source

    def judge(self, attempt: _Attempt) -> dict[str, Any]:
        """What became of one attempt."""
        source = self.words.get(attempt.word)
        if attempt.flow["protocol"] == "icmp":
            source = self.captured.get((attempt.flow["to"], attempt.word))
        if attempt.state == "open" and source:
            return {"state": "open", "source": source}
        key: bytes | tuple[int, int] = attempt.word
        if attempt.ends is not None:
            key = attempt.ends[3], self.sent.get(attempt.ends, -1)
        source = source or self.captured.get((attempt.flow["to"], key))
        state = "filtered" if attempt.state == "open" else attempt.state
        return {"state": "arrived" if source else state, "source": source}


class _Attempt(threading.Thread):
    """One flow from its near side."""

    def __init__(self, legs: Legs, flow: Flow, patience: float) -> None:
        super().__init__(daemon=True)
        self.legs, self.flow, self.patience = legs, flow, patience
        self.target = (flow["address"], flow["port"])
        self.word = os.urandom(8).hex().encode()
        self.state = "filtered"
        self.ends: tuple[str, int, str, int] | None = None
        """Of a TCP flow: source address and port, destination address and port."""
        self.problem: OSError | None = None
        """Why it could not be tried."""

    def run(self) -> None:
        """Send the word, wait for it to come back reversed."""
        kind, protocol, exchange = {
            "tcp": (socket.SOCK_STREAM, 0, self._tcp),
            "udp": (socket.SOCK_DGRAM, 0, self._udp),
            "icmp": (socket.SOCK_RAW, icmp_of(self.flow["address"]), self._icmp),
        }[self.flow["protocol"]]
        with self.legs.inside(self.flow["from"]), socket.socket(family(self.flow["address"]), kind, protocol) as link:
            try:
                self._take_port(link)
            except OSError as problem:
                self.problem = problem
                return
            try:
                back = exchange(link)
                self.state = "open" if back == self.word[::-1] else self.state
            except TimeoutError:
                self.state = "filtered"
            except OSError:
                self.state = "refused"

    def _tcp(self, link: socket.socket) -> bytes:
        end = time.monotonic() + self.patience
        link.bind(("", 0))
        port = link.getsockname()[1]
        link.settimeout(self.patience)
        try:
            link.connect(self.target)
        finally:
            self.ends = (link.getsockname()[0], port, *self.target)
        link.settimeout(max(0.1, end - time.monotonic()))
        link.sendall(self.word)
        return link.recv(64)

    def _take_port(self, link: socket.socket) -> None:
        if "sport" in self.flow:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            link.bind(("", self.flow["sport"]))

    def _udp(self, link: socket.socket) -> bytes:
        end = time.monotonic() + self.patience
        link.connect(self.target)
        while (left := end - time.monotonic()) > 0:
            link.send(self.word)
            link.settimeout(min(1.0, left))
            with contextlib.suppress(TimeoutError):
                return link.recv(64)
        return b""

    def _icmp(self, link: socket.socket) -> bytes:
        """The word reversed, as the others bring it back, once the echo reply that holds it came."""
        ident = int.from_bytes(os.urandom(2), "big")
        end, again = time.monotonic() + self.patience, 0.0
        link.connect((self.target[0], 0))
        own = link.getsockname()[0]
        while (now := time.monotonic()) < end:
            if now >= again:
                link.send(echo(own, self.target[0], ident, 1, self.word))
                again = now + 1.0
            link.settimeout(max(0.01, min(end, again) - now))
            with contextlib.suppress(TimeoutError):
                if _is_reply(link, link.recv(2048), self.word):
                    return self.word[::-1]
        return b""


def _is_reply(link: socket.socket, received: bytes, word: bytes) -> bool:
    """Whether a raw socket brought the echo reply that holds the word; an IPv4 one brings its header too."""
    if link.proto == ICMPV6:
        return received[0] == ECHO_REPLY6 and received.endswith(word)
    return received[(received[0] & 15) * 4] == ECHO_REPLY and received.endswith(word)


@contextlib.contextmanager
def _extra_addresses(legs: Legs, extra: dict[str, str]) -> Iterator[None]:
    def change(verb: str) -> None:
        for leg, addresses in extra.items():
            with legs.inside(leg):
                for address in addresses.split(","):
                    size = len(address_bytes(address)) * 8
                    # An IPv6 address is tentative until a worker of the kernel gets to it, on `lo` too, unless `nodad`.
                    usable = ["nodad"] if family(address) == socket.AF_INET6 and verb == "replace" else []
                    os.spawnlp(os.P_WAIT, "ip", "ip", "address", verb, f"{address}/{size}", "dev", "lo", *usable)

    change("replace")
    try:
        yield
    finally:
        change("delete")
