"""The program that leaves files among the exchanges of the lab poste, and what the check makes of its answer."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from graders.cp02_workstation import check_protection, remote_drop
from graders.expect import Expect, Unmet
from tests.unit.poste_world import BENCH, PROBE

AS_ON_A_MACHINE = remote_drop.PERSON


@pytest.fixture(autouse=True)
def _nobody_waits_for_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anybody else than us let into a folder of the tests."""
    monkeypatch.setattr(remote_drop, "WATCHED", 0.05)
    monkeypatch.setattr(remote_drop, "PERSON", {})


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


def test_files_are_left_and_read_by_somebody_who_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """An antivirus may leave root alone; who is not root here leaves and reads them as who they are."""
    person = AS_ON_A_MACHINE if os.geteuid() == 0 else {}
    monkeypatch.setattr(remote_drop, "PERSON", person)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        remote_drop.write(folder / "s", b"a\0b")
        stat = (folder / "s").stat()
        assert (stat.st_uid, stat.st_mode & 0o777) == (person.get("user", os.geteuid()), 0o666)
        assert remote_drop.read(folder / "s") == b"a\0b"
        os.chown(folder / "s", os.geteuid(), os.getegid())
        (folder / "s").chmod(0o600)
        assert remote_drop.read(folder / "s") == (None if os.geteuid() == 0 else b"a\0b")
        assert remote_drop.read(folder / "absent") is None


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
