"""The lab continuite: what a backup is worth, and the program that looks into one."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from graders import programs
from graders.cp09_directory import check_backup, remote_backup
from graders.cp09_directory.pair import NEW
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from tests.unit.lab_data import bench_of

BENCH = bench_of("continuite", 0)
BASE = str(BENCH.values["base_dn"])


CANARY = {"description": "mot", "pwdLastSet": "13", "msDS-KeyVersionNumber": "1", "unicodePwd": "ab"}
LIVE_CANARY = {**CANARY, "description": "changé après la sauvegarde"}
SAME = {"live": 12, "restored": 12, "missing": [], "more": []}
RAN = {"status": 0, "said": "", "late": False, "pace": 0.0, "seconds": 3.0}
FOUND = {"bases": 1, "domain": BASE, "people": SAME, "groups": SAME, "word": "mot", "hash": "ab",
         "canary": {"live": LIVE_CANARY, "restored": CANARY}}  # fmt: skip
ARCHIVE = {"name": "a.tgz", "mode": "600", "owner": 0, "size": 9, "regular": True}
REFUSED = {**RAN, "status": 1}
TOLD = {"left": "", "save": RAN, "files": [ARCHIVE], "changed": "", "restore": RAN, "served": True, "found": FOUND,
        "bad": {"half": REFUSED, "strange": REFUSED, "absent": REFUSED}}  # fmt: skip


def without(canary: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in canary.items() if key != name}


def conclude(told: dict[str, Any]) -> None:
    """The check of the backup, to its end."""
    expect = Expect()
    check_backup.judge_backup(told, BASE, expect)
    expect.conclude()


def test_a_backup_that_is_one() -> None:
    expect = Expect()
    check_backup.judge_backup(TOLD, BASE, expect)
    check_backup.judge_refusals(TOLD, expect)
    expect.conclude()


@pytest.mark.parametrize(
    "changes",
    [
        {"save": {**RAN, "status": 1, "said": "disk full"}},
        {"save": {**RAN, "status": None, "said": "No such file or directory"}},
        {"files": []},
        {"files": [ARCHIVE, ARCHIVE]},
        {"files": [{**ARCHIVE, "mode": "644"}]},
        {"files": [{**ARCHIVE, "owner": 1000}]},
        {"restore": {**RAN, "status": None, "late": True}},
        {"served": False},
        {"found": {**FOUND, "canary": {"live": CANARY, "restored": CANARY}}},
        {"found": {"bases": 0}},
        {"found": {"bases": 1, "problem": "not a database"}},
        {"found": {**FOUND, "domain": "DC=autre,DC=test"}},
        {"found": {**FOUND, "people": {**SAME, "restored": 11, "missing": ["lea"]}}},
        {"found": {**FOUND, "groups": {**SAME, "more": ["GG_Ancien"]}}},
        {"found": {**FOUND, "canary": {"live": LIVE_CANARY, "restored": {}}}},
        {"found": {**FOUND, "canary": {"live": LIVE_CANARY, "restored": LIVE_CANARY}}},
        {"found": {**FOUND, "canary": {"live": LIVE_CANARY, "restored": {**CANARY, "pwdLastSet": "12"}}}},
        {"found": {**FOUND, "canary": {"live": LIVE_CANARY, "restored": without(CANARY, "unicodePwd")}}},
    ],
)
def test_a_backup_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(Unmet):
        conclude({**TOLD, **changes})


@pytest.mark.parametrize("one", [{**RAN}, {**RAN, "status": None, "late": True}])
def test_an_archive_that_should_have_been_refused(one: dict[str, Any]) -> None:
    expect = Expect()
    check_backup.judge_refusals({"bad": {**TOLD["bad"], "half": one}}, expect)
    with pytest.raises(Unmet, match="archive tronquée"):
        expect.conclude()


@pytest.mark.parametrize(
    "changes",
    [{"left": "/var/tmp/controle-x"}, {"changed": "ldb: locked"},
     {"found": {**FOUND, "canary": {"live": without(LIVE_CANARY, "unicodePwd"), "restored": CANARY}}}],
)  # fmt: skip
def test_a_backup_that_could_not_be_measured(changes: dict[str, Any]) -> None:
    with pytest.raises(ProbeError):
        check_backup.judge_backup({**TOLD, **changes}, BASE, Expect())


class Sam:
    """A base in a file of ours: JSON instead of LDB."""

    def __init__(self, path: Path) -> None:
        self.path, self.domain = path, str(json.loads(path.read_text())["domain"])

    def names(self, wanted: str) -> dict[str, str]:
        return dict(json.loads(self.path.read_text())["groups" if "group" in wanted else "people"])

    def canary(self, name: str) -> dict[str, str]:
        return dict(json.loads(self.path.read_text())["canary"])

    def describe(self, name: str, description: str) -> None:
        held = json.loads(self.path.read_text())
        held["canary"]["description"] = description
        self.path.write_text(json.dumps(held))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A controller of ours, its base and two programs that do what the subject asks."""
    live = tmp_path / "live" / "sam.ldb"
    live.parent.mkdir()
    live.write_text(json.dumps({"domain": BASE, "people": {"1": "lea"}, "groups": {"2": "GG"}, "canary": CANARY}))
    monkeypatch.setattr(remote_backup, "LIVE", str(live))
    daemon = tmp_path / "samba.pid"
    daemon.write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(remote_backup, "DAEMON", daemon)
    monkeypatch.setattr(remote_backup, "Base", lambda path: Sam(Path(path)))
    monkeypatch.setattr(remote_backup, "nt_hash", lambda _password: "ab")
    save, restore = tmp_path / "sauver", tmp_path / "restaurer"
    save.write_text(f'#!/bin/sh\nset -e\numask 077\ntar czf "$1/a.tgz" -C {live.parent} .\n')
    restore.write_text('#!/bin/sh\nset -e\ntar xzf "$1" -C "$2"\n')
    for program in (save, restore):
        program.chmod(0o755)
    return {"folder": str(tmp_path), "save": str(save), "restore": str(restore), "limit": 20, "canary": "temoin",
            "word": "mot", "password": "p"}  # fmt: skip


def drill(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    remote_backup.main(json.dumps(asked))
    return dict(json.loads(capsys.readouterr().out))


def test_a_drill_leaves_nothing_and_sees_what_was_restored(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    told = drill(asked, capsys)
    assert (told["left"], told["changed"]) == ("", "")
    assert [one["mode"] for one in told["files"]] == ["600"]
    assert told["found"]["canary"]["restored"]["description"] == "mot"
    assert told["found"]["canary"]["live"]["description"] == remote_backup.AFTERWARDS
    assert all(one["status"] not in {0, None} for one in told["bad"].values())
    assert not list(Path(asked["folder"]).glob("controle-*"))
    expect = Expect()
    archive = {**told["files"][0], "owner": 0}  # the tests may not run as root
    check_backup.judge_backup({**told, "files": [archive]}, BASE, expect)
    check_backup.judge_refusals(told, expect)
    expect.conclude()


@pytest.mark.parametrize(
    ("save", "restore", "words"),
    [
        ("exit 3", "", "sauvegarde"),
        ('cp "$0" "$1/x"; cp "$0" "$1/y"', "", "fichiers que"),
        ("", 'cp -r "${LIVE%/*}/." "$2"', "description du témoin"),
        ("", "exit 0", "bases d'annuaire"),
        ("", 'tar xzf "$1" -C "${LIVE%/*}"; tar xzf "$1" -C "$2"', "domaine en service"),
        ('tar czf "$1/a" -C "${LIVE%/*}" .; echo 1 >"${LIVE%/*/*}/samba.pid"', 'tar xzf "$1" -C "$2"', "relancé"),
        ("sleep 60", "", "pas terminée"),
    ],
)
def test_programs_that_do_something_else(
    asked: dict[str, Any], save: str, restore: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, body in (("save", save), ("restore", restore)):
        if body:
            Path(asked[name]).write_text(f"#!/bin/sh\nLIVE={remote_backup.LIVE}\n{body}\n")
    told = drill({**asked, "limit": 1 if "sleep" in save else 20}, capsys)
    told["files"] = [{**one, "owner": 0, "mode": "600"} for one in told["files"]]
    with pytest.raises(Unmet, match=words):
        conclude(told)


def test_the_program_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    one = programs.errand(NEW, check_backup.PROGRAM, {"word": "l'été"})
    assert one.node == NEW
    subprocess.run(["sh", "-n"], input=one.program, text=True, check=True)
    ast.parse(check_backup.PROGRAM.read_text())


def test_the_module_stands_alone() -> None:
    """It is piped to the machine: what it takes of ours is sent with it, and nothing of Samba's is at the top."""
    module = ast.parse(check_backup.PROGRAM.read_text())
    names = {one.module if isinstance(one, ast.ImportFrom) else one.names[0].name for one in module.body
             if isinstance(one, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert names <= {*sys.stdlib_module_names, "graders.remote_launch"}
    assert "from graders" not in programs.source(check_backup.PROGRAM)
    assert isinstance(remote_backup, ModuleType)
