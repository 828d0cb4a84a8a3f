"""Frames built and read by hand: Ethernet, IPv4, IPv6, TCP, UDP, ICMP of both. Just what the probes need.

The family of a packet follows from its addresses.

>>> checksum(bytes.fromhex("45000073000040004011c0a80001c0a800c7"))
47201
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
BROADCAST = "ff:ff:ff:ff:ff:ff"
EXTENSIONS = {0, 43, 60}
"""IPv6 headers that come before what is carried: hop-by-hop, routing, destination options."""
ECHO_REQUESTS, ECHO_REPLIES = {(ICMP, 8), (ICMPV6, 128)}, {(ICMP, 0), (ICMPV6, 129)}


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


def ipv6(source: str, destination: str, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    """A packet without extension headers."""
    start = struct.pack("!IHBB", 0x60000000, len(payload), protocol, hops)
    return start + address_bytes(source) + address_bytes(destination) + payload


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """A packet of the family of its addresses."""
    return (ipv6 if ":" in source else ipv4)(source, destination, protocol, payload)


def family(address: str) -> int:
    """The socket family of an address.

    >>> family("2001:db8::1") == socket.AF_INET6
    True
    """
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ethertype(address: str) -> int:
    return IPV6 if ":" in address else IPV4


def icmp_of(address: str) -> int:
    """The protocol number of ICMP in the family of an address."""
    return ICMPV6 if ":" in address else ICMP


def address_bytes(address: str) -> bytes:
    return socket.inet_pton(family(address), address)


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """What a checksum covers beside the segment itself (RFC 9293 3.1, RFC 8200 8.1)."""
    sizes = struct.pack("!II", length, protocol) if ":" in source else struct.pack("!BBH", 0, protocol, length)
    return address_bytes(source) + address_bytes(destination) + sizes


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


def icmp6(source: str, destination: str, kind: int, rest: bytes, code: int = 0) -> bytes:
    """An ICMPv6 message; `rest` is what follows its checksum."""
    start = struct.pack("!BB", kind, code)
    covered = pseudo_header(source, destination, ICMPV6, 4 + len(rest)) + start + b"\0\0" + rest
    return start + struct.pack("!H", checksum(covered)) + rest


def echo(source: str, destination: str, ident: int, seq: int, payload: bytes = b"") -> bytes:
    """An echo request of the family of its addresses."""
    if ":" not in source:
        return icmp_echo(ident, seq, payload)
    return icmp6(source, destination, 128, struct.pack("!HH", ident, seq) + payload)


@dataclass(frozen=True)
class Packet:
    """What a captured IP frame says. Ports, flags and numbers are 0 where the protocol has none."""

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

    @property
    def is_echo_request(self) -> bool:
        return (self.protocol, self.icmp_type) in ECHO_REQUESTS

    @property
    def is_echo_reply(self) -> bool:
        return (self.protocol, self.icmp_type) in ECHO_REPLIES


def parse(frame: bytes) -> Packet | None:
    """Read an Ethernet frame; None when it is not a whole IPv4 or IPv6 packet."""
    if len(frame) >= 34 and frame[12:14] == b"\x08\0":
        start, end = 14 + (frame[14] & 15) * 4, 14 + struct.unpack_from("!H", frame, 16)[0]
        protocol, ttl = frame[23], frame[22]
        source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    elif len(frame) >= 54 and frame[12:14] == b"\x86\xdd":
        start, end = 54, 54 + struct.unpack_from("!H", frame, 18)[0]
        protocol, ttl = frame[20], frame[21]
        source, destination = (socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (22, 38))
        while protocol in EXTENSIONS and start + 8 <= min(end, len(frame)):
            protocol, start = frame[start], start + 8 + frame[start + 1] * 8
    else:
        return None
    body = frame[start:end]
    sport = dport = flags = seq = ack = 0
    icmp_type = -1
    payload = b""
    if protocol == TCP and len(body) >= 20:
        sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", body)
        payload = body[(offset >> 4) * 4 :]
    elif protocol == UDP and len(body) >= 8:
        sport, dport = struct.unpack_from("!HH", body)
        payload = body[8:]
    elif protocol in {ICMP, ICMPV6} and len(body) >= 8:
        icmp_type = body[0]
        sport, seq = struct.unpack_from("!HH", body, 4)
        payload = body[8:]
    macs = mac_text(frame[6:12]), mac_text(frame[:6])
    return Packet(*macs, source, destination, protocol, ttl, sport, dport, flags, seq, ack, icmp_type, payload)
