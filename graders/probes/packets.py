"""Frames built and read by hand: Ethernet, IPv4, TCP, UDP, ICMP. Just what the probes need.

>>> checksum(bytes.fromhex("45000073000040004011c0a80001c0a800c7"))
47201
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

IPV4, ARP = 0x0800, 0x0806
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
BROADCAST = "ff:ff:ff:ff:ff:ff"


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def ethernet(destination: str, source: str, ethertype: int, payload: bytes) -> bytes:
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", ethertype) + payload


def ipv4(source: str, destination: str, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    """A packet without options."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol)
    return start + struct.pack("!H", checksum(start + b"\0\0" + addresses)) + addresses + payload


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, protocol, length)


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes) -> bytes:
    """A UDP datagram with its checksum (addresses are part of it)."""
    length = 8 + len(payload)
    start = struct.pack("!HHH", sport, dport, length)
    value = checksum(pseudo_header(source, destination, UDP, length) + start + b"\0\0" + payload)
    return start + struct.pack("!H", value or 0xFFFF) + payload


def tcp(source: str, destination: str, sport: int, dport: int, *, flags: int, seq: int, ack: int = 0) -> bytes:
    """A TCP segment without options or data."""
    start = struct.pack("!HHIIBBH", sport, dport, seq, ack, 5 << 4, flags, 64240)
    value = checksum(pseudo_header(source, destination, TCP, 20) + start + b"\0\0\0\0")
    return start + struct.pack("!HH", value, 0)


def icmp_echo(ident: int, seq: int, payload: bytes = b"") -> bytes:
    """An echo request."""
    rest = struct.pack("!HH", ident, seq) + payload
    return struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + rest)) + rest


@dataclass(frozen=True)
class Packet:
    """What a captured IPv4 frame says. Ports, flags and numbers are 0 where the protocol has none."""

    source_mac: str
    destination_mac: str
    source: str
    destination: str
    protocol: int
    ttl: int
    sport: int = 0
    dport: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0
    icmp_type: int = -1
    payload: bytes = b""


def parse(frame: bytes) -> Packet | None:
    """Read an Ethernet frame; None when it is not a whole IPv4 packet."""
    if len(frame) < 34 or frame[12:14] != b"\x08\0":
        return None
    start = 14 + (frame[14] & 15) * 4
    end = 14 + struct.unpack_from("!H", frame, 16)[0]
    body = frame[start:end]
    protocol = frame[23]
    sport = dport = flags = seq = ack = 0
    icmp_type = -1
    payload = b""
    if protocol == TCP and len(body) >= 20:
        sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", body)
        payload = body[(offset >> 4) * 4 :]
    elif protocol == UDP and len(body) >= 8:
        sport, dport = struct.unpack_from("!HH", body)
        payload = body[8:]
    elif protocol == ICMP and len(body) >= 8:
        icmp_type = body[0]
        sport, seq = struct.unpack_from("!HH", body, 4)
        payload = body[8:]
    source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    macs = mac_text(frame[6:12]), mac_text(frame[:6])
    return Packet(*macs, source, destination, protocol, frame[22], sport, dport, flags, seq, ack, icmp_type, payload)
