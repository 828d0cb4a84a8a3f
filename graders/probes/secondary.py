"""A secondary DNS server seen from its primary, which is the probe's own (`primaire` of the lab's files).

The primary is told over a connection which records it has beside the zone's own, and whether it answers at all; with
the connection that ends.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from .dns import query

CONTROL = "/run/plateau/primaire.sock"
LOOK, WINDOW = 1.0, 3.0


def follow(*, zone: str, servers: list[str], names: list[str], limit: float, control: str = CONTROL) -> dict[str, Any]:
    """Add records to the zone, raise its serial number, notify; then stop the primary's answers.

    `names` are two labels nobody has used: the first is asked for until every server has it with the new serial number,
    `limit` seconds at most; the second only once the primary is silent. Of each server: `value` (None: no authoritative
    answer) and `serial`, and later `silent`, the second value.

    >>> follow(zone="a.test", servers=["10.1.2.10"], names=["n1", "n2"], limit=60)
    {'serial': 1790000001, 'value': 'n1n2', 'seconds': 1.2, 'seen': {'10.1.2.10': {'serial': 1790000001, 'value':
    'n1n2', 'silent': 'n1n2'}}}
    """
    value = "".join(names)
    with _primary(control) as link, link.makefile("rb") as lines:
        serial = _order(link, lines, {"records": [[name, "TXT", value] for name in names], "silent": False})
        began = time.monotonic()
        while True:
            seen = {server: _state(server, zone, names[0]) for server in servers}
            seconds = round(time.monotonic() - began, 1)
            if all(one == {"serial": serial, "value": value} for one in seen.values()) or seconds > limit:
                break
            time.sleep(LOOK)
        _order(link, lines, {"silent": True})
        told = {server: {**one, "silent": _value(server, zone, names[1])} for server, one in seen.items()}
    return {"serial": serial, "value": value, "seconds": seconds, "seen": told}


def remind(*, control: str = CONTROL) -> int:
    """Have the primary notify its secondary again, of nothing new; the zone's serial number.

    >>> remind()
    1790000001
    """
    with _primary(control) as link, link.makefile("rb") as lines:
        return _order(link, lines, {"notify": True})


def _primary(control: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(10.0)
    link.connect(control)
    return link


def _order(link: socket.socket, lines: Any, order: dict[str, Any]) -> int:
    """The zone's serial number once the primary has obeyed."""
    link.sendall(json.dumps(order).encode() + b"\n")
    return int(json.loads(lines.readline())["serial"])


def _state(server: str, zone: str, label: str) -> dict[str, Any]:
    soa, text = query(server, [[zone, "SOA"], [f"{label}.{zone}", "TXT"]], window=WINDOW)
    numbers = [one["data"].split()[2] for one in _own(soa) if one["type"] == "SOA"]
    return {"serial": int(numbers[0]) if numbers else None, "value": _text(text)}


def _value(server: str, zone: str, label: str) -> str | None:
    return _text(query(server, [[f"{label}.{zone}", "TXT"]], window=WINDOW)[0])


def _text(answer: dict[str, Any]) -> str | None:
    found = [one["data"].strip('"') for one in _own(answer) if one["type"] == "TXT"]
    return found[0] if found else None


def _own(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of an authoritative answer."""
    return answer["answers"] if answer["answered"] and "aa" in answer["flags"] else []
