"""Values of one candidate, drawn from (session seed, candidate id) and computed from each other.

Each value is drawn on its own from HMAC-SHA256(seed, "candidate/name"), so that adding a value to a lab
never changes the others; tests/unit/test_variants.py holds the vectors that keep it stable.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from labs.errors import InputError
from labs.models.lab import Choice, Draw, Integer, Lab

Values = dict[str, str | int]
TOKEN_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105


class ValueComputationError(InputError):
    """A value of a lab cannot be computed; `value` is its name."""

    def __init__(self, lab: str, value: str, reason: object) -> None:
        super().__init__(f"lab {lab}: values.{value}: cannot be computed: {reason}")
        self.value = value
        self.reason = reason


def draw_values(lab: Lab, seed: str, candidate: str) -> Values:
    """All values of a lab for one candidate. Raises ValueComputationError naming the one that fails."""
    values: Values = {}
    for name, rule in lab.values.items():
        if not isinstance(rule, str):
            values[name] = _draw(rule, f"{candidate}/{name}", seed)
            continue
        try:
            values[name] = _compiled(rule).render(values)
        except (TemplateError, ValueError, TypeError) as problem:
            raise ValueComputationError(lab.name, name, problem) from None
    return values


def token(seed: str, label: str, length: int) -> str:
    """A secret-looking string that only the holder of the seed can compute (passwords, nonces)."""
    stream = b"".join(_digest(seed, f"{label}/{block}") for block in range(1 + length // 32))
    return "".join(TOKEN_ALPHABET[byte % len(TOKEN_ALPHABET)] for byte in stream[:length])


def mac_address(*parts: str) -> str:
    """A locally administered MAC that depends on `parts` only (QEMU's 52:54:00 prefix)."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def template_environment(**options: Any) -> Environment:
    """Jinja with the address filters that labs use; an unknown name is an error, never an empty string."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, **options)  # noqa: S701
    environment.filters.update(
        host=lambda network, number: str(ipaddress.ip_network(network)[number]),
        netmask=lambda network: str(ipaddress.ip_network(network).netmask),
        prefixlen=lambda network: ipaddress.ip_network(network).prefixlen,
        network_address=lambda network: str(ipaddress.ip_network(network).network_address),
        broadcast=lambda network: str(ipaddress.ip_network(network).broadcast_address),
        reverse_pointer=lambda address: ipaddress.ip_address(address).reverse_pointer,
        reverse_zone=_reverse_zone,
    )
    return environment


def render(text: str, values: Mapping[str, Any]) -> str:
    """Render one template string with a candidate's values."""
    return _compiled(text).render(values)


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    """Compiled once for all candidates of a cohort."""
    return template_environment().from_string(text)


def _reverse_zone(network: str) -> str:
    parsed = ipaddress.ip_network(network)
    octets = parsed.prefixlen // 8
    if parsed.prefixlen % 8:
        raise ValueError(f"{network}: a reverse zone needs a prefix on an octet boundary")
    return ".".join(reversed(str(parsed.network_address).split(".")[:octets])) + ".in-addr.arpa"


def _draw(rule: Draw, label: str, seed: str) -> str | int:
    number = int.from_bytes(_digest(seed, label)[:8], "big")
    if isinstance(rule, Integer):
        return rule.min + number % (rule.max - rule.min + 1)
    if isinstance(rule, Choice):
        return rule.among[number % len(rule.among)]
    return token(seed, label, rule.length)


def _digest(seed: str, label: str) -> bytes:
    return hmac.new(seed.encode(), label.encode(), hashlib.sha256).digest()
