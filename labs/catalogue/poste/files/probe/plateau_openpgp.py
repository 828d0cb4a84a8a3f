"""Just enough of OpenPGP for a package archive: a key, its public form, signatures (RFC 4880; EdDSA: RFC 9580).

openssl signs; the packets are written here, so that the probe needs no gpg and the key, computed from a phrase, is the
same on every bench.
"""

import base64
import hashlib
import struct
import subprocess
import tempfile

ED25519_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
"""What goes before the 32 bytes of a private key (RFC 8410)."""
CURVE = bytes.fromhex("092b06010401da470f01")
EDDSA, SHA512 = 22, 10
BINARY, TEXT, CERTIFICATION = 0x00, 0x01, 0x13
BORN = 1_735_689_600
"""When the key was made: 1 January 2025."""
CERTIFY_AND_SIGN = 3


class Key:
    """A signing key made from a phrase; `owner` is its user ID."""

    def __init__(self, phrase: str, owner: str) -> None:
        self.secret = ED25519_PRIVATE + hashlib.sha256(phrase.encode()).digest()
        self.owner = owner.encode()
        public = self._openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER")[-32:]
        self.body = b"\x04" + struct.pack("!I", BORN) + bytes([EDDSA]) + CURVE + _number(b"\x40" + public)
        self.fingerprint = hashlib.sha1(self._hashed()).digest()  # noqa: S324 - what version 4 keys are named by

    def public(self) -> str:
        """The public key as an armored block."""
        uid = b"\xb4" + struct.pack("!I", len(self.owner)) + self.owner
        flags = _part(27, bytes([CERTIFY_AND_SIGN])) + _part(21, bytes([SHA512]))
        proof = self.signature(self._hashed() + uid, CERTIFICATION, BORN, flags)
        return armored("PUBLIC KEY BLOCK", packet(6, self.body) + packet(13, self.owner) + proof)

    def detached(self, data: bytes, moment: int) -> str:
        """A detached signature: Release.gpg."""
        return armored("SIGNATURE", self.signature(data, BINARY, moment))

    def clearsigned(self, text: str, moment: int) -> str:
        """The text with its signature: InRelease. No line of it may begin with a dash or end with a blank."""
        lines = text.rstrip("\n").split("\n")
        signed = self.signature("\r\n".join(lines).encode(), TEXT, moment)
        head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
        return head + "\n".join(lines) + "\n" + armored("SIGNATURE", signed)

    def signature(self, data: bytes, kind: int, moment: int, more: bytes = b"") -> bytes:
        """A signature packet over `data`."""
        hashed = _part(2, struct.pack("!I", moment)) + _part(33, b"\x04" + self.fingerprint) + more
        head = bytes([4, kind, EDDSA, SHA512]) + struct.pack("!H", len(hashed)) + hashed
        digest = hashlib.sha512(data + head + b"\x04\xff" + struct.pack("!I", len(head))).digest()
        with tempfile.NamedTemporaryFile() as file:
            file.write(digest)
            file.flush()
            made = self._openssl("pkeyutl", "-keyform", "DER", "-sign", "-rawin", "-in", file.name)
        issuer = _part(16, self.fingerprint[-8:])
        tail = struct.pack("!H", len(issuer)) + issuer + digest[:2] + _number(made[:32]) + _number(made[32:])
        return packet(2, head + tail)

    def _hashed(self) -> bytes:
        return b"\x99" + struct.pack("!H", len(self.body)) + self.body

    def _openssl(self, command: str, *options: str) -> bytes:
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.secret)
            file.flush()
            place = "-inkey" if command == "pkeyutl" else "-in"
            order = ["openssl", command, place, file.name, *options]
            return subprocess.run(order, check=True, capture_output=True).stdout


def packet(tag: int, body: bytes) -> bytes:
    """A packet in the new format."""
    size = len(body)
    length = bytes([size]) if size < 192 else bytes([(size - 192 >> 8) + 192, size - 192 & 255])
    return bytes([0xC0 | tag]) + length + body


def armored(title: str, data: bytes) -> str:
    """Radix-64 with its checksum."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    check = base64.b64encode(_crc24(data).to_bytes(3, "big")).decode()
    return "\n".join([f"-----BEGIN PGP {title}-----", "", *lines, f"={check}", f"-----END PGP {title}-----", ""])


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc


def _part(kind: int, data: bytes) -> bytes:
    return bytes([len(data) + 1, kind]) + data


def _number(data: bytes) -> bytes:
    data = data.lstrip(b"\0")
    return struct.pack("!H", (len(data) - 1) * 8 + data[0].bit_length() if data else 0) + data
