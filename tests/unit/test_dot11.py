"""Reading the air: what a beacon promises, and which frames are data."""

from __future__ import annotations

import struct

import pytest

from graders.probes import dot11, ether

AP, STATION = bytes.fromhex("065400000001"), bytes.fromhex("065400000002")


def rsn(*, pairwise: tuple[int, ...] = (4,), akm: tuple[int, ...] = (2,), group: int = 4, bits: int = 0) -> bytes:
    content = b"\x01\x00" + dot11.IEEE + bytes([group])
    for suites in (pairwise, akm):
        content += struct.pack("<H", len(suites)) + b"".join(dot11.IEEE + bytes([one]) for one in suites)
    content += struct.pack("<H", bits)
    return bytes([dot11.RSN, len(content)]) + content


def beacon(elements: bytes, *, ssid: bytes = b"agence", privacy: bool = True, kind: int = dot11.BEACON) -> bytes:
    head = bytes([kind, 0, 0, 0]) + b"\xff" * 6 + AP + AP + bytes(2)
    body = bytes(8) + struct.pack("<HH", 100, 0x11 if privacy else 0x01)
    return head + body + bytes([dot11.SSID, len(ssid)]) + ssid + elements


def told(elements: bytes) -> dict[str, object]:
    frame = dot11.read(beacon(elements))
    assert frame is not None
    found = dot11.announcement(frame)
    assert found is not None
    return found


def test_wpa2_with_protected_management() -> None:
    found = told(rsn(akm=(6, 8), bits=dot11.REQUIRED | dot11.CAPABLE))
    assert found["ssid"] == "agence"
    assert found["bssid"] == "06:54:00:00:00:01"
    assert (found["rsn"], found["wpa"], found["wps"]) == (True, False, False)
    assert (found["group"], found["pairwise"], found["akm"]) == ("ccmp", ["ccmp"], ["psk-sha256", "sae"])
    assert found["pmf"] == "required"


def test_tkip_wpa_and_wps_are_seen() -> None:
    old = b"\xdd\x06" + dot11.WPA + b"\x01\x00"
    wps = b"\xdd\x06" + dot11.WPS + b"\x10\x4a"
    found = told(rsn(group=2, pairwise=(2, 4), bits=dot11.CAPABLE) + old + wps)
    assert (found["group"], found["pairwise"], found["pmf"]) == ("tkip", ["tkip", "ccmp"], "capable")
    assert found["wpa"]
    assert found["wps"]


def test_an_open_network() -> None:
    frame = dot11.read(beacon(b"", privacy=False))
    assert frame is not None
    found = dot11.announcement(frame)
    assert found is not None
    assert (found["privacy"], found["rsn"], found["akm"]) == (False, False, [])


def test_a_hidden_name_is_empty() -> None:
    frame = dot11.read(beacon(b"", ssid=bytes(6)))
    assert frame is not None
    assert (dot11.announcement(frame) or {})["ssid"] == ""


@pytest.mark.parametrize("length", range(60))
def test_cut_beacons_do_not_break_it(length: int) -> None:
    frame = dot11.read(beacon(rsn(pairwise=(4, 2), bits=0x80))[:length])
    if frame is not None:
        dot11.announcement(frame)


def test_an_unknown_suite_is_shown_as_it_is() -> None:
    assert told(rsn(akm=(99,)))["akm"] == ["00-0f-ac-63"]


def data(flags: int, body: bytes, kind: int = 0x88) -> dot11.Frame:
    frame = dot11.read(bytes([kind, flags, 0, 0]) + AP + STATION + AP + bytes(2) + body)
    assert frame is not None
    return frame


def test_encrypted_and_clear_data() -> None:
    snap = b"\xaa\xaa\x03\x00\x00\x00"
    assert data(0x41, bytes(40)).protected_data
    assert not data(0x41, bytes(40)).clear_data
    assert data(0x01, b"\0\0" + snap + b"\x08\x00" + bytes(20)).clear_data
    assert not data(0x01, b"\0\0" + snap + b"\x88\x8e" + bytes(20)).clear_data
    assert not data(0x11, b"", kind=0x48).clear_data
    assert not data(0x01, bytes(40), kind=0x80).protected_data


def test_what_the_antenna_hears() -> None:
    frame = beacon(rsn())
    head = b"\xff" * 6 + b"\x52" * 6 + ether.ETHERTYPE.to_bytes(2, "big")
    heard = ether.decode(head + ether.HEAD.pack(1, 0, 1, 0, 9, 2437, len(frame)) + frame + bytes(20))
    assert heard is not None
    assert heard[0] == 2437
    assert heard[1].bssid == "06:54:00:00:00:01"
    assert ether.decode(head + ether.HEAD.pack(2, 0, 1, 0, 9, 2437, 6) + AP) is None
    assert ether.decode(head + ether.HEAD.pack(1, 1, 2, 0, 9, 2437, 3000) + frame) is None
    assert ether.decode(b"\xff" * 12 + b"\x08\x00" + bytes(60)) is None
