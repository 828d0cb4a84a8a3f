"""What the proxy of the lab `protection` is asked, and how its answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders.vantage import number, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from graders.probe_client import ProbeClient
    from labs.bench import Bench

Ask = dict[str, Any]
FORBIDDEN = ("interdit_jeux", "interdit_paris", "interdit_partage")
OPEN, REFUSED = "ouverte", "refusée"
"""A page."""
THROUGH, STOPPED = "ouvert", "refusé"
"""A tunnel."""
PATIENCE = 12.0
"""Seconds that one page may take."""


def proxy(bench: Bench) -> dict[str, Any]:
    """Where the proxy is."""
    return {"address": text(bench, "serveurs_srv"), "port": number(bench, "port_mandataire")}


def account(bench: Bench) -> dict[str, str]:
    return {"user": text(bench, "compte"), "password": text(bench, "mdp_compte")}


def pages(label_urls: Iterable[tuple[str, str]], login: dict[str, str]) -> list[Ask]:
    """Asks of proxy.fetch."""
    return [{"id": label, "url": url, **login} for label, url in label_urls]


def fetch(
    bench: Bench,
    probe: ProbeClient,
    asks: Sequence[Ask],
    *,
    leg: str = "lan",
    files: dict[str, str] | None = None,
    port: int = 0,
) -> dict[str, dict[str, Any]]:
    """The answers of proxy.fetch, from the proxy or from another `port` of srv."""
    limit = PATIENCE * len(asks) + 5
    place = proxy(bench) | ({"port": port} if port else {})
    answers: dict[str, dict[str, Any]] = probe.call(
        "proxy.fetch", leg, timeout=limit, **place, asks=list(asks), files=files or {}, window=PATIENCE
    )
    return answers


def tunnels(
    bench: Bench, probe: ProbeClient, asks: Sequence[tuple[str, int]], *, beyond: str = "wan"
) -> dict[str, dict[str, Any]]:
    """The answers of proxy.tunnel, by `host:port`.

    The far ends listen at the web site's address or, `beyond` being the servers' network, at the probe's own there.
    """
    end = text(bench, "internet_web" if beyond == "wan" else "serveurs_controle")
    wanted = [{"id": f"{host}:{port}", "host": host, "port": port, **account(bench)} for host, port in asks]
    listen = sorted({(end, port) for _, port in asks})
    answers: dict[str, dict[str, Any]] = probe.call(
        "proxy.tunnel",
        timeout=10.0 * len(asks) + 5,
        origin="lan",
        beyond=beyond,
        listen=listen,
        **proxy(bench),
        asks=wanted,
    )
    return answers


def shown(answer: dict[str, Any], opened: bool) -> str:
    """What became of a request, for the candidate."""
    if opened:
        return OPEN
    return f"{REFUSED} (code {answer['status']})" if answer["status"] else f"pas de réponse ({answer['reason']})"


def tunnelled(answer: dict[str, Any]) -> str:
    """What became of a tunnel, for the candidate."""
    return THROUGH if answer["through"] else STOPPED


def forbidden_pages(bench: Bench, word: str) -> list[tuple[str, str]]:
    """Label and URL: the domains of the list and names under them, however they are written."""
    first, second, third = (text(bench, name) for name in FORBIDDEN)
    hosts = [first, f"www.{first}", second, f"{word}.{second}", f"a.{word}.{third}", third, f"WWW.{third.upper()}"]
    return [(f"http://{host}/", f"http://{host}/{word}") for host in hosts]


def allowed_pages(bench: Bench, word: str) -> list[tuple[str, str]]:
    """Label and URL: names and paths that look like the list's and are not in it."""
    first, second, third = (text(bench, name) for name in FORBIDDEN)
    urls = [
        f"http://www.{word}.example/",
        f"http://mes{first}/{word}",
        f"http://{second}.{word}.example/",
        f"http://{third.partition('.')[0]}s.example/{word}",
        f"http://{word}.example/{second}/",
        f"http://{word}.example/?retour=http://www.{third}/",
    ]
    return [(url, url) for url in urls]
