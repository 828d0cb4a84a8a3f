"""VPN profiles as text: the settings of a client in them, and nothing that would be run. Pure."""

from __future__ import annotations

import ipaddress

OPENVPN_KNOWN = {
    "client", "tls-client", "pull", "dev", "dev-type", "proto", "remote", "port", "rport", "nobind", "float",
    "resolv-retry", "persist-key", "persist-tun", "cipher", "data-ciphers", "data-ciphers-fallback", "auth",
    "tls-version-min", "tls-cipher", "tls-ciphersuites", "remote-cert-tls", "remote-cert-ku", "remote-cert-eku",
    "verify-x509-name", "peer-fingerprint", "key-direction", "ifconfig", "topology", "keepalive", "ping",
    "ping-restart", "explicit-exit-notify", "reneg-sec", "tun-mtu", "mssfix", "fragment", "compress", "comp-lzo",
    "route", "secret", "allow-deprecated-insecure-static-crypto", "tls-groups", "ecdh-curve", "tls-cert-profile",
}  # fmt: skip
"""Directives of openvpn(8) that a client may need; all others (scripts, plug-ins, files) are left out."""
INLINE = {"ca", "cert", "key", "tls-auth", "tls-crypt", "tls-crypt-v2", "secret", "peer-fingerprint", "auth-user-pass",
          "extra-certs", "pkcs12"}  # fmt: skip


def sections(profile: str) -> dict[str, list[list[tuple[str, str]]]]:
    """Sections of a wg-quick file by lower-case name, each its (key, value) pairs that wg knows, or ours."""
    found: dict[str, list[list[tuple[str, str]]]] = {}
    current: list[tuple[str, str]] = []
    for raw in profile.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            current = []
            found.setdefault(line[1:-1].strip().lower(), []).append(current)
        elif "=" in line:
            key, _, value = line.partition("=")
            current.append((key.strip().lower(), value.strip()))
    return found


def list_(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def allowed(profile: str, replaced: dict[str, str]) -> str:
    """An OpenVPN profile reduced to what a client may say; inline blocks named in `replaced` get other contents."""
    kept, inside = [], ""
    for raw in profile.splitlines():
        line = raw.strip()
        name = line.strip("<>/").lower()
        if inside:
            if line.lower() == f"</{inside}>":
                kept += [replaced[inside].strip()] if inside in replaced else []
                kept.append(line)
                inside = ""
            elif inside not in replaced:
                kept.append(line)
        elif line.startswith("<") and name in INLINE:
            inside = name
            kept.append(line)
        elif line.split() and line.split()[0].lower() in OPENVPN_KNOWN:
            kept.append(line)
    return "\n".join(kept) + "\n"


def network(route: str) -> str:
    """A route as ip(8) wants it: a profile may name a network by one of its hosts, as wg(8) and openvpn(8) allow.

    >>> network("10.1.2.1/24")
    '10.1.2.0/24'
    """
    try:
        return str(ipaddress.IPv4Interface(route).network)
    except ValueError:
        return route


def length(mask: str) -> int:
    return sum(int(part).bit_count() for part in mask.split("."))
