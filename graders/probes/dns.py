"""DNS: questions asked to one server, answers as data; and what the provider's resolver was asked."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsigkeyring

from .legs import Legs
from .packets import family

RETRY = 1.0


@dataclass
class _Question:
    name: str
    rdtype: str
    query: dns.message.Message
    link: socket.socket | None = None
    answer: dict[str, Any] | None = None


def query(
    server: str,
    questions: list[list[str]],
    *,
    recursion: bool = False,
    transport: str = "udp",
    window: float = 4.0,
    port: int = 53,
    source: str = "",
) -> list[dict[str, Any]]:
    """Ask all questions at once; one result each, in order, `answered` False when nothing (valid) came back.

    `source` is the address to ask from, one of this leg's.

    >>> query("10.1.130.10", [["srv.auch.test", "A"]])[0]["answers"]
    [{'name': 'srv.auch.test', 'type': 'A', 'ttl': 3600, 'data': '10.1.130.10'}]
    """
    asked = [_Question(name, rdtype, _message(name, rdtype, recursion)) for name, rdtype in questions]
    if transport == "tcp":
        for one in asked:
            began = time.monotonic()
            one.answer = _ask_tcp(one, (server, port), window, source)
            if not one.answer["answered"] and time.monotonic() - began >= window:
                break  # a silence: each of the others would wait as long
    else:
        _ask_udp(asked, (server, port), window, source)
    return [
        {"name": one.name, "type": one.rdtype, **(one.answer or {"answered": False, "reason": "timeout"})}
        for one in asked
    ]


def transfer(
    server: str,
    zone: str,
    *,
    key: tuple[str, str] | None = None,
    window: float = 5.0,
    port: int = 53,
    source: str = "",
) -> dict[str, Any]:
    """Ask for the transfer of a whole zone (AXFR, RFC 5936); how many records the first message brought.

    `key`: name and secret (base64) that sign the question (TSIG, RFC 8945, hmac-sha256). `source` as for `query`.

    >>> transfer("10.1.130.10", "auch.test")
    {'answered': True, 'rcode': 'REFUSED', 'records': 0}
    """
    message = _message(zone, "AXFR", False)
    if key:
        name, secret = key
        message.use_tsig(dns.tsigkeyring.from_text({name: secret}), keyname=name, algorithm="hmac-sha256")
    answer = _ask_tcp(_Question(zone, "AXFR", message), (server, port), window, source)
    return {
        "answered": answer["answered"],
        "rcode": answer.get("rcode", answer.get("reason", "")),
        "records": len(answer.get("answers", ())),
    }


def seen(legs: Legs, nonce: str, window: float = 2.0) -> list[str]:
    """Lines of the provider's resolver log that hold `nonce`, waiting up to `window` seconds for the first.

    In capitals or not: some resolvers mix them, against forged answers (unbound's `use-caps-for-id`).

    >>> seen(legs, "k3v9")
    ['Nov 22 22:00:00 dnsmasq[7]: 3 198.51.100.2/4242 query[A] k3v9.internet.example from 198.51.100.2']
    """
    end = time.monotonic() + window
    while True:
        try:
            text = Path(legs.dns_log).read_text(errors="replace")
        except FileNotFoundError:
            raise RuntimeError(f"{legs.dns_log}: the provider's resolver writes no log") from None
        lines = [line for line in text.split("\n") if nonce.lower() in line.lower()]
        if lines or time.monotonic() > end:
            return lines[:20]
        time.sleep(0.1)


def _message(name: str, rdtype: str, recursion: bool) -> dns.message.Message:
    return dns.message.make_query(name, rdtype, flags=dns.flags.RD if recursion else 0)


def _ask_udp(asked: list[_Question], server: tuple[str, int], window: float, source: str = "") -> None:
    end = time.monotonic() + window
    with selectors.DefaultSelector() as selector:
        for one in asked:
            one.link = socket.socket(family(server[0]), socket.SOCK_DGRAM)
            one.link.setblocking(False)
            try:
                if source:
                    one.link.bind((source, 0))
                one.link.connect(server)
            except OSError as problem:
                one.answer = {"answered": False, "reason": str(problem.strerror)}
                continue
            selector.register(one.link, selectors.EVENT_READ, one)
        send_at = 0.0
        while any(one.answer is None for one in asked) and (now := time.monotonic()) < end:
            if now >= send_at:
                _send_missing(asked)
                send_at = now + RETRY
            for key, _ in selector.select(min(end, send_at) - now):
                _receive(key.data)
        for one in asked:
            if one.link is not None:
                one.link.close()


def _send_missing(asked: list[_Question]) -> None:
    for one in asked:
        if one.answer is None and one.link is not None:
            try:
                one.link.send(one.query.to_wire())
            except OSError as problem:
                one.answer = {"answered": False, "reason": str(problem.strerror)}


def _receive(one: _Question) -> None:
    assert one.link is not None
    try:
        wire = one.link.recv(65535)
    except OSError as problem:
        if one.answer is None:
            one.answer = {"answered": False, "reason": str(problem.strerror)}
        return
    one.answer = one.answer or _read(one.query, wire)


def _ask_tcp(one: _Question, server: tuple[str, int], window: float, source: str = "") -> dict[str, Any]:
    try:
        with socket.create_connection(server, window, (source, 0) if source else None) as link:
            wire = one.query.to_wire()
            link.sendall(struct.pack("!H", len(wire)) + wire)
            with link.makefile("rb") as stream:
                size = stream.read(2)
                data = stream.read(struct.unpack("!H", size)[0]) if len(size) == 2 else b""
    except OSError as problem:
        return {"answered": False, "reason": str(problem.strerror or problem)}
    return _read(one.query, data) or {"answered": False, "reason": "not an answer to the question"}


def _read(question: dns.message.Message, wire: bytes) -> dict[str, Any] | None:
    """The answer as data; None when the bytes are not an answer to this question."""
    try:
        # A signature is not verified: what a server would give away counts, not who signs it.
        message = dns.message.from_wire(wire, keyring=False, ignore_trailing=True)
        genuine = question.is_response(message)
    except (dns.exception.DNSException, ValueError, struct.error):
        return None
    if not genuine:
        return None
    return {
        "answered": True,
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": dns.flags.to_text(message.flags).lower().split(),
        "answers": _records(message.answer),
        "authority": _records(message.authority),
    }


def _records(section: list[dns.rrset.RRset]) -> list[dict[str, Any]]:
    return [
        {
            "name": _plain(rrset.name.to_text()),
            "type": dns.rdatatype.to_text(rrset.rdtype),
            "ttl": rrset.ttl,
            "data": _plain(record.to_text()),
        }
        for rrset in section
        for record in rrset
    ]


def _plain(text: str) -> str:
    return text.lower().removesuffix(".")
