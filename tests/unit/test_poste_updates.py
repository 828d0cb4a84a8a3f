"""What the checks of the lab poste make of a night, of the way back, and of where updates come from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.cp02_workstation import check_updates
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from tests.unit.poste_world import BENCH, CENTRE, PROBE, VERSION, Workstation

if TYPE_CHECKING:
    from graders.login import Login

GOOD_NIGHT = {"installed": 40.2, "version": "", "worked": True, "stall": 1.2, "drift": 0.0, "busy": False}
AFTER = {"version": VERSION, "changed": [], "works": True, "unplanned": []}
NEXT = {**GOOD_NIGHT, "installed": None, "version": VERSION, "forgotten": False}
GOOD = {
    "before": VERSION, "data": True, "left": [], "early": {**GOOD_NIGHT, "installed": None}, "night": GOOD_NIGHT,
    "converted": True, "back": {"status": 0, "said": "", "pace": 0.0},
    "after": AFTER, "next": NEXT,
}  # fmt: skip


def judged(check: Any, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Expect:
    monkeypatch.setattr(check_updates, "ask", lambda *_: answer)
    expect = Expect()
    check(BENCH, PROBE, cast("Login", Workstation(CENTRE)), expect, Deadline.after(5))
    expect.conclude()
    return expect


def night_of(**changes: Any) -> dict[str, Any]:
    fresh = check_updates.fresh_version(BENCH, PROBE, "nuit")
    return {**GOOD, "night": {**GOOD_NIGHT, "version": fresh, **changes}}


def test_a_good_night_and_a_good_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(check_updates.check_night, night_of(), monkeypatch)
    judged(check_updates.check_way_back, night_of(), monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"after": {**AFTER, "unplanned": ["/etc/cron.d/maj"]}},  # another plan, which was seen at work
        {"next": {**NEXT, "worked": False}},  # a script that sees that the version is held, and ends
    ],
)
def test_a_way_back_after_which_updates_go_on(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    judged(check_updates.check_way_back, {**night_of(), **changes}, monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [{"installed": None}, {"installed": -3.0}, {"installed": -7190.0}, {"version": "1.0"}],
)
def test_a_night_that_is_not_as_asked(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unmet):
        judged(check_updates.check_night, night_of(**changes), monkeypatch)


@pytest.mark.parametrize("changes", [{"drift": 600.0}, {"stall": 30.0}, {"busy": True}])
def test_a_night_that_says_nothing(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError):
        judged(check_updates.check_night, night_of(**changes), monkeypatch)
    with pytest.raises(ProbeError):
        judged(check_updates.check_night, {**night_of(), "early": {**GOOD_NIGHT, **changes}}, monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"back": {"status": 1, "said": "", "pace": 0.0}},
        {"back": {"status": None, "said": "No such file", "pace": 0.0}},
        {"after": {"version": "9", "changed": [], "works": True, "unplanned": []}},
        {"after": {"version": VERSION, "changed": ["/var/lib/x/releves"], "works": True, "unplanned": []}},
        {"after": {"version": VERSION, "changed": [], "works": False, "unplanned": []}},
        {"next": {**NEXT, "version": "9"}},
        {"next": {**NEXT, "forgotten": True}},
        {"back": {"status": None, "said": "pas terminé", "pace": 0.001}},
        {"converted": False},
        {"after": {**AFTER, "unplanned": ["maj.timer"]}, "next": {**NEXT, "worked": False}},
    ],
)
def test_a_way_back_that_does_not_lead_back(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unmet):
        judged(check_updates.check_way_back, {**night_of(), **changes}, monkeypatch)


def test_what_was_not_put_back_is_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError, match="not put back"):
        judged(check_updates.check_night, {**night_of(), "left": ["version"]}, monkeypatch)
    late = {"status": None, "said": "pas terminé", "pace": 0.5}
    with pytest.raises(ProbeError, match=r"takes 0\.500 s"):
        judged(check_updates.check_way_back, {**night_of(), "back": late}, monkeypatch)


@pytest.mark.parametrize(("site", "hosts"), [(CENTRE, ""), ("miroir.ville.test", CENTRE)])
def test_a_source_may_call_the_mirror_by_a_name(site: str, hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Workstation(site, hosts).judged(monkeypatch)


@pytest.mark.parametrize("hosts", ["", "10.9.9.9"])
def test_a_source_elsewhere_is_not_the_mirror(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unmet, match="source de cette version"):
        Workstation("miroir.ville.test", hosts).judged(monkeypatch)
    with pytest.raises(ProbeError, match="could not say"):
        Workstation("miroir.ville.test", "never").judged(monkeypatch)


@pytest.mark.parametrize(("seconds", "clear"), [(-390, False), (20, False), (290, False), (-420, True), (310, True)])
def test_nothing_is_published_while_updates_are_due(seconds: int, clear: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hour, minute = map(int, str(BENCH.values["maj_moment"]).split(":"))
    at = (hour * 3600 + minute * 60 + seconds) % 86400
    there = Workstation(CENTRE, now=f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}")
    with contextlib.nullcontext() if clear else pytest.raises(ProbeError, match="updates are due"):
        there.judged(monkeypatch)
