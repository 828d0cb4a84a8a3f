"""VPN: a remote user who has nothing but the profile that was issued, and what the tunnel lets through.

The client lives in a network of its own: its only way out is the tunnel. It disappears with this process.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import icmp
from .legs import Legs
from .vpn_client import Client, OpenVpn, ProfileError, WireGuard, own_network
from .vpn_ears import Ears

DOOR_SECONDS = 4.0


def use(
    legs: Legs,
    *,
    origin: str,
    kind: str,
    profile: str,
    pings: list[str],
    beyond: list[str],
    words: list[dict[str, Any]],
    doors: list[list[Any]] | None = None,
    stranger: bool = False,
    window: float = 12.0,
) -> dict[str, Any]:
    """Connect from leg `origin` with a profile (`kind`: wireguard or openvpn), then try what lies behind the tunnel.

    pings: addresses to ping through the tunnel. words: TCP connections to a listener of ours, each {"id", "leg",
    "address", "port"}. beyond (and words with "beyond": true): the same by a client who sends everything into the
    tunnel, whatever routes the profile gives. doors: TCP services of others, each [address, port], tried likewise.
    stranger: somebody who has the profile but not its key.

    up: a session was established. address: the inner one. server: protocol and port of the outer end. pings: address ->
    replies. words: id -> the source that the listener saw, or None. doors: "address:port" -> whether it opened. clear:
    whether one of our words crossed `origin` readable. reason: why it is not up.

    >>> use(legs, origin="wan", kind="wireguard", profile="[Interface] …", pings=["10.1.2.20"], beyond=[],
    ...     words=[])
    {'up': True, 'address': '10.9.8.2', 'pings': {'10.1.2.20': 3}, 'words': {}, 'doors': {}, 'clear': False,
     'reason': '', 'server': 'UDP 51820'}
    """
    client: Client = WireGuard(legs, origin) if kind == "wireguard" else OpenVpn(legs, origin)
    answer: dict[str, Any] = {"up": False, "address": "", "pings": {}, "words": {}, "doors": {}, "clear": False}
    answer |= {"reason": "", "server": ""}
    own_network()
    with tempfile.TemporaryDirectory() as folder, client:
        try:
            client.connect(profile, Path(folder), stranger, time.monotonic() + window)
        except ProfileError as problem:
            return {**answer, "reason": str(problem)[:400]}
        # WireGuard makes its session with the first packet.
        with Ears(legs, origin, words) as ears:
            for far, addresses in ((False, pings), (True, beyond)):
                if far:
                    client.widen()
                chosen = [word for word in words if bool(word.get("beyond")) == far]
                answer["pings"] |= _at_once(ears, chosen, addresses)
            answer["doors"] = _opened(doors or [])
            answer["words"], answer["clear"] = ears.heard(), ears.clear
        answer["up"], answer["reason"] = client.up()
        answer["address"], answer["server"] = client.address, client.server
    return answer


def _at_once(ears: Ears, words: list[dict[str, Any]], addresses: list[str]) -> dict[str, int]:
    """Say the words and ping the addresses side by side; address -> replies."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        pings = {address: pool.submit(icmp.ping, address, window=3.0) for address in addresses}
        for said in [pool.submit(ears.speak, word) for word in words]:
            said.result()
        return {address: int(ping.result()["received"]) for address, ping in pings.items()}


def _opened(doors: list[list[Any]]) -> dict[str, bool]:
    """Which services accept a connection through the tunnel."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        tried = {f"{address}:{port}": pool.submit(_opens, str(address), int(port)) for address, port in doors}
        return {name: one.result() for name, one in tried.items()}


def _opens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), DOOR_SECONDS):
        return True
    return False
