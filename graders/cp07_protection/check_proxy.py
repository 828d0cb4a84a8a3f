"""CP07-S5: configure, test and repair the protection of Internet access: the Web proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from graders import flows, internet, samples
from graders.check import check
from graders.cp07_protection import web
from graders.expect import Expect, converge
from graders.flows import Rule
from graders.probe_client import ProbeError
from graders.vantage import number, page_field, text, toward_router
from labs.deadline import Deadline

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

DIRECT = (Rule("lan", "wan", ("udp/53", "tcp/53", "icmp"), ("tcp/80", "tcp/443", "tcp/8080", "udp/443")),)
"""What workstations may send to the Internet by themselves, once the Web goes through the proxy."""
TUNNEL, OTHER_PORTS = 443, (22, 25, 53, 8443)
LOG_SECONDS, STARTUP, SCAN_SECONDS = 10.0, 230.0, 90.0
"""STARTUP: more than the 180 s after which Squid looks for a filter again that was not there (squid.conf(5),
icap_service_revival_delay)."""
SSH, HTTP = 22, 80
LOGGED = """w=%s; { journalctl -q --no-pager -o cat -n 400; grep -rahF --exclude-dir=journal -- "$w" /var/log; } \
  2>/dev/null | grep -aF -- "$w" | tail -n 20"""


def _matrix(bench: Bench) -> dict[str, Any]:
    return flows.request(bench, flows.flows(bench, DIRECT), {})


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("flow.matrix", timeout=30, **_matrix(bench))


@check("CP07-S5.a", nodes=("rtr", "srv"), early=_start, seconds=90)
def check_proxy(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les postes vont sur le Web par le mandataire, et par lui seul.

    Depuis le LAN, avec le compte de l'agence, un site d'Internet s'ouvre par le mandataire, en HTTP et par un tunnel
    vers le port 443 ; en direct, les ports du Web sont refusés. Le DNS (UDP et TCP) et le ping du LAN passent encore.
    """
    internet.require(bench, probe)
    host = f"www.{probe.nonce('site')}.example"
    url = f"http://{host}/{probe.nonce('page')}"
    answer = web.fetch(bench, probe, web.pages([("page", url)], web.account(bench)))["page"]
    label = "page d'Internet demandée par le mandataire : adresse vue par le site"
    expect.require(expect.equal(label, text(bench, "wan_rtr"), page_field(answer, "client")))
    place = f"{host}:{TUNNEL}"
    told = web.tunnels(bench, probe, [(host, TUNNEL)])[place]
    expect.equal(f"tunnel vers le port {TUNNEL} (CONNECT)", web.THROUGH, web.tunnelled(told))
    seen = probe.call("flow.matrix", timeout=30, **_matrix(bench))
    for row in flows.compare(flows.flows(bench, DIRECT), seen):
        expect.equal(*row)


@check("CP07-S5.d", causes=("CP07-S5.a",), nodes=("rtr", "srv"), seconds=240)
def check_forbidden_domains(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les domaines de la liste sont refusés, avec leurs sous-domaines, et eux seuls.

    Les domaines interdits et des noms sous ces domaines ne s'ouvrent ni en HTTP ni par un tunnel ; des noms
    ressemblants, et des adresses où le nom interdit figure dans le chemin, s'ouvrent.
    """
    internet.require(bench, probe)
    word = probe.nonce("forbidden")
    allowed, forbidden = web.allowed_pages(bench, word), web.forbidden_pages(bench, word)
    # What must open is asked first and last: a proxy that has stopped refuses everything.
    order = [*allowed[:3], *forbidden, *allowed[3:]]
    answers = web.fetch(bench, probe, web.pages(order, web.account(bench)))
    for label, _ in allowed:
        opened = page_field(answers[label], "client") == text(bench, "wan_rtr")
        expect.equal(label, web.OPEN, web.shown(answers[label], opened))
    for label, url in forbidden:
        # A refusal may lead to another page, which says so.
        asked = page_field(answers[label], "path") == urlsplit(url).path
        opened = page_field(answers[label], "client") == text(bench, "wan_rtr") and asked
        expect.true(label, web.REFUSED, web.shown(answers[label], opened), not opened)
    hosts = [text(bench, name) for name in web.FORBIDDEN]
    places = [(hosts[0], TUNNEL), (f"www.{hosts[1]}", TUNNEL), (f"{word}.example", TUNNEL)]
    told = web.tunnels(bench, probe, places)
    for number_, (place, answer) in enumerate(told.items()):
        wanted = web.THROUGH if number_ == len(places) - 1 else web.STOPPED
        expect.equal(f"tunnel vers {place}", wanted, web.tunnelled(answer))


@check("CP07-S5.e", causes=("CP07-S5.a",), nodes=("rtr", "srv"), seconds=420)
def check_proxy_account(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Le mandataire exige le compte, ne sert que le LAN, et garde la trace de ce qu'il sert.

    Sans compte, il demande qu'on s'identifie (407) ; un autre mot de passe ou un autre compte n'ouvre rien, ni le bon
    compte depuis un autre réseau ; CONNECT n'aboutit que vers le port 443, et pas plus vers le réseau des serveurs ; le
    port est fermé vu d'Internet ; aucun
    autre port de srv ne mène sur le Web sans le compte, ni vers un domaine interdit. Le journal de srv nomme, en moins
    de dix secondes, le compte et l'adresse demandée.
    """
    internet.require(bench, probe)
    word, right = probe.nonce("account"), web.account(bench)
    url = f"http://www.{word}.example/{probe.nonce('account page')}"
    again = f"http://www.{word}.example/{probe.nonce('account page, once more')}"  # never refused, so that its line is
    asks = [
        {"id": "avec le compte", "url": url, **right},
        {"id": "sans compte", "url": url},
        {"id": "avec un autre mot de passe", "url": url, **right, "password": word},
        {"id": "sans mot de passe", "url": url, **right, "password": ""},
        {"id": "avec un autre compte et le bon mot de passe", "url": url, **right, "user": word},
        {"id": "avec le compte, encore", "url": again, **right},
    ]
    answers = web.fetch(bench, probe, asks)
    for ident, answer in answers.items():
        opened = page_field(answer, "client") == text(bench, "wan_rtr")
        if "user" not in next(ask for ask in asks if ask["id"] == ident):
            expect.equal(f"page demandée {ident} : code", 407, answer["status"])
        elif ident.startswith("avec le compte"):
            expect.equal(f"page demandée {ident}", web.OPEN, web.shown(answer, opened))
        else:
            expect.true(f"page demandée {ident}", web.REFUSED, web.shown(answer, opened), not opened)
    elsewhere = web.fetch(bench, probe, asks[:1], leg="serveurs")["avec le compte"]
    opened = page_field(elsewhere, "client") == text(bench, "wan_rtr")
    label = "page demandée avec le compte depuis le réseau des serveurs"
    expect.true(label, web.REFUSED, web.shown(elsewhere, opened), not opened)
    _compare_tunnels(bench, probe, expect, f"www.{word}.example")
    _compare_outside(bench, probe, expect)
    # Before the scan of the ports: a firewall of srv that logs what it drops fills the journal.
    line = _logged(login, probe.nonce("account page, once more"), text(bench, "compte"))
    label = f"ligne du journal de srv avec l'adresse demandée et « {text(bench, 'compte')} »"
    expect.true(label, "une au moins", line or "aucune", bool(line))
    _compare_other_ports(bench, probe, expect)


@check("CP07-S5.h", needs=("CP07-S5.a",), nodes=("rtr", "srv"), phase="reboot", seconds=360)
def check_proxy_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline) -> None:
    """Le mandataire sert et protège encore après un redémarrage.

    Une page s'ouvre avec le compte ; sans compte, sur un domaine interdit et pour un fichier dangereux, rien ne passe ;
    en direct, les ports du Web sont refusés.
    """
    internet.require(bench, probe)
    word = probe.nonce("after reboot")
    good, bad = samples.files(bench, word)[:2]
    # Each round serves the files again under the same names: nothing may be remembered from before.
    right = web.account(bench)
    urls = {one.name: f"http://www.{word}.example/{one.name}" for one in (good, bad)}
    asks = [
        {"id": "page", "url": f"http://www.{word}.example/{word}", **right},
        {"id": "sain", "url": urls[good.name], **right},
        {"id": "dangereux", "url": urls[bad.name], **right, "marker": samples.encoded(bad.marker)},
        {"id": "sans compte", "url": f"http://www.{word}.example/{word}"},
        {"id": "interdit", "url": f"http://www.{text(bench, web.FORBIDDEN[0])}/{word}", **right},
    ]
    files = {one.name: one.base64 for one in (good, bad)}
    here = text(bench, "wan_rtr")

    def served(told: dict[str, dict[str, Any]]) -> bool:
        return page_field(told["page"], "client") == here and told["sain"]["sha256"] == good.sha256

    told = converge(deadline.sooner(STARTUP), lambda: web.fetch(bench, probe, asks, files=files), served)
    expect.equal("page avec le compte : adresse vue par le site", here, page_field(told["page"], "client"))
    expect.true("fichier sain", "reçu inchangé", web.shown(told["sain"], told["sain"]["sha256"] == good.sha256),
                told["sain"]["sha256"] == good.sha256)  # fmt: skip
    expect.true("fichier EICAR", "arrêté", web.shown(told["dangereux"], told["dangereux"]["marked"]),
                not told["dangereux"]["marked"])  # fmt: skip
    expect.equal("page sans compte : code", 407, told["sans compte"]["status"])
    opened = page_field(told["interdit"], "client") == here
    expect.true("page d'un domaine interdit", web.REFUSED, web.shown(told["interdit"], opened), not opened)
    seen = probe.call("flow.matrix", timeout=30, **_matrix(bench))
    for row in flows.compare(flows.flows(bench, DIRECT), seen):
        expect.equal(*row)


def _compare_tunnels(bench: Bench, probe: ProbeClient, expect: Expect, host: str) -> None:
    ports = (*OTHER_PORTS, flows.drawn_port(bench), TUNNEL)
    told = web.tunnels(bench, probe, [(host, port) for port in ports])
    for port in ports:
        wanted = web.THROUGH if port == TUNNEL else web.STOPPED
        expect.equal(f"CONNECT vers le port {port}", wanted, web.tunnelled(told[f"{host}:{port}"]))
    # The router lies before every far end on the Internet, and may be what stops a tunnel; none lies before these.
    near = text(bench, "serveurs_controle")
    told = web.tunnels(bench, probe, [(near, port) for port in (HTTP, flows.drawn_port(bench))], beyond="serveurs")
    for place, answer in told.items():
        expect.equal(f"CONNECT vers {place}", web.STOPPED, web.tunnelled(answer))


def _compare_outside(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Frames put on the router's Internet card, toward the proxy at its address and at the public one."""
    port, source = number(bench, "port_mandataire"), flows.internet_host(bench)
    shots: list[dict[str, Any]] = []
    for name in ("wan_rtr", "serveurs_srv"):
        address = text(bench, name)
        label = f"Internet vers le mandataire, {address}:{port}"
        shots.append({"id": label, "protocol": "tcp", "source": source, "address": address, "port": port})
    request: dict[str, Any] = {**toward_router(bench), "shots": shots, "watch": ["serveurs"]}
    seen = probe.call("inject.send", **request)
    for shot in shots:
        expect.equal(shot["id"], "refusé", "passe" if "syn-ack" in seen[shot["id"]]["replies"] else "refusé")


def _compare_other_ports(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """A proxy left at another port of srv would serve past the account and the list."""
    scan = probe.call("scan.tcp_ports", "lan", timeout=SCAN_SECONDS + 5, source=text(bench, "lan_controle"),
                      address=text(bench, "serveurs_srv"), mac=bench.node("rtr").mac("lan"),
                      window=SCAN_SECONDS)  # fmt: skip
    if not scan["complete"]:
        raise ProbeError(f"the scan of srv ended after {scan['sent']} ports")
    word = probe.nonce("other ports")
    asks: list[web.Ask] = [
        {"id": "sans compte", "url": f"http://{word}.example/{word}"},
        {"id": "domaine interdit", "url": f"http://{text(bench, web.FORBIDDEN[0])}/{word}", **web.account(bench)},
    ]
    ways = []
    for port in sorted({*scan["open"]} - {SSH, number(bench, "port_mandataire")}):
        answers = web.fetch(bench, probe, asks, port=port)
        ways += [f"TCP {port}, {name}" for name, one in answers.items() if page_field(one, "client") == here(bench)]
    expect.unseen("autres ports de srv qui mènent sur le Web", ways)


def here(bench: Bench) -> str:
    """The address that sites of the Internet see."""
    return text(bench, "wan_rtr")


def _logged(login: Login, word: str, user: str) -> str:
    """A line of srv's journals with both words; empty when there is none within LOG_SECONDS."""
    for _ in Deadline.after(LOG_SECONDS).ticks(1.5):
        for line in login("srv").run(LOGGED, word).stdout.splitlines():
            if word in line and user in line:
                return str(line)[:300]
    return ""
