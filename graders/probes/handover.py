"""Which way a machine reaches the Internet, second by second: its echo requests there, and its frames in the air."""

from __future__ import annotations

import select
import threading
import time
from typing import Any

from .ether import listen
from .legs import Legs, card, packet_socket
from .packets import IPV4, parse

ECHO_REQUEST = 8


def watch(legs: Legs, *, toward: str, word: str, station: str, window: float) -> dict[str, Any]:
    """Echo requests that bring the bytes `word` (hexadecimal) to the leg `toward`, and encrypted frames of `station`.

    Times are seconds since the start. `bssids` are the access points the frames went to, `clear` counts its frames
    that anybody could read.

    >>> watch(legs, toward="wan", word="c0ffee00", station="06:54:00:ab:cd:ef", window=2)
    {'echoes': [0.31, 0.83], 'frames': [], 'bssids': [], 'clear': 0}
    """
    began = time.monotonic()
    frames: list[float] = []
    bssids: set[str] = set()
    clear = 0
    with legs.inside(toward):
        raw = packet_socket(card(), IPV4)
    echoes: list[float] = []
    counter = threading.Thread(target=_count, args=(raw, bytes.fromhex(word), began, window, echoes), daemon=True)
    counter.start()
    for at, _, frame in listen(legs, window):
        if frame.transmitter != station:
            continue
        if frame.protected_data:
            frames.append(round(at - began, 2))
            bssids.add(frame.receiver)
        clear += frame.clear_data
    counter.join()
    raw.close()
    return {"echoes": echoes, "frames": frames[:2000], "bssids": sorted(bssids), "clear": clear}


def _count(raw: Any, word: bytes, began: float, window: float, echoes: list[float]) -> None:
    while (left := began + window - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            return
        packet = parse(raw.recv(2048))
        if packet is not None and packet.icmp_type == ECHO_REQUEST and word in packet.payload:
            echoes.append(round(time.monotonic() - began, 2))
