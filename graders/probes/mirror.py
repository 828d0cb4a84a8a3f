"""The centre's server in a branch's network (`centre` of the lab's files): what it publishes, who asks it for what.

What is published for a grading ends by itself after the time that is given.
"""

from __future__ import annotations

import json
import socket
from typing import Any

CONTROL = "/run/plateau/centre.sock"


def offer(*, control: str = CONTROL, **wanted: Any) -> bool:
    """Publish `update` ({"version", "signed"}: good, other, none) or `signature` (a line) for `seconds`.

    `withdraw=True` ends everything. Raises OSError when the server is not there.

    >>> offer(update={"version": "1.4-1", "signed": "good"}, seconds=300)
    True
    """
    return bool(_order(control, wanted) == "ok")


def seen(*, address: str, control: str = CONTROL) -> list[list[Any]]:
    """What a client asked for: seconds ago, `http` or `ntp`, path.

    >>> seen(address="10.1.2.20")
    [[12.4, 'ntp', ''], [3.1, 'http', 'dists/agence/InRelease']]
    """
    return list(_order(control, {"seen": address}))


def _order(control: str, wanted: dict[str, Any]) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(15.0)
        link.connect(control)
        link.sendall(json.dumps(wanted).encode() + b"\n")
        with link.makefile("rb") as lines:
            return json.loads(lines.readline())
