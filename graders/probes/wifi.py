"""Join a wireless network with a radio of the probe, which then is a host of that network like any other leg."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from . import dhcp
from .legs import Legs, card, card_mac

RUN = Path("/run/plateau")
JOINED = "CTRL-EVENT-CONNECTED"
REFUSED = ("CTRL-EVENT-AUTH-REJECT", "CTRL-EVENT-ASSOC-REJECT", "CTRL-EVENT-SSID-TEMP-DISABLED")
"""The access point's own refusals, and wpa_supplicant's word for a key that it was not let in with."""
TRIED = ("Trying to associate", "Trying to authenticate", "SME: Trying to authenticate")
CONFIGURATION = """\
country=FR
sae_pwe=2
network={{
    ssid={ssid}
    scan_ssid=1
    {protection}
    {frequencies}
}}
"""
OPEN = """\
key_mgmt=NONE
    mixed_cell=1"""
"""`mixed_cell`: a network that wants a key is tried without one, rather than left out."""
PERSONAL = """\
key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE
    proto=RSN
    pairwise=CCMP GCMP
    ieee80211w=1
    psk="{key}\""""


def join(
    legs: Legs,
    *,
    radio: str,
    ssid: str,
    key: str | None,
    frequency: int | None = None,
    window: float = 20.0,
    lease: bool = True,
    once: bool = False,
) -> dict[str, Any]:
    """Associate (WPA2 or WPA3-Personal with `key`, open without one) and take the address that is offered, if any.

    Stays there until `leave`. `tried` tells that the network was heard and an association attempted; with `once` the
    first refusal ends it, where a device would try again.

    >>> join(legs, radio="invites", ssid="agence", key="correct horse")["joined"]
    True
    """
    leave(legs, radio=radio)
    told = RUN / f"wifi-{radio}.log"
    configuration = RUN / f"wifi-{radio}.conf"
    configuration.touch(0o600)
    configuration.write_text(_configuration(ssid, key, frequency))
    with legs.inside(radio):
        name = card()
        mac = card_mac(name)
        with told.open("wb") as out:
            command = ["wpa_supplicant", "-D", "nl80211", "-i", name, "-c", str(configuration)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True)  # fmt: skip
        (RUN / f"wifi-{radio}.pid").write_text(str(process.pid))
        began = time.monotonic()
        text = _follow(told, process, began + window, (JOINED, *REFUSED) if once else (JOINED,))
        found: dict[str, Any] = {
            "mac": mac,
            "joined": JOINED in text,
            "tried": any(word in text for word in TRIED),
            "seconds": round(time.monotonic() - began, 1),
            "said": [line for line in text.splitlines() if "CTRL-EVENT" in line or "rying" in line or "WPA:" in line][
                -12:
            ],
            "offers": [],
        }
        if found["joined"] and lease:
            found["offers"] = dhcp.discover([mac], window=12.0, linger=1.0, silence=12.0)
            if found["offers"]:
                _configure(name, found["offers"][0])
    if not found["joined"]:
        leave(legs, radio=radio)
    return found


def leave(legs: Legs, *, radio: str) -> None:
    """Leave the network, and forget the address."""
    mark = RUN / f"wifi-{radio}.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(mark.read_text())
        if b"wpa_supplicant" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 5
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.05)
    for suffix in ("pid", "conf", "log"):
        (RUN / f"wifi-{radio}.{suffix}").unlink(missing_ok=True)
    with legs.inside(radio):
        _ip(f"address flush dev {card()}", "route flush table main")


def _configuration(ssid: str, key: str | None, frequency: int | None) -> str:
    frequencies = f"scan_freq={frequency}\n    freq_list={frequency}" if frequency else ""
    protection = OPEN if key is None else PERSONAL.format(key=key)
    return CONFIGURATION.format(ssid=ssid.encode().hex(), protection=protection, frequencies=frequencies)


def _follow(told: Path, process: subprocess.Popen[bytes], end: float, words: tuple[str, ...]) -> str:
    """What wpa_supplicant said when it had said one of the words, ended, or the time was up."""
    while True:
        text = told.read_text("utf-8", "replace")
        if any(word in text for word in words) or process.poll() is not None or time.monotonic() > end:
            return text
        time.sleep(0.2)


def _configure(name: str, offer: dict[str, Any]) -> None:
    """The address offered, without asking for it: nothing is taken from the pool."""
    network = ipaddress.IPv4Network(f"{offer['address']}/{offer['mask'] or '255.255.255.255'}", strict=False)
    lines = [f"address replace {offer['address']}/{network.prefixlen} dev {name}"]
    _ip(*lines, *(f"route replace default via {router}" for router in offer["routers"][:1]))


def _ip(*lines: str) -> None:
    subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
