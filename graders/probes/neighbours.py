"""The MAC of a neighbour of either family."""

from __future__ import annotations

from . import arp, ndp


def resolve(address: str) -> str | None:
    """MAC of a neighbour; None when nobody answers, or more than one machine does.

    >>> resolve("2001:db8:12:1::1")
    '52:54:00:12:34:56'
    """
    return ndp.resolve(address) if ":" in address else arp.resolve(address)
