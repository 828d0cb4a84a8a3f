"""What several checks read from a bench: its values, and addresses that nobody can have configured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labs.variants import token

if TYPE_CHECKING:
    from labs.bench import Bench


def text(bench: Bench, name: str) -> str:
    """A value of the candidate as text."""
    return str(bench.values[name])


def number(bench: Bench, name: str) -> int:
    """A value of the candidate as a whole number."""
    return int(bench.values[name])


def stranger(bench: Bench, purpose: str, ipv6: bool = False) -> str:
    """A public address that no configuration names, always the same for one candidate and purpose."""
    digits = token(bench.session.file.seed, f"{bench.candidate.id}/{purpose}", 3).encode()
    if ipv6:
        return f"2001:db8:f{digits[0]:x}:{digits[1]:x}::{digits[2]:x}"
    return f"45.{digits[0]}.{digits[1]}.{digits[2]}"


def six(hosts: Mapping[str, str]) -> bool:
    """Whether addresses are of IPv6."""
    return any(":" in address for address in hosts.values())


def toward_router(bench: Bench, ipv6: bool = False) -> dict[str, str]:
    """Where inject.send puts frames that come from the Internet."""
    return {"origin": "wan", "via": text(bench, "wan6_rtr" if ipv6 else "wan_rtr"), "mac": bench.node("rtr").mac("wan")}


def page_field(answer: dict[str, Any], name: str) -> str:
    """A field of the JSON page that http.get brought; what happened instead when there is none."""
    if answer["status"] is None:
        return f"pas de réponse ({answer['reason']})"
    try:
        return str(json.loads(answer["body"])[name])
    except (ValueError, KeyError, TypeError):
        return f"autre page (code {answer['status']})"
