"""Monitoring seen from what is monitored: polls that come in, outages made on purpose, messages that follow.

The equipment and the mail server are the probe's own (`equipements` and `courrier` of the lab's files): they are told
over a connection which service is out of order, for as long as the connection lasts.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email import policy
from email.parser import Parser
from pathlib import Path
from typing import Any

from .legs import Legs, card, packet_socket
from .packets import ACK, SYN, TCP, family, parse

CONTROL = "/run/plateau/equipements.sock"
MAILS = "/run/plateau/courrier.jsonl"
LOOK = 1.0
Mail = dict[str, Any]


def trial(
    legs: Legs,
    *,
    services: list[dict[str, Any]],
    outages: dict[str, str],
    recipient: str,
    mail: dict[str, str],
    watch: float,
    limit: float,
    control: str = CONTROL,
    mails: str = MAILS,
) -> dict[str, Any]:
    """Watch the polls for `watch` seconds, then put services out of order, then back into order.

    A service: id, leg, address, port, sources (addresses that may poll it). `outages`: service -> what happens to it
    (`stopped`, `error`, `slow`, `off`). Each of both halves lasts until everybody was written about, `limit` seconds
    at most; the second begins only if the first brought everything. `mail`: leg and address of the mail server.

    Times are seconds since the beginning. `polls`: service -> when a connection was opened. `stopped`, `restarted`:
    when; None when it did not come to that. `mails`: at, to (list), subject, text.

    >>> trial(legs, services=services, outages={"nas-3": "off"}, recipient="astreinte@a.test", mail=mail, watch=75,
    ...     limit=120)
    {'polls': {'nas-3': [3.1, 22.9]}, 'stopped': 75.2, 'restarted': 110.4, 'ended': 131.0, 'mails': [{'at': 109.8,
    'to': ['astreinte@a.test'], 'subject': 'nas-3 DOWN', 'text': '…'}]}
    """
    for service in services:
        _answers(legs, service["leg"], service["address"], service["port"])
    _answers(legs, mail["leg"], mail["address"], 25)
    began = time.monotonic()
    names, everybody = list(outages), [service["id"] for service in services]

    def so_far() -> list[Mail]:
        return single(read(mails, began), everybody)

    told: dict[str, Any] = {"polls": _polls(legs, services, began, watch), "stopped": None, "restarted": None}
    with _out_of_order(control, outages):
        told["stopped"] = _now(began)
        alerted = _wait(limit, lambda: not unwritten(so_far(), names, recipient, told["stopped"]))
    if alerted:
        told["restarted"] = _now(began)
        _wait(limit, lambda: not unrecovered(so_far(), names, recipient, told["stopped"], told["restarted"]))
    told["ended"] = _now(began)
    told["mails"] = read(mails, began)
    return told


def read(path: str, began: float) -> list[Mail]:
    """Messages that came in since `began`; a line that is not whole yet is left for later."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in Path(path).read_text(encoding="utf-8").split("\n")[:-1]:
            one = json.loads(line)
            if one["at"] >= began:
                found.append({"at": round(one["at"] - began, 1), "to": one["to"], **_words(one["data"])})
    return found


def mentions(mail: Mail, name: str) -> bool:
    """Whether a message names an equipment, in the subject or in the text; what a tool puts beside it does not matter.

    >>> mentions({"subject": "NAS-3_http DOWN", "text": ""}, "nas-3")
    True
    >>> mentions({"subject": "nas-31", "text": ""}, "nas-3")
    False
    """
    pattern = rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
    return bool(re.search(pattern, f"{mail['subject']}\n{mail['text']}", re.IGNORECASE))


def single(mails: Sequence[Mail], everybody: Sequence[str]) -> list[Mail]:
    """Messages that name one equipment at most: a list of many says of none that it is out of order.

    >>> single([{"subject": "nas-3, cam-4 DOWN", "text": ""}], ["nas-3", "cam-4"])
    []
    """
    return [one for one in mails if sum(mentions(one, name) for name in everybody) <= 1]


def about(mails: Sequence[Mail], name: str, recipient: str, start: float, end: float = float("inf")) -> list[Mail]:
    """Messages to `recipient` that name an equipment, after a moment and up to another.

    Moments are rounded: a message that was read before something was done may bear the very time of it.
    """
    return [one for one in mails if start < one["at"] <= end and recipient in one["to"] and mentions(one, name)]


def unwritten(mails: Sequence[Mail], names: Sequence[str], recipient: str, since: float) -> list[str]:
    """Equipment that no message has named since then."""
    return [name for name in names if not about(mails, name, recipient, since)]


def unrecovered(
    mails: Sequence[Mail], names: Sequence[str], recipient: str, stopped: float, restarted: float
) -> list[str]:
    """Equipment without a message of another subject than those of its outage, once it is over.

    What repeats the alert is not the end of it; figures in a subject (how often, how long) do not make another one.
    """
    found = []
    for name in names:
        known = {_gist(one) for one in about(mails, name, recipient, stopped, restarted)}
        if not any(_gist(one) not in known for one in about(mails, name, recipient, restarted)):
            found.append(name)
    return found


def _gist(mail: Mail) -> str:
    return re.sub(r"\d+|\s+", " ", str(mail["subject"])).strip().lower()


def _words(data: str) -> dict[str, str]:
    """Subject and text of a message as a person reads them."""
    message = Parser(policy=policy.default).parsestr(data)
    body = None
    try:
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
    except (LookupError, ValueError):  # a character set that does not exist: as it came
        text = data
    if body is not None and body.get_content_subtype() == "html":
        text = html.unescape(re.sub(r"<!--.*?-->|<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.S | re.I))
    return {"subject": str(message["subject"] or ""), "text": " ".join(text.split())[:20_000]}


def _polls(legs: Legs, services: Sequence[Mapping[str, Any]], began: float, watch: float) -> dict[str, list[float]]:
    """When connections to the services were opened, by those who may poll them."""
    wanted = {(one["address"], one["port"], source): one["id"] for one in services for source in one["sources"]}
    polls: dict[str, list[float]] = {one["id"]: [] for one in services}
    known: set[tuple[str, int, str, int]] = set()
    with contextlib.ExitStack() as stack:
        ears = []
        for leg in {one["leg"] for one in services}:
            with legs.inside(leg):
                ears.append(stack.enter_context(packet_socket(card())))
        while (left := began + watch - time.monotonic()) > 0:
            for ready in select.select(ears, [], [], left)[0]:
                frame, place = ready.recvfrom(2048)
                packet = parse(frame)
                if packet is None or place[2] == socket.PACKET_OUTGOING or packet.protocol != TCP:
                    continue
                ends = (packet.source, packet.sport, packet.destination, packet.dport)
                name = wanted.get((packet.destination, packet.dport, packet.source))
                if name and packet.flags & (SYN | ACK) == SYN and ends not in known:
                    known.add(ends)
                    polls[name].append(_now(began))
    return polls


def _answers(legs: Legs, leg: str, address: str, port: int) -> None:
    """Raise RuntimeError when a service of ours does not answer in its own leg: nobody could be judged by it."""
    with legs.inside(leg):
        link = socket.socket(family(address), socket.SOCK_STREAM)
    with link:
        link.settimeout(5.0)
        try:
            link.connect((address, port))
        except OSError as problem:
            raise RuntimeError(f"the probe's own service {address} port {port} does not answer: {problem}") from None


@contextlib.contextmanager
def _out_of_order(control: str, outages: Mapping[str, str]) -> Iterator[None]:
    """Services are out of order inside the `with` block. Raises RuntimeError when the equipment does not obey."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(20.0)
        link.connect(control)
        link.sendall(json.dumps(outages).encode() + b"\n")
        if link.recv(64) != b"ok\n":
            raise RuntimeError(f"{control}: the equipment does not obey")
        yield


def _wait(limit: float, done: Callable[[], bool]) -> bool:
    """Look again and again until it is done; False when it was not within `limit` seconds."""
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK)
    return True


def _now(began: float) -> float:
    return round(time.monotonic() - began, 1)
