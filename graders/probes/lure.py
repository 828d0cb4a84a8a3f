"""An open access point of ours, to see who lets itself be caught; and who stays on its network."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .dot11 import ASSOCIATION_REQUEST, AUTHENTICATION, PROBE_REQUEST, REASSOCIATION_REQUEST
from .ether import listen
from .legs import Legs, card, card_mac

RUN = Path("/run/plateau")
READY = "AP-ENABLED"
START_SECONDS = 10.0
CONFIGURATION = """\
interface={card}
driver=nl80211
ssid={ssid}
hw_mode=g
channel={channel}
auth_algs=1
wmm_enabled=1
"""


def offer(legs: Legs, *, networks: dict[str, str], channel: int, window: float) -> dict[str, Any]:
    """Offer open networks (leg whose radio is used -> name) for `window` seconds.

    `ready`: the legs whose network was in the air. `caught`: stations that associated, by name of network. `looking`:
    stations, other than our radios, that were heard looking for a network or trying to join one.

    >>> offer(legs, networks={"invites": "gratuit"}, channel=6, window=20)
    {'ready': ['invites'], 'caught': {'gratuit': []}, 'looking': ['06:54:00:ab:cd:ef']}
    """
    with contextlib.ExitStack() as stack:
        started = {leg: _start(legs, leg, ssid, channel, stack) for leg, ssid in networks.items()}
        ours = {mac: networks[leg] for leg, (_, mac) in started.items()}
        end = time.monotonic() + START_SECONDS
        while not all(READY in _text(told) for told, _ in started.values()) and time.monotonic() < end:
            time.sleep(0.2)
        caught: dict[str, list[str]] = {ssid: [] for ssid in networks.values()}
        looking: set[str] = set()
        for _, _, frame in listen(legs, window):
            if frame.transmitter in ours:
                continue
            if frame.kind in {PROBE_REQUEST, AUTHENTICATION, ASSOCIATION_REQUEST, REASSOCIATION_REQUEST}:
                looking.add(frame.transmitter)
            joins = frame.kind in {ASSOCIATION_REQUEST, REASSOCIATION_REQUEST}
            if joins and frame.receiver in ours and frame.transmitter not in caught[ours[frame.receiver]]:
                caught[ours[frame.receiver]].append(frame.transmitter)
        ready = [leg for leg, (told, _) in started.items() if READY in _text(told)]
    return {"ready": ready, "caught": caught, "looking": sorted(looking)}


def _start(legs: Legs, leg: str, ssid: str, channel: int, stack: contextlib.ExitStack) -> tuple[Path, str]:
    """Start hostapd in a leg; it ends with the stack. Returns its log and its address."""
    told, configuration = RUN / f"lure-{leg}.log", RUN / f"lure-{leg}.conf"
    with legs.inside(leg):
        name = card()
        mac = card_mac(name)
        configuration.write_text(CONFIGURATION.format(card=name, ssid=ssid, channel=channel))
        with told.open("wb") as out:
            process = subprocess.Popen(
                ["hostapd", str(configuration)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
    stack.callback(_stop, process, told, configuration)
    return told, mac


def _stop(process: subprocess.Popen[bytes], *files: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
    for file in files:
        file.unlink(missing_ok=True)


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace")
