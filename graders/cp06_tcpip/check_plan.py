"""CP06-O2: keep the network documentation up to date."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re

from graders.check import check
from graders.expect import Expect
from graders.login import Login
from graders.vantage import number, text
from labs.bench import Bench

FILE = "/home/candidat/plan-adressage.csv"
COLUMNS = ["machine", "reseau", "vlan", "adresse"]
ADDRESSES = "ip -j -4 address show"
LIMIT = 65536


@check("CP06-O2.a", causes=("CP06-S4.a",), nodes=("rtr", "ws"))
def check_plan(bench: Bench, login: Login, expect: Expect) -> None:
    """Le plan d'adressage écrit est celui du réseau en service.

    Le fichier CSV du poste donne, pour chaque adresse de rtr et de ws, la machine, le réseau avec son préfixe et le
    VLAN : ni adresse oubliée, ni adresse qui n'existe pas. La carte eth0 n'en fait pas partie.
    """
    found = login("ws").run("test -f %s && head -c %s -- %s", FILE, str(LIMIT), FILE)
    written = _rows(found.stdout) if found.rc == 0 else None
    state = "absent" if found.rc else "lisible" if written is not None else "colonnes inattendues"
    expect.require(expect.equal(f"{FILE} (colonnes {', '.join(COLUMNS)})", "lisible", state))
    assert written is not None
    real = {row for node in ("rtr", "ws") for row in _real(bench, login, node)}
    real = _tunnel(bench, real, written)
    for label, lines in (
        ("adresses en service absentes du plan", real - written),
        ("lignes du plan qui ne correspondent à aucune adresse en service", written - real),
    ):
        expect.none(label, [" ; ".join(one) for one in sorted(lines)], "aucune")


def _tunnel(bench: Bench, rows: set[tuple[str, ...]], written: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The rows, a tunnel's lone address (/32) by the network of the plan where it was written so."""
    plan = {row: (row[0], text(bench, "nomades"), *row[2:]) for row in rows if row[1] == f"{row[3]}/32"}
    return {plan[row] if plan.get(row) in written else row for row in rows}


def _rows(content: str) -> set[tuple[str, ...]] | None:
    """(machine, network, VLAN or empty, address) of each line; None when the columns are not those asked for.

    A spreadsheet may have written the accents in another encoding than UTF-8.
    """
    content = content.lstrip("\ufeff")
    delimiter = ";" if ";" in content.partition("\n")[0] else ","
    lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(content), delimiter=delimiter)]
    lines = [line for line in lines if any(line)]
    if not lines or [re.sub("[é�]", "e", cell.lower()) for cell in lines[0]] != COLUMNS:
        return None
    return {_row(line) for line in lines[1:]}


def _row(cells: list[str]) -> tuple[str, ...]:
    """A line as it is compared: the machine in lower case, the address with or without its prefix."""
    if len(cells) != len(COLUMNS):
        return tuple(cells)
    return (cells[0].lower(), *cells[1:3], cells[3].partition("/")[0])


def _real(bench: Bench, login: Login, node: str) -> list[tuple[str, ...]]:
    """The same facts as the machine tells them now; none when it tells nonsense."""
    tags = {text(bench, leg): str(number(bench, f"vlan_{leg}")) for leg in ("invites", "siege")}
    return [
        (node, network, tags.get(network, ""), address)
        for network, address in _facts(login(node).run(ADDRESSES).stdout)
    ]


def _facts(told: str) -> list[tuple[str, str]]:
    """(network, address) of each address of the lab's cards, as `ip -j address` tells them.

    >>> _facts('[{"ifname": "eth1", "addr_info": [{"local": "10.1.2.1", "prefixlen": 24}]}]')
    [('10.1.2.0/24', '10.1.2.1')]
    """
    try:
        found = [
            (str(ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}").network), str(one["local"]))
            for link in json.loads(told)
            for one in (link["addr_info"] if link["ifname"] not in {"lo", "eth0"} else [])
        ]
    except (ValueError, KeyError, TypeError):
        return []
    return found
