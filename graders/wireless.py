"""What the checks of the wireless lab share: networks in the air, and the probe's devices that join them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graders.expect import Expect, show
from graders.probe_client import ProbeError
from graders.vantage import number, text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

Undo = Callable[[str, Callable[[], object]], None]
NETWORKS = {"personnel": "du personnel", "invites": "des invités"}
"""Leg of the probe that is a device of that network -> whose network it is."""
LISTEN = 4.0
JOIN = 30.0
REFUSED = 30.0


def frequency(channel: int) -> int:
    """MHz of a channel of the 2.4 GHz band.

    >>> frequency(6)
    2437
    """
    return 2407 + 5 * channel


def ssid(bench: Bench, who: str) -> str:
    return text(bench, f"ssid_{who}")


def radio(bench: Bench, node: str) -> str:
    """Address of the machine's radio: its antenna's, but for the first byte."""
    return "06" + bench.node(node).mac("ether")[2:]


def in_the_air(probe: ProbeClient, *, reuse: bool = True) -> list[dict[str, Any]]:
    """Every network that is announced."""
    found: list[dict[str, Any]] = probe.call("ether.networks", timeout=LISTEN + 10, reuse=reuse, window=LISTEN)
    return found


def announced(bench: Bench, probe: ProbeClient, who: str, *, reuse: bool = True) -> list[dict[str, Any]]:
    """What announces the candidate's network, each access point and each way of announcing it.

    What was not heard by somebody else's listening is listened for again.
    """

    def heard(reuse: bool) -> list[dict[str, Any]]:
        return [one for one in in_the_air(probe, reuse=reuse) if one["ssid"] == ssid(bench, who)]

    return heard(reuse) or (heard(reuse=False) if reuse else [])


def join(bench: Bench, probe: ProbeClient, who: str, undo: Undo, *, leg: str | None = None) -> dict[str, Any]:
    """A device of the probe joins the network with the right key and takes an address there, until the check ends."""
    leg = leg or who
    undo(f"terminal de la sonde sur le réseau {NETWORKS[who]}", lambda: probe.call("wifi.leave", timeout=20, radio=leg))
    return _join(bench, probe, who, leg, text(bench, f"cle_{who}"), JOIN)


def expect_join(expect: Expect, who: str, seen: dict[str, Any]) -> None:
    """The device is on the network, with an address of its own."""
    label = f"terminal de la sonde, avec la bonne clé, sur le réseau {NETWORKS[who]}"
    expect.require(expect.equal(label, "associé", "associé" if seen["joined"] else _reason(seen)))
    servers = sorted({offer["server"] for offer in seen["offers"]})
    label = f"offre DHCP sur le réseau {NETWORKS[who]}"
    expect.require(expect.true(label, "au moins une", str(len(seen["offers"])), bool(servers)))
    label = f"serveurs DHCP qui répondent sur le réseau {NETWORKS[who]}, après le premier"
    expect.require(expect.unseen(label, servers[1:]))


def guest_lease(bench: Bench, offer: dict[str, Any]) -> list[tuple[str, object, object]]:
    """Label, expected and observed of what a guest is given beside its address (RFC 2132, options 1, 3 and 6)."""
    network = ipaddress.IPv4Network(text(bench, "invites"))
    return [
        ("masque donné à un invité (option 1)", str(network.netmask), offer["mask"]),
        ("passerelle donnée à un invité (option 3)", [text(bench, "invites_passerelle")], offer["routers"]),
        ("serveur DNS donné à un invité (option 6)", [text(bench, "internet_dns")], offer["dns"]),
    ]


def refuse(bench: Bench, probe: ProbeClient, who: str, key: str | None, what: str) -> tuple[str, str, str]:
    """Label, expected and observed of an attempt with another key. Raises ProbeError when nothing was attempted."""
    seen = _join(bench, probe, who, who, key, REFUSED, once=True)
    if seen["joined"]:
        probe.call("wifi.leave", timeout=20, radio=who)
    elif not seen["tried"]:
        raise ProbeError(f"wifi.join: {ssid(bench, who)} was not heard, so nothing was refused: {seen['said']}")
    return f"réseau {NETWORKS[who]}, {what}", "refusé", "associé" if seen["joined"] else "refusé"


def _join(
    bench: Bench, probe: ProbeClient, who: str, leg: str, key: str | None, window: float, *, once: bool = False
) -> dict[str, Any]:
    heard = announced(bench, probe, who)
    where = heard[0]["frequency"] if heard else None
    found: dict[str, Any] = probe.call("wifi.join", timeout=window + 25, radio=leg, ssid=ssid(bench, who), key=key,
                                       frequency=where, window=window, once=once)  # fmt: skip
    return {**found, "announced": bool(heard), "rsn": any(one["rsn"] for one in heard)}


def _reason(seen: dict[str, Any]) -> str:
    """Why a device with the right key did not join.

    >>> _reason({"tried": False, "announced": True, "rsn": False})
    'réseau annoncé sans WPA2 ni WPA3'
    """
    if seen["tried"]:
        return "refusé"
    if seen["announced"] and not seen["rsn"]:
        return "réseau annoncé sans WPA2 ni WPA3"
    return "réseau annoncé, association non tentée" if seen["announced"] else "réseau non entendu"


def protections(bench: Bench, who: str, found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Label, expected and observed of the protection that a network's announcements promise."""
    name = f"réseau {NETWORKS[who]}"
    pmf = {"required": "exigée", "capable": "proposée", "no": "absente"}
    rows = [
        (f"{name} : canal", show(number(bench, "canal")), show(sorted({_channel(one["frequency"]) for one in found}))),
        (f"{name} : WPA2 ou WPA3 (RSN)", "oui", _all(found, "rsn")),
        (f"{name} : WPA d'origine", "absent", "présent" if any(one["wpa"] for one in found) else "absent"),
        (f"{name} : WPS", "absent", "présent" if any(one["wps"] for one in found) else "absent"),
        (f"{name} : chiffrement", "ccmp", show(sorted({c for one in found for c in (one["group"], *one["pairwise"])}))),
    ]
    if who == "personnel":
        wanted = {pmf[one["pmf"]] for one in found}
        rows.append((f"{name} : protection des trames de gestion (802.11w)", "exigée", show(sorted(wanted))))
    return rows


def _all(found: list[dict[str, Any]], name: str) -> str:
    return "oui" if all(one[name] for one in found) else "non"


def _channel(mhz: int) -> int:
    """
    >>> _channel(2437)
    6
    """
    return (mhz - 2407) // 5 if mhz < 3000 else (mhz - 5000) // 5
