"""CP06-S2: configure, test and repair DNS: a secondary server of a zone whose primary is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graders.check import check
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

SERVERS = ("serveurs_mon", "serveurs6_mon")
GRACE = 15.0
"""Seconds beyond the subject's delay that an emulated machine gets."""
FOLLOW_SECONDS = 150.0
SERIAL = "numéro de série"
Row = tuple[str, str, str]


def _start(bench: Bench, probe: ProbeClient) -> None:
    for _, asked in _questions(bench):
        probe.prefetch("dns.query", "lan", **asked)


@check("CP06-S2.f", causes=("CP06-S5.e", "CP07-S1.c"), nodes=("rtr", "mon"), early=_start, seconds=180)
def check_secondary(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline) -> None:
    """mon sert la zone du siège au LAN, avec autorité, en IPv4 et en IPv6, en UDP et en TCP.

    Les enregistrements sont ceux du siège, et le numéro de série est celui de son serveur : si mon est en retard, le
    siège le prévient de nouveau, et il a le délai du sujet pour suivre.
    """
    rows = _served(bench, probe)
    if behind(rows):
        probe.call("secondary.remind")
        limit = number(bench, "delai_dns") + GRACE
        rows = converge(deadline.sooner(limit), lambda: _served(bench, probe), lambda seen: not behind(seen))
    for row in rows:
        expect.equal(*row)


@check("CP06-S2.g", causes=("CP06-S2.f",), nodes=("rtr", "mon"), seconds=FOLLOW_SECONDS + 30)
def check_secondary_follows(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """mon suit les modifications de la zone, et répond encore quand le serveur du siège se tait.

    Le siège ajoute deux enregistrements et notifie mon : le premier est servi dans le délai, avec le nouveau numéro de
    série ; puis le siège ne répond plus à personne, et le second est servi quand même. Les deux sont ensuite retirés.
    """
    limit = number(bench, "delai_dns") + GRACE
    told = probe.call("secondary.follow", "lan", timeout=FOLLOW_SECONDS, zone=text(bench, "domaine"), limit=limit,
                      servers=_servers(bench), names=[probe.nonce("dns 1"), probe.nonce("dns 2")])  # fmt: skip
    for row in compare(told):
        expect.equal(*row)


@check("CP06-S2.h", causes=("CP06-S2.f", "CP06-S5.e", "CP07-S1.c"), nodes=("rtr", "mon"), seconds=150)
def check_secondary_closed(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """mon ne donne la zone entière à personne, et n'est interrogé d'Internet que par le serveur du siège.

    Transfert (AXFR) demandé depuis le LAN, depuis le réseau des serveurs et depuis le serveur du siège, sans signature
    puis avec la clé du sujet ; question posée, en UDP et en TCP, par le serveur du siège et d'une autre adresse
    d'Internet.
    """
    zone = text(bench, "domaine")
    soa = [[zone, "SOA"]]
    for leg, where in (("lan", "le LAN"), ("serveurs", "le réseau des serveurs")):
        for server in _servers(bench):
            heard = probe.call("dns.query", leg, server=server, questions=soa, transport="tcp")[0]
            served = bool(heard["answered"] and heard["answers"])
            label = f"témoin : {server} sert {zone} (TCP), depuis {where}"
            expect.require(expect.equal(label, "oui", "oui" if served else "non"))
            for row in _transfers(bench, probe, leg, server, f"depuis {where}"):
                expect.equal(*row)
    mon, office = text(bench, "serveurs6_mon"), text(bench, "siege_dns6")
    for source, who, wanted in (
        (office, "du serveur DNS du siège", "répond"),
        (text(bench, "internet_web6"), "d'une autre adresse d'Internet", "muet"),
    ):
        for transport in ("udp", "tcp"):
            asked: dict[str, Any] = {"server": mon, "questions": soa, "source": source, "transport": transport}
            answer = probe.call("dns.query", "wan", **asked)[0]
            observed = "répond" if answer["answered"] else "muet"
            expect.equal(f"{mon}, question {who} ({transport.upper()})", wanted, observed)
    for row in _transfers(bench, probe, "wan", mon, "par le serveur DNS du siège", source=office):
        expect.equal(*row)


@check("CP06-S2.i", needs=("CP06-S2.f",), nodes=("rtr", "mon"), phase="reboot", seconds=120)
def check_secondary_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """mon sert encore la zone du siège après un redémarrage.

    Les mêmes questions, depuis le LAN, en IPv4 et en IPv6.
    """
    rows = converge(patience, lambda: _served(bench, probe), lambda rows: all(row[1] == row[2] for row in rows))
    for row in rows:
        expect.equal(*row)


def _transfers(
    bench: Bench, probe: ProbeClient, leg: str, server: str, where: str, **more: Any
) -> Iterator[tuple[str, str, str]]:
    """Label, expected and observed of the whole zone asked for, by a stranger and by one who holds the key."""
    zone, key = text(bench, "domaine"), (text(bench, "cle_nom"), text(bench, "cle_secret"))
    signed: tuple[tuple[str, dict[str, Any]], ...] = (("sans signature", {}), ("avec la clé", {"key": key}))
    for how, asked in signed:
        told = probe.call("dns.transfer", leg, server=server, zone=zone, **asked, **more)
        label = f"{server}, transfert de {zone} demandé {where}, {how}"
        yield label, "refusé", "accordé" if told["records"] else "refusé"


def compare(told: dict[str, Any]) -> list[Row]:
    """Label, expected and observed of what secondary.follow saw."""
    rows = []
    for server, seen in told["seen"].items():
        fresh = seen["value"] == told["value"]
        rows += [
            (f"{server}, enregistrement ajouté au siège", "servi", _served_as(seen["value"], told["value"])),
            (f"{server}, {SERIAL}", show(told["serial"]), show(seen["serial"])),
        ]
        if fresh:
            silent = _served_as(seen["silent"], told["value"])
            rows.append((f"{server}, autre enregistrement, serveur du siège muet", "servi", silent))
    return rows


def _served_as(seen: str | None, wanted: str) -> str:
    if seen is None:
        return "pas de réponse faisant autorité"
    return "servi" if seen == wanted else seen


def _servers(bench: Bench) -> list[str]:
    return [text(bench, name) for name in SERVERS]


def _records(bench: Bench) -> list[tuple[str, str, str]]:
    """Name, type and data of records of the zone."""
    zone = text(bench, "domaine")
    return [
        (f"www.{zone}", "A", text(bench, "internet_web")),
        (f"www.{zone}", "AAAA", text(bench, "internet_web6")),
        (f"boutique.{zone}", "CNAME", f"www.{zone}"),
        (zone, "MX", f"10 mail.{zone}"),
        (zone, "TXT", f'"{text(bench, "jeton_dns")}"'),
    ]


def _questions(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """Transport and parameters of dns.query."""
    asked = [[name, kind] for name, kind, _ in [*_records(bench), (text(bench, "domaine"), "SOA", "")]]
    return [
        (transport, {"server": server, "questions": asked, "transport": transport})
        for server in _servers(bench)
        for transport in ("udp", "tcp")
    ]


def behind(rows: list[Row]) -> bool:
    """Whether nothing but serial numbers differs: the primary may have changed while mon was not there to be told."""
    wrong = [label for label, expected, observed in rows if expected != observed]
    return bool(wrong) and all(SERIAL in label for label in wrong)


def _served(bench: Bench, probe: ProbeClient) -> list[Row]:
    """Label, expected and observed: every record, from each address, over each transport, and the serial number."""
    zone = text(bench, "domaine")
    own = probe.call("dns.query", "wan", server=text(bench, "siege_dns"), questions=[[zone, "SOA"]])
    serial = _serial(own[0])
    if not serial:
        raise ProbeError("the probe's own primary DNS server is silent: restart plateau-acteur@primaire on the probe")
    rows = []
    for transport, question in _questions(bench):
        answers = probe.call("dns.query", "lan", **question)
        for (name, kind, data), answer in zip(_records(bench), answers, strict=False):
            label = f"{question['server']}, {transport.upper()} : {name} {kind}"
            rows.append((label, data, _observed(answer, kind)))
        label = f"{question['server']}, {transport.upper()} : {SERIAL} de {zone}"
        rows.append((label, serial, _serial(answers[-1]) or "pas de réponse faisant autorité"))
    return rows


def _observed(answer: dict[str, Any], kind: str) -> str:
    if not answer["answered"]:
        return "pas de réponse"
    found = [one["data"] for one in answer["answers"] if one["type"] == kind]
    if not found:
        return f"rien ({answer['rcode']})"
    return show(found) if "aa" in answer["flags"] else f"{show(found)}, sans autorité"


def _serial(answer: dict[str, Any]) -> str:
    """The serial number of an authoritative answer; empty when there is none."""
    if not answer["answered"] or "aa" not in answer["flags"]:
        return ""
    return next((one["data"].split()[2] for one in answer["answers"] if one["type"] == "SOA"), "")
