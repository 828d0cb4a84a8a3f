"""The air of a lab as the probe's antenna hears it: every frame of every radio (see labs/catalogue/common/air)."""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterator
from typing import Any

from .dot11 import Frame, announcement, read
from .legs import Legs, card, packet_socket

ETHERTYPE, FRAME = 0x88B5, 1
HEAD = struct.Struct("!BBBBIHH")
"""Kind, piece, pieces, 0, number, MHz, length of the whole frame."""
LEG = "ether"


def networks(legs: Legs, window: float = 3.0) -> list[dict[str, Any]]:
    """Every network that is announced within `window` seconds, once a station and an announcement.

    >>> networks(legs)[0]
    {'bssid': '06:54:00:12:34:56', 'ssid': 'agence', 'privacy': True, 'rsn': True, 'wpa': False, 'wps': False,
     'group': 'ccmp', 'pairwise': ['ccmp'], 'akm': ['psk'], 'pmf': 'required', 'frequency': 2437}
    """
    found: list[dict[str, Any]] = []
    for _, frequency, frame in listen(legs, window):
        told = announcement(frame)
        if told is not None and {**told, "frequency": frequency} not in found:
            found.append({**told, "frequency": frequency})
    return found


def listen(legs: Legs, window: float) -> Iterator[tuple[float, int, Frame]]:
    """Each frame that is heard: when (monotonic), on which frequency (MHz), and its head (its first piece)."""
    with legs.inside(LEG):
        raw = packet_socket(card(), ETHERTYPE)
    end = time.monotonic() + window
    with raw:
        while (left := end - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            heard = decode(raw.recv(2048))
            if heard is not None:
                yield time.monotonic(), *heard


def decode(data: bytes) -> tuple[int, Frame] | None:
    """Frequency and frame of what came over the antenna; None for acknowledgements and later pieces."""
    if len(data) < 14 + HEAD.size or data[12:14] != ETHERTYPE.to_bytes(2, "big"):
        return None
    kind, piece, _, _, _, frequency, length = HEAD.unpack_from(data, 14)
    frame = read(data[14 + HEAD.size :][:length]) if kind == FRAME and piece == 0 else None
    return (frequency, frame) if frame is not None else None
