"""The lab poste as data, the programs that run on its workstation, and what the checks make of what was seen."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import programs
from graders.cp02_workstation import check_protection, check_session, check_updates, remote, remote_drop, remote_night
from graders.expect import Expect, Unmet
from graders.notebook import Notebook
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.subject import addresses
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient

BENCH = bench_of("poste", 0)
VERSION, PACKAGE = str(BENCH.values["version"]), str(BENCH.values["paquet"])


class Probe:
    """A probe whose centre obeys."""

    def nonce(self, purpose: str) -> str:
        return "n" + "".join(f"{ord(one):x}" for one in purpose)[:12]

    def call(self, *_: Any, **__: Any) -> Any:
        return True


PROBE = cast("ProbeClient", Probe())


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("poste", number)
    lan = ipaddress.ip_network(str(bench.values["lan"]))
    assert len(set(addresses(bench).values()) | {bench.values["lan_controle"]}) == 3
    assert all(ipaddress.ip_address(one) in lan for one in addresses(bench).values())
    fresh = check_updates.fresh_version(bench, PROBE, "nuit")
    for newer, older in ((fresh, bench.values["version"]),):
        compare = ["dpkg", "--compare-versions", newer, "gt", str(older)]
        assert subprocess.run(compare, check=False).returncode == 0


# --- files left among the exchanges ---


def drop(tmp_path: Path, capsys: pytest.CaptureFixture[str], **more: Any) -> dict[str, Any]:
    """What the program tells of a folder of ours."""
    files = check_protection.sample_files(BENCH, PROBE, "dépôt")
    asked = check_protection.request("mot", files, fresh=b"nouveau")
    places = {"place": str(tmp_path / "echanges"), "quarantine": str(tmp_path / "quarantaine")}
    remote_drop.main(json.dumps({**asked, "limit": 1, "fresh_limit": 1.5, **places, **more}))
    return dict(json.loads(capsys.readouterr().out))


def test_without_an_antivirus_everything_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "echanges").mkdir()
    told = drop(tmp_path, capsys)
    files = check_protection.sample_files(BENCH, PROBE, "dépôt")
    assert told["stopped"] == {}
    assert told["fresh"] is None
    assert set(told["same"]) == {one.name for one in files if not one.dangerous}
    assert list((tmp_path / "echanges").iterdir()) == []
    expect = Expect()
    check_protection.judge(told, files, expect)
    with pytest.raises(Unmet, match="encore lisible"):
        expect.conclude()


def test_what_an_antivirus_moves_is_stopped_and_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, quarantine = tmp_path / "echanges", tmp_path / "quarantaine"
    place.mkdir()
    quarantine.mkdir()
    (quarantine / "ancien.001").write_text("of the candidate's own")
    monkeypatch.setattr(remote_drop, "LOOK", 0.05)
    files = check_protection.sample_files(BENCH, PROBE, "dépôt")
    bad = {one.content for one in files if one.dangerous} | {b"nouveau"}
    over = threading.Event()

    def antivirus() -> None:
        while not over.wait(0.02):
            for path in [one for one in place.rglob("*") if one.is_file()]:
                with contextlib.suppress(OSError):
                    if path.read_bytes() in bad:
                        path.rename(quarantine / f"{path.name}.001")

    thread = threading.Thread(target=antivirus)
    thread.start()
    try:
        told = drop(tmp_path, capsys, limit=10, fresh_limit=20)
    finally:
        over.set()
        thread.join()
    expect = Expect()
    check_protection.judge(told, files, expect)
    expect.conclude()
    assert told["fresh"] is not None
    assert told["left"] == []
    assert [one.name for one in quarantine.iterdir()] == ["ancien.001"]


def test_a_place_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = drop(tmp_path, capsys)
    expect = Expect()
    with pytest.raises(Unmet, match="présent"):
        check_protection.judge(told, [], expect)


# --- the night ---


class Night:
    """The clock of a machine, and apt at work there at some moments: (from, to) in seconds after the minute."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, work: list[tuple[float, float]], installed: float | None
    ) -> None:
        self.wall, self.up, self.minute = 1_000_000.0, 50.0, 2_000_000.0
        self.work, self.installed = work, installed
        module = SimpleNamespace(time=lambda: self.wall, monotonic=lambda: self.up, sleep=self.sleep,
                                 clock_settime=self.set, CLOCK_REALTIME=0)  # fmt: skip
        monkeypatch.setattr(remote_night, "time", module)
        monkeypatch.setattr(remote_night, "at_work", lambda: any(a <= self.at < b for a, b in work))
        monkeypatch.setattr(remote_night, "touched", lambda _since: any(a <= self.at for a, _ in work))
        monkeypatch.setattr(remote_night, "version", self.version)

    @property
    def at(self) -> float:
        return self.wall - self.minute

    def set(self, _clock: int, moment: float) -> None:
        self.wall = moment

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.up += seconds

    def version(self, _package: str) -> str:
        return "2" if self.installed is not None and self.at >= self.installed else "1"

    def live(self, *, wait: bool = True) -> dict[str, Any]:
        return remote_night.live(self.minute, "p", {"lead": 70, "late": 150, "limit": 300}, wait=wait)


def test_a_night_ends_soon_after_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch, [(2, 30)], installed=25)
    told = night.live()
    assert 25 <= told["installed"] <= 27
    assert 30 < night.at < 50
    assert (told["drift"], told["busy"], told["version"]) == (0, False, "2")


@pytest.mark.parametrize(
    ("work", "installed", "wait", "end"),
    [
        ([], None, True, 150),  # nothing at all
        ([(3, 20)], None, True, 300),  # looked for updates and installed none
        ([(3, 20), (200, 230)], 220, True, 235),  # installs three minutes later
        ([(3, 20)], None, False, 65),  # the night after, when nothing is wanted
        ([(-60, -50), (40, 60)], 55, True, 65),  # lists read before, installed after
        ([(3, 900)], None, True, 600),  # never ends
    ],
)
def test_how_long_a_night_is(
    work: list[tuple[float, float]], installed: float | None, wait: bool, end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(monkeypatch, work, installed)
    told = night.live(wait=wait)
    assert end - 2 <= night.at <= end + 12
    assert (told["installed"] is None) == (installed is None)
    assert told["busy"] == (end == 600)


def test_what_comes_in_the_night_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_night, "KEPT", (str(tmp_path / "a"),))
    monkeypatch.setattr(remote_night, "LEFT_ALONE", (str(tmp_path / "a/dpkg"),))
    for name in ("a/dpkg", "a/b"):
        (tmp_path / name).mkdir(parents=True)
    kept, gone, changed = (tmp_path / "a/b" / name for name in ("kept", "gone", "changed"))
    for path in (kept, gone, changed):
        path.write_text("before")
    gone.chmod(0o640)
    trees = remote_night.Trees()
    gone.unlink()
    changed.write_text("after")
    (tmp_path / "a/new/deeper").mkdir(parents=True)
    (tmp_path / "a/new/deeper/copy").write_text("x")
    (tmp_path / "a/dpkg/status").write_text("x")
    trees.put_back()
    assert {path.name: path.read_text() for path in (kept, gone, changed)} == dict.fromkeys(
        ("kept", "gone", "changed"), "before"
    )
    assert gone.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "a/new").exists()
    assert (tmp_path / "a/dpkg/status").exists()


def test_the_state_of_a_package_is_read_as_dpkg_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: pp\nStatus: install ok installed\nVersion: 9\n\n"
        "Package: p\nStatus: hold ok installed\nDepends: x: y\nVersion: 1.2-1\nDescription: d\n Version: 7\n\n"
        "Package: q\nStatus: install ok half-configured\nVersion: 3\n"
    )
    monkeypatch.setattr(remote_night, "STATUS", status)
    assert remote_night.stanza("p") == ("hold", "1.2-1")
    assert remote_night.version("q") == ""
    assert remote_night.stanza("r") == ("", "")


def test_the_minute_that_comes_next() -> None:
    now = time.time()
    for moment in ("00:00", "04:17", "23:59"):
        when = remote_night.next_minute(moment, 90)
        assert now + 90 <= when + 1
        assert when <= now + 90 + 90_000
        assert time.strftime("%H:%M:%S", time.localtime(when)) == f"{moment}:00"


GOOD_NIGHT = {"installed": 40.2, "version": "", "worked": True, "stall": 1.2, "drift": 0.0, "busy": False}
GOOD = {
    "before": VERSION, "data": True, "left": [], "night": GOOD_NIGHT, "converted": True,
    "back": {"status": 0, "said": "", "late": False}, "after": {"version": VERSION, "changed": [], "works": True},
    "next": {**GOOD_NIGHT, "installed": None, "version": VERSION},
}  # fmt: skip


def judged(check: Any, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Expect:
    monkeypatch.setattr(check_updates, "ask", lambda *_: answer)
    expect = Expect()
    check(BENCH, PROBE, cast("Login", None), expect, Deadline.after(5))
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
    [{"installed": None}, {"installed": -3.0}, {"version": "1.0"}],
)
def test_a_night_that_is_not_as_asked(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unmet):
        judged(check_updates.check_night, night_of(**changes), monkeypatch)


@pytest.mark.parametrize("changes", [{"drift": 600.0}, {"stall": 30.0}, {"busy": True}])
def test_a_night_that_says_nothing(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError):
        judged(check_updates.check_night, night_of(**changes), monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"back": {"status": 1, "said": "", "late": False}},
        {"back": {"status": None, "said": "No such file", "late": False}},
        {"after": {"version": "9", "changed": [], "works": True}},
        {"after": {"version": VERSION, "changed": ["/var/lib/x/releves"], "works": True}},
        {"after": {"version": VERSION, "changed": [], "works": False}},
        {"next": {**GOOD_NIGHT, "version": "9"}},
        {"converted": False},
    ],
)
def test_a_way_back_that_does_not_lead_back(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unmet):
        judged(check_updates.check_way_back, {**night_of(), **changes}, monkeypatch)


def test_what_was_not_put_back_is_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError, match="not put back"):
        judged(check_updates.check_night, {**night_of(), "left": ["version"]}, monkeypatch)
    late = {"status": None, "said": "pas terminé", "late": True}
    with pytest.raises(ProbeError, match="did not end"):
        judged(check_updates.check_way_back, {**night_of(), "back": late}, monkeypatch)


def test_the_programs_are_whole_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    one = remote.errand("remote_night", {"word": "l'été"})
    monkeypatch.setattr(programs, "run_errand", lambda *_: asked.append(1) or '\n{"before": ""}\n\n')
    login = cast("Login", SimpleNamespace(notebook=Notebook(), answers={}))
    login.notebook.begin(5)
    for _ in range(2):
        assert remote.ask(login, "remote_night", {"a": 1}, Deadline.after(5)) == {"before": ""}
    assert len(asked) == 1
    subprocess.run(["sh", "-n"], input=one.program, text=True, check=True)
    subprocess.run(["sh", "-n"], input=check_updates.UPDATE.format(package="p", ending="fin"), text=True, check=True)
    monkeypatch.setattr(programs, "run_errand", lambda *_: "Traceback\n")
    login.answers.clear()
    with pytest.raises(ProbeError, match="gave no answer"):
        remote.ask(login, "remote_night", {"a": 1}, Deadline.after(5))


# --- the clock ---


def test_a_clock_that_is_known_too_badly_is_no_mark() -> None:
    class Slow(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            return {"offset": 1.5, "within": 1.4}

    with pytest.raises(ProbeError, match="too slowly"):
        check_session.clock_offset(BENCH, cast("ProbeClient", Slow()), cast("Login", None), 200)


def test_a_machine_that_hides_its_clock_is_asked_itself() -> None:
    class Silent(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            return {"offset": None, "within": None} if probe == "clock.offset" else 1000.0

    login = cast("Login", lambda _node: SimpleNamespace(check_output=lambda _: "1200.25"))
    assert check_session.clock_offset(BENCH, cast("ProbeClient", Silent()), login, 200) == 0.25
