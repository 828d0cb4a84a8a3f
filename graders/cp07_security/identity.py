"""Whether two remote access profiles are two persons' accesses to one server. Pure.

A profile that never was one is refused by every server: only a real access can be seen revoked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from graders.probes.vpn_profile import sections

KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
"""A key as wg(8) writes it: 32 bytes in Base64."""
BLOCK = re.compile(r"^<([a-z0-9-]+)>\s*$(.*?)^</\1>\s*$", re.MULTILINE | re.DOTALL | re.IGNORECASE)


def flaw(kind: str, ours: str, theirs: str) -> str:
    """Why `theirs` is not another person's access to the server of `ours` (French); empty when it is.

    >>> flaw("openvpn", "remote 192.0.2.1 1194", "remote 192.0.2.9 1194")
    'pas le même serveur'
    """
    return FLAWS[kind](ours, theirs)


def _wireguard(ours: str, theirs: str) -> str:
    one, other = _peer(ours), _peer(theirs)
    if not KEY.fullmatch(other.get("privatekey", "")):
        return "pas de clé privée"
    if not other.get("address"):
        return "pas d'adresse"
    if any(one.get(key, "").lower() != other.get(key, "").lower() for key in ("publickey", "endpoint")):
        return "pas le même serveur"
    return "la même clé que le nomade" if one.get("privatekey") == other["privatekey"] else ""


def _peer(profile: str) -> Mapping[str, str]:
    """The client's key and address, and its first peer's settings."""
    found = sections(profile)
    own = dict(found["interface"][0]) if found.get("interface") else {}
    peer = dict(found["peer"][0]) if found.get("peer") else {}
    return {**peer, **{key: value for key, value in own.items() if key in {"privatekey", "address"}}}


def _openvpn(ours: str, theirs: str) -> str:
    one, other = _blocks(ours), _blocks(theirs)
    if _remotes(ours) != _remotes(theirs):
        return "pas le même serveur"
    if not (other.get("cert") and other.get("key")):
        return "ni certificat ni clé : une clé partagée ne se révoque pas pour une seule personne"
    if one.get("cert") == other["cert"]:
        return "le même certificat que le nomade"
    return "" if _same_issuer(one.get("ca", ""), other["cert"]) else "certificat d'une autre autorité"


def _blocks(profile: str) -> dict[str, str]:
    return {name.lower(): "\n".join(text.split()) for name, text in BLOCK.findall(profile)}


def _remotes(profile: str) -> set[tuple[str, ...]]:
    lines = (line.split() for line in profile.splitlines())
    return {tuple(words[1:]) for words in lines if words and words[0].lower() in {"remote", "port", "rport"}}


def _same_issuer(authority: str, certificate: str) -> bool:
    """Whether the authority of the profiles issued the certificate; True where there is none (peer-fingerprint)."""
    if not authority:
        return True
    try:
        issuers = x509.load_pem_x509_certificates(_pem(authority))
        issued = x509.load_pem_x509_certificate(_pem(certificate))
    except ValueError:
        return False
    return any(_issued(issuer, issued) for issuer in issuers)


def _issued(issuer: x509.Certificate, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(words: str) -> bytes:
    """PEM again, from its words: easy-rsa puts a text before it, and blanks do not matter in it."""
    found = re.findall(r"-----BEGIN\s+CERTIFICATE-----(.*?)-----END\s+CERTIFICATE-----", words, re.DOTALL)
    blocks = (f"-----BEGIN CERTIFICATE-----\n{body.strip()}\n-----END CERTIFICATE-----\n" for body in found)
    return "".join(blocks).encode()


FLAWS: Mapping[str, Callable[[str, str], str]] = {"wireguard": _wireguard, "openvpn": _openvpn}
