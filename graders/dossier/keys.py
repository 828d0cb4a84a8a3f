"""The centre's Ed25519 key, in the file formats of minisign (jedisct1.github.io/minisign), which can verify alone.

The private half is a PKCS#8 file readable by its owner only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from graders.dossier import DossierError
from labs.sessionfiles import write_private

PUBLIC, PREHASHED = b"Ed", b"ED"
COMMENT = "untrusted comment: "
TRUSTED = "trusted comment: "


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies. Its number is only a name: trust is in the bytes."""

    number: bytes
    raw: bytes

    @property
    def id(self) -> str:
        """As minisign shows it: the number as little-endian hexadecimal."""
        return self.number[::-1].hex().upper()

    def text(self) -> str:
        """The file that minisign reads with `-p`."""
        return f"{COMMENT}minisign public key {self.id}\n{_encode(PUBLIC + self.number + self.raw)}\n"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Key:
    """A key that signs."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return PublicKey(hashlib.sha256(raw).digest()[:8], raw)

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)

    def minisign(self, message: bytes, trusted: str) -> str:
        """A signature file of the message; `trusted` is a comment that is signed too."""
        signature = self.sign(hashlib.blake2b(message).digest())
        blob = _encode(PREHASHED + self.public.number + signature)
        sealed = _encode(self.sign(signature + trusted.encode()))
        return f"{COMMENT}signature from Plateau, key {self.public.id}\n{blob}\n{TRUSTED}{trusted}\n{sealed}\n"


def new(path: Path) -> Key:
    """Make a key at `path`, its public half at `path` + `.pub`. Raises DossierError when one is there."""
    if path.exists():
        raise DossierError(f"{path}: there is a key already; a new one would orphan what the old one signed")
    key = Key(Ed25519PrivateKey.generate())
    private = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path.with_name(path.name + ".pub"), key.public.text().encode(), mode=0o644)
    write_private(path, private)
    return key


def load(path: Path) -> Key:
    """The private key of a file. Raises DossierError naming it."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        raise DossierError(f"{path}: no key; make the centre's with: plateau key new") from None
    except (OSError, ValueError, TypeError) as problem:
        raise DossierError(f"{path}: not a private key that can be read ({problem})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise DossierError(f"{path}: not an Ed25519 key; make one with: plateau key new")
    return Key(key)


def read_public(text: str, name: str) -> PublicKey:
    """A public key from minisign's file. Raises DossierError naming it."""
    lines = [line for line in text.splitlines() if line and not line.startswith(COMMENT)]
    raw = _decode(lines[0] if lines else "", name)
    if len(raw) != 42 or raw[:2] != PUBLIC:
        raise DossierError(f"{name}: not a minisign public key")
    return PublicKey(raw[2:10], raw[10:])


def check(text: str, message: bytes, key: PublicKey, name: str) -> str:
    """The trusted comment of a signature file. Raises DossierError unless it is this key's for this message."""
    lines = text.splitlines()
    if len(lines) < 4 or not lines[2].startswith(TRUSTED):
        raise DossierError(f"{name}: not a minisign signature")
    blob, sealed = _decode(lines[1], name), _decode(lines[3], name)
    trusted = lines[2].removeprefix(TRUSTED)
    digest = hashlib.blake2b(message).digest() if blob[:2] == PREHASHED else message
    if len(blob) != 74 or not key.verifies(blob[10:], digest):
        raise DossierError(f"{name}: not the signature of this file by key {key.id}")
    if not key.verifies(sealed, blob[10:] + trusted.encode()):
        raise DossierError(f"{name}: its trusted comment was changed")
    return trusted


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DossierError(f"{name}: not base64") from None
