"""OSPF: what the probe's own router has learned, and what it says (BIRD, in the leg that it was started in)."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import time
from typing import Any

from .legs import card, packet_socket
from .packets import IPV4, parse

OSPF = 89
SOCKET = "/run/plateau/{leg}.ctl"
NEIGHBOUR = re.compile(r"^(\S+)\s+\d+\s+(\w+)/\S+\s+\S+\s+\S+\s+([\d.]+)\s*$")
ROUTE = re.compile(r"^(\d+\.\d+\.\d+\.\d+/\d+)\s")


def state(router: str, protocol: str) -> dict[str, Any]:
    """Neighbours (address -> state) and prefixes that `protocol` of the router in leg `router` has learned.

    >>> state("siege", "agence")
    {'neighbours': {'172.20.4.2': 'Full'}, 'prefixes': ['10.20.4.0/24', '172.20.4.0/29']}
    """
    neighbours = {}
    for line in _bird(router, f"show ospf neighbors {protocol}"):
        if found := NEIGHBOUR.match(line):
            neighbours[found.group(3)] = found.group(2)
    routes = [
        found.group(1) for line in _bird(router, f"show route protocol {protocol}") if (found := ROUTE.match(line))
    ]
    return {"neighbours": neighbours, "prefixes": sorted(set(routes))}


def announce(router: str, protocol: str, on: bool) -> bool:
    """Make the router announce the prefix of its static `protocol`, or withdraw it; returns `on`."""
    _bird(router, f"{'enable' if on else 'disable'} {protocol}")
    return on


def heard(window: float = 12.0) -> list[str]:
    """Addresses of the routers that send OSPF packets into this leg (hellos leave every 10 s by default, RFC 2328)."""
    seen: set[str] = set()
    end = time.monotonic() + window
    with packet_socket(card(), IPV4) as raw:
        while (left := end - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            frame, address = raw.recvfrom(2048)
            packet = parse(frame)
            if packet is not None and packet.protocol == OSPF and address[2] != socket.PACKET_OUTGOING:
                seen.add(packet.source)
    return sorted(seen)


def _bird(router: str, command: str) -> list[str]:
    """The answer of BIRD, line by line. Raises RuntimeError when it does not run or does not know the command."""
    arguments = ["birdc", "-s", SOCKET.format(leg=router), *command.split()]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or any(line.startswith(("syntax error", "Unable")) for line in lines):
        raise RuntimeError(f"{' '.join(arguments)}: {(done.stdout + done.stderr).strip()[-200:]}")
    return lines
