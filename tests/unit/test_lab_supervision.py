"""The lab supervision as data, and what its checks make of what was seen."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from graders import flows
from graders.cp06_tcpip import check_monitoring, check_secondary
from graders.cp07_security import dual
from graders.expect import Expect
from graders.probes import monitoring
from labs.deadline import Deadline
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, nft_complaints, rendered

NETWORKS = ("lan", "serveurs", "wan", "lan6", "serveurs6", "wan6")
EQUIPMENT = ("imprimante", "borne", "camera", "nas", "boutique")
PROBE = CATALOGUE / "supervision" / "files" / "probe"
ASKED = {"outages": {"nas-3": "off", "cam-4": "stopped"}, "recipient": "a@a.test", "limit": 120.0,
         "services": [{"id": name} for name in ("nas-3", "cam-4", "imp-5")]}  # fmt: skip


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("supervision", number)
    networks = {name: ipaddress.ip_network(str(bench.values[name])) for name in NETWORKS}
    same = [(a, b) for a in networks.values() for b in networks.values() if a is not b and a.version == b.version]
    assert not any(a.overlaps(b) for a, b in same)
    for (_, segment), address in addresses(bench).items():
        assert ipaddress.ip_address(address) in networks[segment]
    for name, value in bench.values.items():
        zone = name.partition("_")[0]
        if "_" in name and zone in networks and name != "wan_bloc" and not name.endswith("octet"):
            assert ipaddress.ip_address(str(value)) in networks[zone], name
            assert str(ipaddress.ip_address(str(value))) == value, "written as the probes write it"
    agency = ipaddress.ip_network(str(bench.values["agence6"]))
    assert all(networks[name].subnet_of(agency) for name in ("lan6", "serveurs6"))
    assert not networks["wan6"].overlaps(agency)
    names = [str(bench.values[name]) for name in EQUIPMENT]
    mail = {"subject": " ".join(names[1:]), "text": ""}
    assert not monitoring.mentions(mail, names[0]), "no name is part of another"


def test_files_of_the_probe_are_what_their_readers_accept() -> None:
    bench = bench_of("supervision", 0)
    plans = {path.name: json.loads(rendered(bench, path)) for path in PROBE.glob("*.json.j2")}
    legs = plans["internet.json.j2"]["legs"]
    assert set(legs) == {"lan", "serveurs", "wan"}
    places = [address.split()[0] for leg in legs.values() for address in leg["addresses"]]
    equipment = plans["equipements.json.j2"]
    assert [one["name"] for one in equipment] == [bench.values[name] for name in EQUIPMENT]
    assert all(one["address"] in places for one in equipment if one["leg"] != "wan")
    asked = check_monitoring._trial(bench)
    known = {(one["name"], one["leg"], one["address"].partition("/")[0], one["port"]) for one in equipment}
    assert {(one["id"], one["leg"], one["address"], one["port"]) for one in asked["services"]} == known
    assert set(asked["outages"]) < {one["name"] for one in equipment}
    made = {tuple(check_monitoring._trial(bench_of("supervision", one))["outages"].values()) for one in range(8)}
    assert made == {("error", "stopped", "off", "slow"), ("off", "stopped", "error", "slow")}


@pytest.mark.parametrize(
    "path",
    [
        CATALOGUE / "supervision/files/rtr/nftables.conf.j2",
        PLAYBOOKS / "roles/supervision_rtr/tree/etc/nftables.conf.j2",
    ],
)
def test_rulesets_are_accepted(path: Path) -> None:
    assert nft_complaints(rendered(bench_of("supervision", 1), path)) == ""


def test_both_families_try_the_same_table() -> None:
    bench = bench_of("supervision", 2)
    four, six = (dual.matrix(bench, family) for family in ("IPv4", "IPv6"))
    assert [(one["id"], one["port"]) for one in four["flows"]] == [(one["id"], one["port"]) for one in six["flows"]]
    assert all(":" not in one["address"] for one in four["flows"])
    assert all(":" in one["address"] for one in six["flows"])
    assert "icmp" in {one["protocol"] for one in six["flows"]}


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_forged_sources_are_not_those_of_where_they_come_from(family: str) -> None:
    bench = bench_of("supervision", 3)
    networks = {zone: ipaddress.ip_network(str(bench.values[zone + dual.FAMILIES[family]])) for zone in dual.ZONES}
    for request in dual.spoofed(bench, family):
        own = networks.get(request["origin"])
        for one in request["shots"]:
            inside = own is not None and ipaddress.ip_address(one["source"]) in own
            assert inside is one["id"].startswith(dual.CONTROL)
            assert (":" in one["source"]) is (":" in one["address"]) is (":" in request["via"])
    inside = [one for one in dual.spoofed(bench, family) if one["origin"] in networks]
    for request in inside:
        near = {ipaddress.ip_address(one["address"]) in networks[other]
                for other in set(networks) - {request["origin"]} for one in request["shots"]}  # fmt: skip
        assert near == {True, False}, "toward the other network and toward the Internet"
        assert set(request["watch"]) == {"wan", *networks} - {request["origin"]}


def test_what_the_head_office_may_not_reach_is_told_by_who_answers() -> None:
    request = dual.from_internet(bench_of("supervision", 4), "IPv6")
    silent = {one["id"]: {"arrived": [], "replies": []} for one in request["shots"]}
    silent[flows.CONTROL] = {"arrived": [], "replies": ["echo-reply"]}

    def wrong(label: str, *replies: str) -> list[str]:
        seen = {**silent, label: {"arrived": [], "replies": list(replies)}}
        return [row[0] for row in flows.compare_closed(request, seen) if row[1] != row[2]]

    ssh, ping = "serveur DNS du siège vers mon, TCP 22", "serveur DNS du siège vers mon, ICMP"
    assert wrong(ssh) == wrong(ssh, "reset") == []
    assert (wrong(ssh, "syn-ack"), wrong(ping, "echo-reply")) == ([ssh], [ping])


def mail(at: float, subject: str, *to: str, text: str = "") -> dict[str, Any]:
    return {"at": at, "to": list(to or ["a@a.test"]), "subject": subject, "text": text}


def both(at: float, what: str, *to: str) -> list[dict[str, Any]]:
    """A message about each."""
    return [mail(at, f"{name} {what}", *to) for name in ("nas-3", "cam-4")]


def verdicts(mails: list[dict[str, Any]], restarted: float | None = 100.0) -> list[bool]:
    told = {"mails": mails, "stopped": 75.0, "restarted": restarted, "ended": 130.0}
    return [row[3] for row in check_monitoring.judge(ASKED, told, "imp-5")]


def test_alerts_and_ends_are_recognised() -> None:
    right = [
        mail(90, "PROBLEM nas-3 DOWN"), mail(95, "Supervision", text="le service de CAM-4 est tombé"),
        mail(110, "RECOVERY nas-3 UP"), mail(112, "Fin", text="cam-4 va mieux"),
    ]  # fmt: skip
    assert verdicts(right) == [True, True, True, True, True]
    assert verdicts([*both(100, "DOWN"), *both(110, "UP")]) == [True] * 5, "read just before the service was back"


@pytest.mark.parametrize(
    ("mails", "restarted", "expected"),
    [
        pytest.param([mail(90, "nas-3 DOWN")], None, [True, False, True], id="one is not seen"),
        pytest.param(both(90, "DOWN", "b@a.test"), None, [False, False, True], id="to somebody else"),
        pytest.param(both(20, "DOWN"), None, [False, False, True], id="before it happened"),
        pytest.param(
            [*both(90, "DOWN (n° 1)"), *both(110, "DOWN (n° 2)")], 100.0,
            [True, True, False, False, True], id="reminders are not the end",
        ),
        pytest.param(
            [*both(90, "DOWN"), *both(99, "UP")], 100.0,
            [True, True, False, False, True], id="the end was told too early",
        ),
        pytest.param(
            [*both(90, "DOWN"), mail(91, "imp-5 DOWN"), *both(110, "UP")], 100.0,
            [True, True, True, True, False], id="one that is well is accused",
        ),
        pytest.param(
            [*both(90, "DOWN"), mail(91, "nas-3, cam-4, imp-5 DOWN"), *both(110, "UP")], 100.0,
            [True, True, True, True, False], id="one that is well is accused among others",
        ),
        pytest.param([mail(80, "En panne : nas-3, cam-4")], None, [False, False, True], id="one list for all"),
        pytest.param(
            [mail(80, "nas-3 DOWN", text="sous surveillance : nas-3, cam-4"), mail(81, "cam-4 DOWN")], None,
            [False, True, True], id="a list below the alert",
        ),
        pytest.param(
            [*both(90, "DOWN"), mail(110, "Fin : nas-3, cam-4")], 100.0,
            [True, True, False, False, True], id="one list for the end of all",
        ),
        pytest.param([mail(90, "nas-31 cam-4x DOWN")], None, [False, False, True], id="other names"),
    ],
)  # fmt: skip
def test_other_messages_are_not_enough(mails: Any, restarted: float | None, expected: list[bool]) -> None:
    assert verdicts(mails, restarted) == expected


def test_what_came_instead_of_an_alert_is_told() -> None:
    told = {"mails": [mail(90, "nas-3 DOWN", "b@a.test")], "stopped": 75.0, "restarted": None}
    rows = check_monitoring.judge(ASKED, told, "imp-5")
    assert [row[2] for row in rows] == ["message à b@a.test", "aucun message", "aucun"]
    told = {"mails": [mail(90, "cam-4, nas-3 DOWN")], "stopped": 75.0, "restarted": None}
    rows = check_monitoring.judge(ASKED, told, "imp-5")
    assert [row[2] for row in rows] == ["message qui nomme nas-3, cam-4"] * 2 + ["aucun"]


def test_messages_are_read_as_a_person_reads_them(tmp_path: Path) -> None:
    journal = tmp_path / "courrier.jsonl"
    encoded = "Subject: =?utf-8?q?nas-3_arr=C3=AAt=C3=A9?=\nContent-Transfer-Encoding: base64\n\nY2FtLTQK\n"
    odd = "Subject: x\nContent-Type: text/plain; charset=nowhere\nContent-Transfer-Encoding: 8bit\n\ncam-4\n"
    lines = [{"at": 5.0, "to": ["a@a.test"], "data": encoded}, {"at": 12.0, "to": ["a@a.test"], "data": encoded},
             {"at": 13.0, "to": ["a@a.test"], "data": odd}]  # fmt: skip
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"at": 14')
    first, second = monitoring.read(str(journal), 10.0)
    assert (first["at"], first["subject"], first["text"]) == (2.0, "nas-3 arrêté", "cam-4")
    assert monitoring.mentions(second, "cam-4")


def test_a_page_of_html_is_read_as_what_it_shows() -> None:
    """Alertmanager's messages have a licence, styles and tables before the first word."""
    styles = "<style>" + "td { color: red } " * 500 + "</style><!-- imp-5 -->"
    page = f"<html>{styles}<td class='imp-5'>nas-3&nbsp;arr&ecirc;t&eacute;</td>"
    mail = monitoring._words(f"Subject: [FIRING:1]\nContent-Type: text/html\n\n{page}\n")
    assert mail["text"] == "nas-3 arrêté"
    assert not monitoring.mentions(mail, "imp-5")


def test_a_name_may_have_a_tool_s_own_words_beside_it() -> None:
    named = [monitoring.mentions({"subject": subject, "text": ""}, "nas-3") for subject in
             ("nas-3_http", "Panne_nas-3", "NAS-3-web", "(nas-3)", "nas-31", "xnas-3", "nas-30-web")]  # fmt: skip
    assert named == [True, True, True, True, False, False, False]


def test_a_secondary_that_is_late_or_only_asks_the_primary_is_seen() -> None:
    def rows(**server: Any) -> list[bool]:
        seen = {"serial": 7, "value": "w", "silent": "w", **server}
        told = {"serial": 7, "value": "w", "seconds": 1.0, "seen": {"10.1.2.10": seen}}
        return [expected == observed for _, expected, observed in check_secondary.compare(told)]

    assert rows() == [True, True, True]
    assert rows(serial=6, value=None) == [False, False]
    assert rows(silent=None) == [True, True, False]


class Late:
    """The probe before a secondary server that is behind; `follows`: until its primary tells it again."""

    def __init__(self, *, follows: bool, right: bool = True) -> None:
        self.bench = bench_of("supervision", 0)
        self.follows, self.right, self.told = follows, right, False

    def call(self, probe: str, leg: str = "", **asked: Any) -> Any:
        if probe == "secondary.remind":
            self.told = True
            return 8
        serial = 8 if leg == "wan" or (self.told and self.follows) else 7
        data = {(name, kind): value for name, kind, value in check_secondary._records(self.bench)}
        return [
            {"answered": True, "flags": ["aa"], "rcode": "NOERROR", "answers": [
                {"type": kind, "data": f"a. b. {serial} 1 1 1 1" if kind == "SOA" else
                 data[name, kind] if self.right else "192.0.2.9"}
            ]}
            for name, kind in asked["questions"]
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("late", "told", "passes"),
    [
        pytest.param(Late(follows=True), True, True, id="follows"),
        pytest.param(Late(follows=False), True, False, id="never follows"),
        pytest.param(Late(follows=True, right=False), False, False, id="serves something else"),
    ],
)
def test_a_secondary_that_was_not_told_is_told_again(
    late: Any, told: bool, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary that changed while the secondary was away notifies it once more, then waits for the subject's time."""
    monkeypatch.setattr("graders.expect.time.sleep", lambda _seconds: None)
    expect = Expect()
    check_secondary.check_secondary(late.bench, late, expect, Deadline.after(0.2))
    assert late.told == told
    assert all(one.ok for one in expect.comparisons) == passes


class Outside:
    """The probe before a secondary server: `given` tells to whom it gives the whole zone, `reached` who may ask it."""

    def __init__(self, given: Any = None, reached: Any = None) -> None:
        self.given = given or (lambda leg, source, signed: False)
        self.reached = reached or (lambda source, transport: source == "siege_dns6")
        self.bench = bench_of("supervision", 0)

    def _who(self, address: str) -> str:
        return next((name for name in ("siege_dns6", "internet_web6") if self.bench.values[name] == address), "")

    def call(self, probe: str, leg: str, **asked: Any) -> Any:
        source = self._who(asked.get("source", ""))
        if probe == "dns.query":
            answered = leg != "wan" or self.reached(source, asked.get("transport", "udp"))
            return [{"answered": answered, "answers": ["SOA"] if answered else []}]
        assert probe == "dns.transfer"
        if "key" in asked:
            assert tuple(asked["key"]) == (self.bench.values["cle_nom"], self.bench.values["cle_secret"])
        return {"answered": True, "rcode": "", "records": 12 * self.given(leg, source, "key" in asked)}


@pytest.mark.parametrize(
    ("outside", "label"),
    [
        pytest.param(Outside(), "", id="right"),
        pytest.param(Outside(lambda *_: True), "sans signature", id="to anybody"),
        pytest.param(Outside(lambda leg, source, signed: signed), "avec la clé", id="to who holds the key"),
        pytest.param(Outside(lambda leg, source, signed: source == "siege_dns6"), "par le serveur", id="to its server"),
        pytest.param(Outside(None, lambda *_: True), "d'une autre adresse", id="open to the Internet"),
        pytest.param(
            Outside(None, lambda source, transport: transport == "udp" and source == "siege_dns6"),
            "du serveur DNS du siège (TCP)", id="no TCP from the head office",
        ),
        pytest.param(
            Outside(None, lambda source, transport: transport == "tcp" or source == "siege_dns6"),
            "d'une autre adresse d'Internet (TCP)", id="TCP from everywhere",
        ),
    ],
)  # fmt: skip
def test_a_zone_that_is_given_away_is_seen(outside: Any, label: str) -> None:
    found = Expect()
    check_secondary.check_secondary_closed(bench=outside.bench, probe=outside, expect=found)
    wrong = [one.label for one in found.comparisons if not one.ok]
    assert bool(wrong) == bool(label)
    assert not label or any(label in one for one in wrong)
