"""The lab poste as data, the programs that run on its workstation, and what the checks make of what was seen."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import programs
from graders.cp02_workstation import (
    check_protection,
    check_session,
    check_updates,
    remote,
    remote_drop,
    remote_keep,
    remote_night,
    remote_state,
)
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
CENTRE = str(BENCH.values["lan_centre"])
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


@pytest.fixture(autouse=True)
def _nobody_waits_for_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_drop, "WATCHED", 0.05)


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


def stop_by_mode(place: Path, bad: set[bytes], mode: int, over: threading.Event) -> None:
    """Take the rights on what is bad, as an antivirus's hook does; everything is bad when nothing is named."""
    while not over.wait(0.02):
        for path in [one for one in place.rglob("*") if one.is_file()]:
            with contextlib.suppress(OSError):
                if not bad or path.read_bytes() in bad:
                    path.chmod(mode)


@pytest.mark.parametrize(
    ("mode", "everything", "unmet"),
    [(0o000, False, ""), (0o600, False, ""), (0o644, False, "encore lisible"), (0o000, True, "modifié ou retiré")],
)
def test_what_root_alone_may_read_is_stopped(
    mode: int, everything: bool, unmet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    place = tmp_path / "echanges"
    place.mkdir()
    monkeypatch.setattr(remote_drop, "LOOK", 0.1)
    files = check_protection.sample_files(BENCH, PROBE, "dépôt")
    bad = set() if everything else {one.content for one in files if one.dangerous} | {b"nouveau"}
    over = threading.Event()
    thread = threading.Thread(target=stop_by_mode, args=(place, bad, mode, over))
    thread.start()
    try:
        told = drop(tmp_path, capsys, **({} if unmet == "encore lisible" else {"limit": 20, "fresh_limit": 40}))
    finally:
        over.set()
        thread.join()
    expect = Expect()
    check_protection.judge(told, files, expect)
    with pytest.raises(Unmet, match=unmet) if unmet else contextlib.nullcontext():
        expect.conclude()
    assert (told["fresh"] is None) == (unmet == "encore lisible")


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "people"),
    [(0o640, 0, 0, False), (0o640, 0, 1000, True), (0o400, 1000, 0, True), (0o004, 0, 0, True), (0o222, 7, 7, False)],
)
def test_who_may_read_a_file(mode: int, uid: int, gid: int, people: bool) -> None:
    stat = cast("os.stat_result", SimpleNamespace(st_mode=0o100000 | mode, st_uid=uid, st_gid=gid))
    assert remote_drop.open_to_people(stat) == people


def test_a_new_folder_is_left_alone_before_its_first_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, empty = tmp_path / "echanges", []
    place.mkdir()
    monkeypatch.setattr(remote_drop, "WATCHED", 3.0)

    def sleep(seconds: float) -> None:
        if seconds == 3.0:
            empty.extend(list(one.iterdir()) for one in place.iterdir())

    monkeypatch.setattr(remote_drop, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    drop(tmp_path, capsys, limit=0.2, fresh_limit=0.3)
    assert empty == [[]]


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
        self.steps: dict[float, float] = {}
        """Somebody's client of time: seconds since the start of this machine -> what it puts the clock forward by."""
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
        self.wall += sum(self.steps.pop(at) for at in list(self.steps) if at <= self.up)

    def version(self, _package: str) -> str:
        return "2" if self.installed is not None and self.at >= self.installed else "1"

    def live(self, *, wait: bool = True) -> dict[str, Any]:
        late, least = (150.0, 300.0) if wait else (150.0, 45.0)
        return remote_night.live(self.minute, "p", remote_night.Span(70, late, least, 600), 5.0)


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


@pytest.mark.parametrize("every", [60, 1])
def test_a_clock_that_somebody_else_sets_ends_the_night_at_once(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of time from cron takes the clock back, a minute later or all the time."""
    night = Night(monkeypatch, [], None)
    night.steps = {50.0 + every * count: -900_000.0 if count == 1 else 0.0 for count in range(1, 100)}
    told = night.live()
    assert night.up < 50 + every + 5
    assert abs(told["drift"]) > check_updates.DRIFT
    with pytest.raises(ProbeError, match="did not stay"):
        check_updates.sound(told)


def test_a_clock_that_is_slowed_does_not_hold_the_night_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch, [], None)
    night.sleep = lambda seconds: setattr(night, "up", night.up + seconds)  # type: ignore[method-assign]
    module = SimpleNamespace(time=lambda: night.wall + 4 * (night.up % 2), monotonic=lambda: night.up,
                             sleep=night.sleep, clock_settime=night.set, CLOCK_REALTIME=0)  # fmt: skip
    monkeypatch.setattr(remote_night, "time", module)
    monkeypatch.setattr(remote_night, "version", lambda _package: "1")
    remote_night.live(night.minute, "p", remote_night.Span(70, 150, 300, 600), drifted=1000.0)
    assert night.up <= 50 + 70 + 600 + 2


class Lived(Night):
    """A machine whose clock is moved from minute to minute, and what its updates do at some moments of a day.

    `jobs`: seconds from midnight, UTC -> what is done then, at work for ten seconds.
    """

    MINUTE = 4 * 3600 + 17 * 60

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jobs: dict[int, Any], tmp_path: Path) -> None:
        super().__init__(monkeypatch, [], None)
        self.jobs, self.have, self.known, self.held, self.busy = jobs, "1", "1", False, 0.0
        self.aged: list[float] = []
        self.data = tmp_path / "releves"
        self.data.write_text("before")
        monkeypatch.setattr(remote_night, "at_work", lambda: self.up < self.busy)
        monkeypatch.setattr(remote_night, "touched", lambda _since: False)
        monkeypatch.setattr(remote_night, "version", lambda _package: self.have)
        monkeypatch.setattr(remote_night, "schedule", lambda: {"a.timer": "active"})
        monkeypatch.setattr(remote_night, "go_back", self.go_back)
        monkeypatch.setattr(remote_night, "next_minute", self.next_minute)
        monkeypatch.setattr(remote_night.Stamps, "age", self.aged.append)

    def set(self, clock: int, moment: float) -> None:
        """systemd starts at once what the clock is put beyond; what the clock is put before is waited for again."""
        crossed = [job for at, job in self.jobs.items() if (moment - at) // 86400 > (self.wall - at) // 86400]
        super().set(clock, moment)
        for job in crossed:
            self.busy = self.up + 10
            job(self)

    def next_minute(self, _moment: str, margin: float) -> float:
        day = self.wall - self.wall % 86400 + self.MINUTE
        return day if day >= self.wall + margin else day + 86400

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if job := self.jobs.get(int(self.wall % 86400)):
            self.busy = self.up + 10
            job(self)

    def update(self) -> None:
        self.known = "2"

    def upgrade(self) -> None:
        if not self.held:
            self.have = self.known
            self.data.write_text(self.have)

    def both(self) -> None:
        self.update()
        self.upgrade()

    def go_back(self, _program: str) -> dict[str, Any]:
        self.have = "1"
        self.data.write_text("before")
        return {"status": 0, "said": "", "late": False}

    def trial(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        wanted = {"package": "p", "version": "1", "data": str(self.data), "files": [], "program": "/bin/true",
                  "minute": "04:17", "back": "x", "lead": 70, "late": 150, "limit": 300, "apart": check_updates.APART,
                  "early_lead": 15, "early_late": 90, "drift": 5.0}  # fmt: skip
        remote_night.trial(wanted, told)
        return told


MINUTE = Lived.MINUTE


def test_nothing_is_installed_two_hours_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lists may be read again each hour; what is installed each hour, or every other hour, is too early."""
    refresh = dict.fromkeys(range(17 * 60, 86400, 3600), Lived.update)
    told = Lived(monkeypatch, {**refresh, MINUTE: Lived.both}, tmp_path).trial()
    assert told["early"]["installed"] is None
    assert 0 <= told["night"]["installed"] <= 2
    for hours in (1, 2):
        machine = Lived(monkeypatch, dict.fromkeys(range(17 * 60, 86400, hours * 3600), Lived.both), tmp_path)
        told = machine.trial()
        assert -7215 <= told["night"]["installed"] <= -7198
        assert {"converted", "back", "next"} <= told.keys()


@pytest.mark.parametrize("before", [10, 60, 3600, 7200, 7300, 43200, 86390])
def test_the_clock_is_never_put_beyond_a_minute_of_updates(
    before: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Lived(monkeypatch, {MINUTE: Lived.both}, tmp_path)
    machine.wall = 1_000_000 - 1_000_000 % 86400 + MINUTE - before
    told = machine.trial()
    assert told["early"]["installed"] is None
    assert 0 <= told["night"]["installed"] <= 2


def test_the_trial_too_early_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Lived(monkeypatch, {MINUTE: Lived.both}, tmp_path)
    machine.live_through = []  # type: ignore[attr-defined]
    live = remote_night.live

    def timed(*arguments: Any) -> dict[str, Any]:
        began = machine.up
        told = live(*arguments)
        machine.live_through.append(machine.up - began)  # type: ignore[attr-defined]
        return told

    monkeypatch.setattr(remote_night, "live", timed)
    machine.trial()
    early, night, after = machine.live_through  # type: ignore[attr-defined]
    assert early <= 110
    assert night <= 100
    assert after <= 140


def test_the_night_after_is_long_enough_for_the_same_updates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lists at the minute, the rest two minutes later, nothing held: it comes again as late as it came."""
    jobs = {MINUTE: Lived.update, MINUTE + 120: Lived.upgrade}
    told = Lived(monkeypatch, jobs, tmp_path).trial()
    assert 120 <= told["night"]["installed"] <= 122
    assert told["next"]["version"] == "2"
    held = Lived(monkeypatch, jobs, tmp_path)
    back = held.go_back
    monkeypatch.setattr(remote_night, "go_back", lambda program: (setattr(held, "held", True), back(program))[1])
    assert held.trial()["next"]["version"] == "1"


def test_the_stamps_of_apt_are_of_two_days_before_each_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Lived(monkeypatch, {MINUTE: Lived.both}, tmp_path)
    machine.trial()
    early, night, after = machine.aged
    assert night - early == check_updates.APART
    assert after - night == 86400


def test_what_apt_noted_of_its_last_day_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keep, "PERIODIC", tmp_path)
    old, gone = tmp_path / "update-stamp", tmp_path / "upgrade-stamp"
    for path in (old, gone):
        path.touch()
        os.utime(path, (5e8, 5e8))
    stamps = remote_keep.Stamps()
    remote_keep.Stamps.age(6e8)
    assert old.stat().st_mtime == 6e8 - 2 * 86400
    gone.unlink()
    (tmp_path / "download-upgradeable-stamp").touch()
    stamps.put_back()
    assert {path.name: path.stat().st_mtime for path in tmp_path.iterdir()} == dict.fromkeys((old.name, gone.name), 5e8)


def test_nothing_stays_dated_in_the_future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keep, "KEPT", (str(tmp_path),))
    for name, moment in (("past", 5e8), ("future", 3e9)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    remote_keep.undate(1e9)
    assert [(tmp_path / name).stat().st_mtime for name in ("past", "future")] == [5e8, 1e9]


def test_links_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer is enabled by a link: `systemctl disable` and `mask` change nothing else."""
    monkeypatch.setattr(remote_keep, "KEPT", (str(tmp_path),))
    wants, unit = tmp_path / "timers.target.wants", tmp_path / "maj.timer"
    wants.mkdir()
    unit.write_text("[Timer]")
    (wants / "maj.timer").symlink_to(unit)
    trees = remote_keep.Trees()
    (wants / "maj.timer").unlink()
    wants.rmdir()
    unit.unlink()
    unit.symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/new").symlink_to("/etc")
    trees.put_back()
    assert (wants / "maj.timer").readlink() == unit
    assert unit.read_text() == "[Timer]"
    assert not unit.is_symlink()
    assert not (tmp_path / "folder").exists()


def test_what_schedules_is_put_back_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(remote_keep, "active_units", lambda: {"cron.service", "kept.timer", "new.timer"})
    monkeypatch.setattr(remote_keep, "run", lambda *command: asked.append(command) or 0)
    keep = remote_keep.Keep.__new__(remote_keep.Keep)
    keep.units = {"cron.service", "kept.timer", "maj.timer", "atd.service"}
    keep._put_units_back()
    assert asked == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "start", "atd.service", "maj.timer"),
        ("systemctl", "stop", "new.timer"),
        ("systemctl", "try-restart", "atd.service", "cron.service"),
    ]


def test_what_is_planned_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cron, timer = tmp_path / "maj", tmp_path / "maj.timer"
    cron.write_text("17 4 * * * root nuit\n")
    timer.symlink_to("/etc/systemd/system/maj.timer")
    monkeypatch.setattr(remote_state, "PLANS", (f"{tmp_path}/**/maj*"[1:],))
    listed = "maj.timer loaded active waiting Mise à jour\ncron.service loaded active running x\nssh.service loaded\n"
    monkeypatch.setattr(remote_state.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=listed))
    before = remote_state.schedule()
    assert before["maj.timer"] == before["cron.service"] == "active"
    assert before[str(timer)] == "/etc/systemd/system/maj.timer"
    assert "ssh.service" not in before
    cron.write_text("")
    assert [name for name, what in remote_state.schedule().items() if before[name] != what] == [str(cron)]


@pytest.mark.parametrize("host", ["10.1.2.5", "miroir.ville.test", "10.1.2.5:80"])
def test_what_apt_knows_of_the_mirror_is_found_by_its_suite(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [tmp_path / f"{host}_dists_agence_{end}" for end in ("InRelease", "main_binary-amd64_Packages")]
    for path in (*ours, tmp_path / "deb.debian.org_dists_trixie_InRelease"):
        path.touch()
    monkeypatch.setattr(remote_keep, "LISTS", tmp_path)
    keep = remote_keep.Keep.__new__(remote_keep.Keep)
    keep.suite = check_updates.SUITE
    assert sorted(keep._lists()) == sorted(ours)


class Dpkg:
    """A machine whose dpkg refuses while its lock is held, until `free` seconds, and says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: float, seen: bool) -> None:
        self.up, self.free, self.state, self.version = 0.0, free, "hold", "1"
        module = SimpleNamespace(monotonic=lambda: self.up, sleep=self.sleep)
        monkeypatch.setattr(remote_keep, "time", module)
        monkeypatch.setattr(remote_keep, "at_work", lambda: seen and self.up < free)
        monkeypatch.setattr(remote_keep, "version", lambda _package: self.version)
        monkeypatch.setattr(remote_keep, "selection", lambda _package: self.state)
        monkeypatch.setattr(remote_keep, "said", self.said)
        self.keep = remote_keep.Keep.__new__(remote_keep.Keep)
        self.keep.package, self.keep.wanted, self.keep.selection = "p", "1", "install"

    def sleep(self, seconds: float) -> None:
        self.up += seconds

    def said(self, *command: str, given: str = "") -> str:
        assert command == ("dpkg", "--set-selections")
        assert given == "p install\n"
        if self.up < self.free:
            return "dpkg: error: dpkg frontend lock was locked by another process"
        self.state = "install"
        return ""


@pytest.mark.parametrize(("free", "seen"), [(0, False), (40, False), (200, True)])
def test_a_lock_that_is_held_when_the_package_is_put_back_is_waited_for(
    free: float, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Dpkg(monkeypatch, free, seen)
    assert machine.keep._put_package_back() == []
    assert machine.state == "install"
    assert machine.up <= free + 2 * remote_keep.PAUSE


@pytest.mark.parametrize(("seen", "why", "end"), [(False, "frontend lock", 60), (True, "apt encore à l'œuvre", 300)])
def test_a_lock_that_is_held_for_good_is_told(
    seen: bool, why: str, end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Dpkg(monkeypatch, 10_000, seen)
    (left,) = machine.keep._put_package_back()
    assert left.startswith("état du paquet (")
    assert why in left
    assert machine.up <= end + remote_keep.PAUSE


def test_what_comes_in_the_night_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keep, "KEPT", (str(tmp_path / "a"),))
    monkeypatch.setattr(remote_keep, "LEFT_ALONE", (str(tmp_path / "a/dpkg"),))
    for name in ("a/dpkg", "a/b"):
        (tmp_path / name).mkdir(parents=True)
    kept, gone, changed = (tmp_path / "a/b" / name for name in ("kept", "gone", "changed"))
    for path in (kept, gone, changed):
        path.write_text("before")
    gone.chmod(0o640)
    trees = remote_keep.Trees()
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
    monkeypatch.setattr(remote_state, "STATUS", status)
    assert remote_state.stanza("p") == ("hold", "1.2-1")
    assert remote_state.version("q") == ""
    assert remote_state.stanza("r") == ("", "")


def test_the_minute_that_comes_next() -> None:
    now = time.time()
    for moment in ("00:00", "04:17", "23:59"):
        when = remote_night.next_minute(moment, 90)
        assert now + 90 <= when + 1
        assert when <= now + 90 + 90_000
        assert time.strftime("%H:%M:%S", time.localtime(when)) == f"{moment}:00"


GOOD_NIGHT = {"installed": 40.2, "version": "", "worked": True, "stall": 1.2, "drift": 0.0, "busy": False}
AFTER = {"version": VERSION, "changed": [], "works": True, "unplanned": []}
NEXT = {**GOOD_NIGHT, "installed": None, "version": VERSION}
GOOD = {
    "before": VERSION, "data": True, "left": [], "early": {**GOOD_NIGHT, "installed": None}, "night": GOOD_NIGHT,
    "converted": True, "back": {"status": 0, "said": "", "late": False},
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
        {"back": {"status": 1, "said": "", "late": False}},
        {"back": {"status": None, "said": "No such file", "late": False}},
        {"after": {"version": "9", "changed": [], "works": True, "unplanned": []}},
        {"after": {"version": VERSION, "changed": ["/var/lib/x/releves"], "works": True, "unplanned": []}},
        {"after": {"version": VERSION, "changed": [], "works": False, "unplanned": []}},
        {"next": {**GOOD_NIGHT, "version": "9"}},
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
    for module in ("remote_night", "remote_drop"):
        source = programs.source(Path(str(remote.__file__)).with_name(f"{module}.py"))
        compile(source, module, "exec")
        assert "graders" not in source
        assert source.count("def at_work(") == (module == "remote_night")
    nobodys = remote.errand("remote_night", {"package": "plateau-inconnu", "data": "/nonexistent", "version": "1"})
    told = subprocess.run(["sh"], input=nobodys.program, text=True, capture_output=True, check=True)
    assert json.loads(told.stdout.split("\n")[0]) == {"before": "", "data": False}, told.stderr
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


@pytest.mark.parametrize(
    ("looks", "kept"),
    [
        ([[70.0, 68.0, 6.0]], True),
        ([[20.0, 18.0], [29.0, 27.0], [64.0, 62.0, 0.4], [69.0, 5.4], [70.0, 6.4]], True),  # chrony, looked at early
        ([[70.0, 68.0, 66.0]], False),  # `chronyd -q` at the start
        ([[900.0, 6.0]], False),  # one since the start, one before it
    ],
)
def test_the_clock_is_kept_right_by_one_who_goes_on_asking(
    looks: list[list[float]], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Centre(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            if probe == "clock.offset":
                return {"offset": 0.1, "within": 0.1}
            ages = looks.pop(0) if len(looks) > 1 else looks[0]
            return [*([age, "ntp", ""] for age in ages), [1.0, "http", "x"]]

    monkeypatch.setattr(check_session, "LOOK", 0.02)
    login = cast("Login", lambda _node: SimpleNamespace(check_output=lambda _: "100.0"))
    expect, probe = Expect(), cast("ProbeClient", Centre())
    check_session.check_clock(BENCH, probe, login, expect, Deadline.after(2), Deadline.after(0.5))
    with contextlib.nullcontext() if kept else pytest.raises(Unmet, match="interrogé encore"):
        expect.conclude()


def test_a_session_that_does_not_open_in_time_is_no_failure() -> None:
    slow = SimpleNamespace(run=lambda _: SimpleNamespace(rc=124, stdout=""))
    with pytest.raises(ProbeError, match="had not opened"):
        check_session.check_session(cast("Login", lambda _node: slow), Expect())


# --- where updates come from ---


class Workstation:
    """A workstation whose apt proposes what is published, from a site that it knows the address of."""

    def __init__(self, site: str, hosts: str = "", now: str = "12:00:00") -> None:
        self.site, self.hosts, self.now = site, hosts, now

    def __call__(self, _node: str) -> Any:
        return SimpleNamespace(run=self.run, check_output=lambda _: self.now)

    def run(self, command: str, site: str) -> Any:
        assert command.startswith("timeout 15 getent ahostsv4 ")
        lines = [f"{self.hosts} {kind} {site}" for kind in ("STREAM", "DGRAM")] if self.hosts else []
        return SimpleNamespace(rc=124 if self.hosts == "never" else 0 if self.hosts else 2, stdout="\n".join(lines))

    def told(self, *_: Any) -> str:
        fresh = check_updates.fresh_version(BENCH, PROBE, "source")
        return f"statut 0\ninstallee {VERSION}\nproposee {fresh} {self.site}\n"

    def judged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(check_updates, "run_errand", self.told)
        expect = Expect()
        check_updates.check_source(BENCH, PROBE, cast("Login", self), expect, Deadline.after(5))
        expect.conclude()


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
