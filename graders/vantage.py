"""What several checks look at from the probe: the router's cards, fresh words."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from labs.variants import token

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench


def text(bench: Bench, name: str) -> str:
    """A value of the candidate as text."""
    return str(bench.values[name])


def number(bench: Bench, name: str) -> int:
    """A value of the candidate as a whole number."""
    return int(bench.values[name])


def nonce() -> str:
    """A word nobody has used before, fit for a DNS label or a path."""
    return "n" + secrets.token_hex(6)


def stranger(bench: Bench, purpose: str) -> str:
    """A public address that no configuration names, always the same for one candidate and purpose."""
    digits = token(bench.session.file.seed, f"{bench.candidate.id}/{purpose}", 3).encode()
    return f"45.{digits[0]}.{digits[1]}.{digits[2]}"


def neighbour_mac(bench: Bench, probe: ProbeClient, node: str, segment: str, address: str) -> str:
    """MAC of a machine as it answers ARP now (its card's own one when it does not answer)."""
    answers: list[str] = probe.call("arp.who_has", segment, addresses=[address])[address]
    own = bench.node(node).mac(segment)
    return answers[0] if answers and own not in answers else own
