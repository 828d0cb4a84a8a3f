"""802.11 frames as they are in the air: beacons and what they promise (IEEE 802.11-2020, 9.3.3 and 9.4.2).

>>> security(bytes.fromhex("30140100000fac040100000fac040100000fac02c000"))["akm"]
['psk']
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .packets import mac_text

BEACON, PROBE_RESPONSE, PROBE_REQUEST, AUTHENTICATION = 0x80, 0x50, 0x40, 0xB0
ASSOCIATION_REQUEST, REASSOCIATION_REQUEST = 0x00, 0x20
DATA_MASK, DATA = 0x0C, 0x08
PROTECTED, PRIVACY = 0x40, 0x0010
SSID, RSN, VENDOR = 0, 48, 221
WPA, WPS = b"\x00\x50\xf2\x01", b"\x00\x50\xf2\x04"
IEEE = b"\x00\x0f\xac"
CIPHERS = {0: "group", 1: "wep", 2: "tkip", 4: "ccmp", 5: "wep", 8: "gcmp", 9: "gcmp-256", 10: "ccmp-256"}
KEYS = {1: "802.1x", 2: "psk", 3: "ft-802.1x", 4: "ft-psk", 5: "802.1x-sha256", 6: "psk-sha256", 8: "sae", 9: "ft-sae",
        18: "owe", 24: "sae-ext", 25: "ft-sae-ext"}  # fmt: skip
REQUIRED, CAPABLE = 0x40, 0x80
"""Bits of the RSN capabilities: management frames protected (802.11w)."""


@dataclass(frozen=True)
class Frame:
    """The head of a frame: its first byte tells type and subtype; `body` is what follows the addresses."""

    kind: int
    flags: int
    receiver: str
    transmitter: str
    bssid: str
    body: bytes

    @property
    def protected_data(self) -> bool:
        """An encrypted frame of data."""
        return self.kind & DATA_MASK == DATA and bool(self.flags & PROTECTED)

    @property
    def clear_data(self) -> bool:
        """A frame of data that anybody can read: not a null frame, nor one of the key exchange."""
        if self.kind & DATA_MASK != DATA or self.flags & PROTECTED or self.kind & 0x40:
            return False
        start = 2 if self.kind & 0x80 else 0  # quality of service
        return len(self.body) > start + 8 and self.body[start + 6 : start + 8] != b"\x88\x8e"


def read(data: bytes) -> Frame | None:
    """Read a frame; None for control frames and what is too short."""
    if len(data) < 24 or data[0] & DATA_MASK == 0x04:
        return None
    receiver, transmitter, bssid = [mac_text(data[start : start + 6]) for start in (4, 10, 16)]
    return Frame(data[0], data[1], receiver, transmitter, bssid, data[24:])


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """The information elements: number and content, up to the first that is cut off."""
    found, position = [], 0
    while position + 2 <= len(data):
        number, length = data[position], data[position + 1]
        content = data[position + 2 : position + 2 + length]
        if len(content) < length:
            break
        found.append((number, content))
        position += 2 + length
    return found


def announcement(frame: Frame) -> dict[str, Any] | None:
    """What a beacon or a probe response says of a network; None for other frames."""
    if frame.kind not in {BEACON, PROBE_RESPONSE} or len(frame.body) < 12:
        return None
    (capability,) = struct.unpack_from("<H", frame.body, 10)
    ssid = next((content for number, content in elements(frame.body[12:]) if number == SSID), b"")
    return {
        "bssid": frame.bssid,
        "ssid": ssid.strip(b"\0").decode("utf-8", "replace"),
        "privacy": bool(capability & PRIVACY),
        **security(frame.body[12:]),
    }


def security(data: bytes) -> dict[str, Any]:
    """The protection that these elements promise: `rsn` (WPA2 and WPA3), `wpa` (the first one), `wps`."""
    told = {"rsn": False, "wpa": False, "wps": False, "group": "", "pairwise": [], "akm": [], "pmf": "no"}
    for number, content in elements(data):
        if number == RSN:
            told |= {"rsn": True, **_rsn(content)}
        elif number == VENDOR and content.startswith(WPA):
            told["wpa"] = True
        elif number == VENDOR and content.startswith(WPS):
            told["wps"] = True
    return told


def _rsn(data: bytes) -> dict[str, Any]:
    """Ciphers, key management and capabilities; what is left out has the standard's default."""
    group = _suite(data[2:6], CIPHERS) if len(data) >= 6 else "ccmp"
    pairwise, position = _suites(data, 6, CIPHERS)
    akm, position = _suites(data, position, KEYS)
    bits = struct.unpack_from("<H", data, position)[0] if len(data) >= position + 2 else 0
    pmf = "required" if bits & REQUIRED else "capable" if bits & CAPABLE else "no"
    return {"group": group, "pairwise": pairwise or ["ccmp"], "akm": akm or ["802.1x"], "pmf": pmf}


def _suites(data: bytes, position: int, names: dict[int, str]) -> tuple[list[str], int]:
    if len(data) < position + 2:
        return [], position
    (count,) = struct.unpack_from("<H", data, position)
    starts = range(position + 2, min(position + 2 + 4 * count, len(data) - 3), 4)
    return [_suite(data[start : start + 4], names) for start in starts], position + 2 + 4 * count


def _suite(data: bytes, names: dict[int, str]) -> str:
    known = names.get(data[3]) if data[:3] == IEEE else None
    return known or data.hex("-")
