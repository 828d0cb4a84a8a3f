"""What routing looks like from the probe's legs; asked live and again after the reboot."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

from graders.vantage import stranger, text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench


class Row(NamedTuple):
    """One comparison."""

    label: str
    expected: str
    observed: str

    @property
    def ok(self) -> bool:
        return self.expected == self.observed


def start(bench: Bench, probe: ProbeClient) -> None:
    """Trace all paths at once."""
    for _, leg, target, _ in _paths(bench):
        probe.prefetch("icmp.traceroute", leg, address=target)
    for _, echo in _echoes(bench):
        probe.prefetch("icmp.echo_from", "wan", **echo)


def observe(bench: Bench, probe: ProbeClient) -> list[Row]:
    """Each path hop by hop, both ways, and the default route of rtr.

    The default route is proved without any translation: rtr answers an echo whose source is a public address that
    no configuration names, so the reply leaves by the default route; the frame is caught at the provider's card. So
    does the reply to the network beside the link's own, which a router with too short a mask looks for on the link.
    """
    rows = []
    paths = _paths(bench)
    start(bench, probe)
    for label, leg, target, expected in paths:
        hops = probe.call("icmp.traceroute", leg, address=target)
        rows.append(Row(label, " → ".join(expected), " → ".join(" ou ".join(hop) or "?" for hop in hops)))
    for where, echo in _echoes(bench):
        answer = "réponse" if probe.call("icmp.echo_from", "wan", **echo)["received"] else "pas de réponse"
        label = f"route par défaut de rtr (écho vers {text(bench, 'wan_rtr')} depuis une adresse {where})"
        rows.append(Row(label, "réponse", answer))
    return rows


def _paths(bench: Bench) -> list[tuple[str, str, str, list[str]]]:
    """Label, leg, target and expected hops of each path."""
    lan, servers = text(bench, "lan_passerelle"), text(bench, "serveurs_passerelle")
    srv = text(bench, "serveurs_srv")
    host_lan, host_servers = text(bench, "lan_controle"), text(bench, "serveurs_controle")
    return [
        ("chemin du LAN vers le réseau des serveurs", "lan", host_servers, [lan, host_servers]),
        ("chemin du LAN vers srv", "lan", srv, [lan, srv]),
        ("chemin du réseau des serveurs vers le LAN", "serveurs", host_lan, [servers, host_lan]),
    ]


def _echoes(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """Where the source is, and the parameters of icmp.echo_from."""
    rtr = {"address": text(bench, "wan_rtr"), "mac": bench.node("rtr").mac("wan")}
    sources = {"d'Internet": stranger(bench, "echo"), "du réseau voisin de la liaison": _beside(text(bench, "wan"))}
    return [(where, {"source": source, **rtr}) for where, source in sources.items()]


def _beside(network: str) -> str:
    """A host of the network that any shorter mask would hold too.

    >>> _beside("198.51.100.8/29"), _beside("198.51.100.240/29")
    ('198.51.100.3', '198.51.100.251')
    """
    link = ipaddress.IPv4Network(network)
    return str(ipaddress.IPv4Address(int(link.network_address) ^ link.num_addresses) + 3)
