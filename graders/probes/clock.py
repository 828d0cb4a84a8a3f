"""The clock of another machine, seen from here: ICMP timestamps (RFC 792), which its kernel answers by itself."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

from .packets import ICMP, checksum

ASK, TELL = 13, 14
DAY_MS = 86_400_000
NOT_STANDARD = 1 << 31
"""Set in the answer of a machine that does not count from midnight UT."""


def offset(address: str, ahead: float = 0.0, tries: int = 4, window: float = 2.0) -> dict[str, Any]:
    """Seconds by which its clock is ahead of ours put forward by `ahead`; None when it does not answer.

    Of several answers the quickest counts; `within` is how far off the figure can be. A whole day is not seen.

    >>> offset("10.1.2.20")
    {'offset': -0.004, 'within': 0.002}
    """
    best: tuple[float, float] | None = None
    ident = int.from_bytes(os.urandom(2), "big")
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, ICMP) as raw:
        for seq in range(tries):
            began = time.time()
            body = struct.pack("!HHIII", ident, seq, _midnight(began), 0, 0)
            raw.sendto(struct.pack("!BBH", ASK, 0, checksum(bytes([ASK, 0, 0, 0]) + body)) + body, (address, 0))
            told = _answer(raw, address, ident, seq, time.monotonic() + window)
            ended = time.time()
            if told is None:
                continue
            half = (ended - began) / 2
            ours = _midnight(began + half + ahead)
            found = ((told - ours + DAY_MS // 2) % DAY_MS - DAY_MS // 2) / 1000
            if best is None or half < best[1]:
                best = found, half
    return {"offset": round(best[0], 3), "within": round(best[1], 3)} if best else {"offset": None, "within": None}


def _answer(raw: socket.socket, address: str, ident: int, seq: int, end: float) -> int | None:
    """Milliseconds since midnight UT when the question came in, as the machine says; None when it said nothing."""
    while (left := end - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet, (source, *_) = raw.recvfrom(2048)
        except TimeoutError:
            return None
        body = packet[(packet[0] & 15) * 4 :]
        if source != address or len(body) < 20:
            continue
        kind, _, _, got, number, _, received, _ = struct.unpack_from("!BBHHHIII", body)
        if (kind, got, number) == (TELL, ident, seq):
            return None if received & NOT_STANDARD else int(received)
    return None


def _midnight(moment: float) -> int:
    return int(moment * 1000) % DAY_MS


def now() -> float:
    """Our own clock, in Unix seconds."""
    return time.time()
