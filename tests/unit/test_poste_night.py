"""The program that lives nights on the workstation of the lab poste, and puts everything back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graders.cp02_workstation import check_updates, remote_keep, remote_night, remote_state
from graders.probe_client import ProbeError
from tests.unit.poste_world import Dpkg, Lived, Night


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


@pytest.mark.parametrize("takes", [30, 87, 400])
def test_an_update_that_begins_too_early_does_not_end_on_time(takes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned for some minutes before, it is started as soon as the clock is put beyond, and may take minutes."""
    night = Night(monkeypatch, [], None)
    monkeypatch.setattr(remote_night, "at_work", lambda: night.up < 50 + takes)
    monkeypatch.setattr(remote_night, "version", lambda _package: "2" if night.up >= 50 + takes - 2 else "1")
    told = remote_night.live(night.minute, "p", remote_night.Span(70, 150, 300, 600, remote_night.BRINK), 5.0)
    assert told["installed"] < 0
    assert told["drift"] == 0


def test_a_search_that_ends_before_the_minute_is_no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch, [(-70, -30), (1, 40)], installed=30)
    told = remote_night.live(night.minute, "p", remote_night.Span(70, 150, 300, 600, remote_night.BRINK), 5.0)
    assert 30 <= told["installed"] <= 32


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


def test_nothing_stays_dated_in_the_future(tmp_path: Path) -> None:
    for name, moment in (("past", 5e8), ("future", 3e9)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    remote_keep.undate(1e9, [str(tmp_path)])
    assert [(tmp_path / name).stat().st_mtime for name in ("past", "future")] == [5e8, 1e9]


def test_folders_that_came_where_nobody_looked_are_taken_away(tmp_path: Path) -> None:
    kept, own = tmp_path / "kept", tmp_path / "sauvegardes"
    kept.mkdir()
    trees = remote_keep.Trees([str(kept)])
    (own / "2026-11-29").mkdir(parents=True)
    (own / "2026-11-29/releves").touch()
    assert trees.put_back([str(kept), str(own)]) == []
    assert not own.exists()


def test_what_cannot_be_put_back_is_told_and_the_rest_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    trees = remote_keep.Trees([str(tmp_path)])
    for name in ("a", "b"):
        (tmp_path / name).unlink()
    write = Path.write_bytes

    def refuse(path: Path, content: bytes) -> int:
        if path.name == "a":
            raise PermissionError(1, "Operation not permitted")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert trees.put_back() == [f"{tmp_path}/a (Operation not permitted)"]
    assert (tmp_path / "b").read_text() == "b"


def test_the_language_of_the_machine_is_that_of_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_night, "LANGUAGE", tmp_path / "locale")
    assert remote_night.language() == ""
    (tmp_path / "locale").write_text('# generated\nLANG="fr_FR.UTF-8"\n')
    assert remote_night.language() == "fr_FR.UTF-8"
    program = tmp_path / "back"
    program.write_text("#!/bin/sh\necho $LANG-$LC_ALL\n")
    program.chmod(0o755)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert remote_night.go_back(str(program))["said"] == "fr_FR.UTF-8-\n"


def test_a_program_that_root_alone_can_use_does_not_work_for_people(tmp_path: Path) -> None:
    program, readings = tmp_path / "releves", tmp_path / "data"
    readings.write_text("format=1")
    program.write_text(f"#!/bin/sh\ncat {readings}\n")
    program.chmod(0o755)
    before = remote_night.rights(str(readings))
    assert remote_night.works(str(program))
    readings.chmod(0o600)
    assert remote_night.rights(str(readings)) != before
    assert not remote_night.works(str(tmp_path / "absent"))
    assert remote_night.rights(str(tmp_path / "absent")) is None


def test_links_are_put_back(tmp_path: Path) -> None:
    """A timer is enabled by a link: `systemctl disable` and `mask` change nothing else."""
    wants, unit = tmp_path / "timers.target.wants", tmp_path / "maj.timer"
    wants.mkdir()
    unit.write_text("[Timer]")
    (wants / "maj.timer").symlink_to(unit)
    trees = remote_keep.Trees([str(tmp_path)])
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


def test_what_may_not_be_looked_at_does_not_end_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An antivirus forbids to read what it knows, to root too: a file that the candidate tried it with."""
    for name in ("bad", "good"):
        (tmp_path / name).write_text(name)

    def read(path: Path) -> bytes:
        if path.name == "bad":
            raise PermissionError(1, "Operation not permitted")
        return b"good"

    monkeypatch.setattr(Path, "read_bytes", read)
    trees = remote_keep.Trees([str(tmp_path)])
    assert trees.files[tmp_path / "good"][1] == b"good"
    trees.put_back()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]


def test_folders_of_the_root_that_debian_does_not_have_are_kept_too(tmp_path: Path) -> None:
    for name in ("etc", "usr", "sauvegarde", "mnt"):
        (tmp_path / name).mkdir()
    (tmp_path / "lien").symlink_to("/etc")
    assert remote_keep.own_folders(tmp_path, remote_keep.USUAL) == [
        f"{tmp_path}/{name}" for name in ("mnt", "sauvegarde")
    ]


def test_what_schedules_is_put_back_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(remote_keep, "active_units", lambda: {"cron.service", "kept.timer", "new.timer"})
    monkeypatch.setattr(remote_keep, "run", lambda *command: asked.append(command) or 0)
    monkeypatch.setattr(remote_keep, "renew_schedules", lambda: asked.append(("anew",)))
    keep = remote_keep.Keep.__new__(remote_keep.Keep)
    keep.units = {"cron.service", "kept.timer", "maj.timer", "atd.service"}
    keep._put_units_back()
    assert asked == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "start", "atd.service", "maj.timer"),
        ("systemctl", "stop", "new.timer"),
        ("anew",),
        ("systemctl", "try-restart", *remote_keep.ANTIVIRUS),
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
    monkeypatch.setattr(remote_keep, "LEFT_ALONE", (str(tmp_path / "a/dpkg"),))
    for name in ("a/dpkg", "a/b"):
        (tmp_path / name).mkdir(parents=True)
    kept, gone, changed = (tmp_path / "a/b" / name for name in ("kept", "gone", "changed"))
    for path in (kept, gone, changed):
        path.write_text("before")
    gone.chmod(0o640)
    trees = remote_keep.Trees([str(tmp_path / "a")])
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
