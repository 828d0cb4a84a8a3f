"""CP07-S2: configure, test and repair address translation."""

from __future__ import annotations

from graders import internet
from graders.check import check
from graders.cp07_security import policy
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from graders.vantage import number, page_field, text
from labs.bench import Bench
from labs.deadline import Deadline


def _start(bench: Bench, probe: ProbeClient) -> None:
    for leg, url in _pages(bench, probe):
        probe.prefetch("http.get", leg, url=url)


@check("CP07-S2.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), early=_start)
def check_nat(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """L'agence sort avec son adresse publique et publie sa vitrine.

    Le LAN et le réseau des serveurs atteignent Internet avec l'adresse de rtr, quel que soit le protocole ; le port
    publié mène à la vitrine, qui voit l'adresse réelle du client ; entre le LAN et les serveurs, rien n'est traduit.
    """
    internet.require(bench, probe)
    wan_rtr, host = text(bench, "wan_rtr"), text(bench, "lan_controle")
    _start(bench, probe)
    page, published, inside = (url for _, url in _pages(bench, probe))
    matrix = policy.request(bench)
    sources = probe.call("flow.matrix", timeout=30, reuse=True, **matrix)
    for flow_id, label in _SEEN.items():
        expected = host if flow_id.startswith("lan-serveurs") else wan_rtr
        expect.equal(label, expected, sources[flow_id]["source"])
    for flow in policy.chosen(bench):  # those that do not arrive are CP07-S1.a's
        if flow.permitted and flow.id not in _SEEN and (source := sources[flow.id]["source"]):
            outside = flow.rule.to == "wan"
            expected = wan_rtr if outside else text(bench, f"{flow.rule.origin}_controle")
            expect.equal(f"adresse source, {flow.label}", expected, source)
    web = probe.call("http.get", "lan", url=page)
    expect.equal("adresse vue par un site web d'Internet", wan_rtr, page_field(web, "client"))
    shown = probe.call("http.get", "wan", url=published)
    expect.equal(f"page publiée sur {wan_rtr}:{number(bench, 'port_publie')}", text(bench, "jeton_web"),
                 page_field(shown, "jeton"))  # fmt: skip
    expect.equal("adresse du client d'Internet vue par la vitrine", shown["from"] or "celle du client",
                 page_field(shown, "client"))  # fmt: skip
    direct = probe.call("http.get", "lan", url=inside)
    expect.equal("adresse d'un poste vue par la vitrine", host, page_field(direct, "client"))


@check("CP07-S2.b", needs=("CP07-S2.a",), nodes=("rtr", "srv"))
def check_hairpin(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """La publication répond aussi aux postes du LAN, à l'adresse publique.

    Un poste qui suit le lien donné au public arrive à la vitrine.
    """
    shown = probe.call("http.get", "lan", url=f"http://{text(bench, 'wan_rtr')}:{number(bench, 'port_publie')}/")
    label = f"page de {text(bench, 'wan_rtr')}:{number(bench, 'port_publie')}, vue du LAN"
    expect.equal(label, text(bench, "jeton_web"), page_field(shown, "jeton"))


@check("CP07-S2.c", needs=("CP07-S2.a",), nodes=("rtr", "srv"), phase="reboot", seconds=90)
def check_nat_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """L'accès à Internet et la publication fonctionnent encore après un redémarrage.

    La vitrine répond à un client d'Internet ; un site d'Internet voit l'adresse publique de l'agence.
    """
    internet.require(bench, probe)
    (leg_web, page), (leg_shown, published), _ = _pages(bench, probe)

    def ask() -> tuple[str, str]:
        shown = probe.call("http.get", leg_shown, url=published)
        return page_field(shown, "jeton"), page_field(probe.call("http.get", leg_web, url=page), "client")

    wanted = (text(bench, "jeton_web"), text(bench, "wan_rtr"))
    token, client = converge(patience, ask, lambda seen: seen == wanted)
    expect.equal(f"page publiée sur {text(bench, 'wan_rtr')}:{number(bench, 'port_publie')}", wanted[0], token)
    expect.equal("adresse vue par un site web d'Internet", wanted[1], client)


def _pages(bench: Bench, probe: ProbeClient) -> list[tuple[str, str]]:
    """Leg and address of the three pages: a site on the Internet, the publication, the shop window itself."""
    return [
        ("lan", f"http://{text(bench, 'internet_web')}/{probe.nonce('web')}"),
        ("wan", f"http://{text(bench, 'wan_rtr')}:{number(bench, 'port_publie')}/"),
        ("lan", f"http://{text(bench, 'serveurs_srv')}:{number(bench, 'port_vitrine')}/"),
    ]


_SEEN = {
    "lan-wan-tcp/80": "adresse source d'un flux du LAN, vue d'Internet",
    "serveurs-wan-tcp/80": "adresse source d'un flux des serveurs, vue d'Internet",
    "lan-serveurs-tcp/8000": "adresse source d'un flux du LAN, vue du réseau des serveurs",
}
