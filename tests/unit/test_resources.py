"""CP03-S4 and C3: what a visit of the shares from sessions on the workstation concludes."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import agency
from graders.cp03_connection import check_resources
from graders.cp03_connection.check_resources import END, VISITORS, Visit, rights
from graders.errand import LATE, Errand
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient

BENCH = bench_of("annuaire", 0)
LOGINS = {who: agency.person(BENCH, who).login for who in VISITORS}


class Shares:
    """The file server as SMB shows it: files of (share, name), with what is in them."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.stuck: set[str] = set()

    def nonce(self, _purpose: str) -> str:
        return "mot"

    def call(self, _name: str, _leg: str, **asked: Any) -> list[dict[str, str]]:
        return [self._act(*act) for act in asked["acts"]]

    def _act(self, login: str, verb: str, path: str, word: str) -> dict[str, str]:
        (who,) = [one for one, its in LOGINS.items() if its == login]
        right = agency.SHARES[path.partition("/")[0]][who]
        if right == agency.NOTHING or (verb != "read" and right != agency.WRITE):
            return {"state": "refused", "text": ""}
        if verb == "write":
            self.files[path] = word
        if verb != "write" and path not in self.files:
            return {"state": "ENOENT", "text": ""}
        if verb == "delete" and path in self.stuck:
            return {"state": "refused", "text": ""}
        found = self.files[path]
        if verb == "delete":
            del self.files[path]
        return {"state": "granted", "text": found + "\n"}


def session(shares: Shares, who: str, allowed: dict[str, str], *, local: bool = False) -> str:
    """What the session of somebody tells, whose shares are as `allowed`; `local`: writes stay on the workstation."""
    lines = ["mot-suivante", "Bonjour : la session-suivante est prête", "mot-ouverte"]
    for share, right in allowed.items():
        reads = right != agency.NOTHING and not local
        lines.append(f"lecture {share} {0 if reads else 1} {'mot' if reads else ''}")
        if right == agency.WRITE and not local:
            shares.files[f"{share}/mot-{LOGINS[who]}.txt"] = "mot"
        lines.append(f"ecriture {share} {0 if right == agency.WRITE or local else 1}")
    return "\n".join(lines) + "\n"


def due(who: str) -> dict[str, str]:
    return {share: table[who] for share, table in agency.SHARES.items()}


def graded(shares: Shares, told: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of what is not as it should be."""
    monkeypatch.setattr(check_resources, "run_errand", lambda *_: told)
    visit, expect = Visit(BENCH, cast("ProbeClient", shares), "mot"), Expect()
    assert visit.leave() == "oui"
    visit.compare(expect, visit.sessions(cast("Login", None), Deadline.after(5)))
    visit.clean()
    assert shares.files == {}, "nothing is left on srv"
    return [one.label for one in expect.comparisons if not one.ok]


def test_everybody_has_their_own_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    told = "".join(session(shares, who, due(who)) for who in VISITORS)
    assert graded(shares, told, monkeypatch) == []


def test_one_account_for_all_gives_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    told = "".join(session(shares, who, due("directrice")) for who in VISITORS)
    wrong = graded(shares, told, monkeypatch)
    assert f"direction : {LOGINS['commerciale']}, dans sa session sur ws" in wrong
    assert f"procedures : {LOGINS['technicien']}, dans sa session sur ws" in wrong
    assert f"commun : {LOGINS['stagiaire']}, dans sa session sur ws" in wrong
    assert len(wrong) == 6


def test_an_account_for_those_who_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    told = "".join(session(shares, who, due("commerciale" if who == "stagiaire" else who)) for who in VISITORS)
    wrong = graded(shares, told, monkeypatch)
    assert wrong == [f"{share} : {LOGINS['stagiaire']}, dans sa session sur ws" for share in ("commun", "procedures")]


def test_a_folder_of_the_workstation_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    told = "".join(session(shares, who, due(who), local=True) for who in VISITORS)
    wrong = graded(shares, told, monkeypatch)
    assert len(wrong) == 7, "all but the two shares that somebody has no right to"


def test_who_has_no_session_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    told = session(shares, "directrice", due("directrice")) + 3 * "mot-suivante\nstatut-1\n"
    assert len(graded(shares, told, monkeypatch)) == 9


def test_what_is_written_must_reach_the_server() -> None:
    told = "mot-ouverte\nlecture commun 0 mot\necriture commun 0\nlecture procedures 124 \necriture procedures 1\n"
    assert rights("lea", told, "mot", {}) == {
        ("commun", "lea"): "lecture ; ce qui est écrit n'arrive pas sur srv",
        ("procedures", "lea"): check_resources.SILENT,
    }
    commun = ("commun", "lea")
    assert rights("lea", told, "mot", {commun: check_resources.OWN})[commun] == agency.WRITE
    assert "autre compte" in rights("lea", told, "mot", {commun: check_resources.OTHER})[commun]
    other = told.replace("0 mot", "0 vieux")
    assert rights("lea", other, "mot", {commun: check_resources.OWN})[commun] == "écriture sans lecture"


def test_a_share_that_is_mounted_late_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = Shares()
    good = "".join(session(shares, who, due(who)) for who in VISITORS)
    late = good.replace("lecture commun 0 mot", "lecture commun 124 ")
    for answers, passes in (([late, good], True), ([late, late], False)):
        told = iter(answers)
        monkeypatch.setattr(check_resources, "run_errand", lambda *_, told=told: next(told))
        expect = Expect()
        arguments = (BENCH, cast("ProbeClient", shares), cast("Login", None), expect, Deadline.after(5))
        check_resources.check_resources(*arguments, lambda *_: None)
        with contextlib.nullcontext() if passes else pytest.raises(Unmet, match="pas de réponse"):
            expect.conclude()


def test_a_session_that_hangs_is_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeError, match="neither opened nor refused"):
        graded(Shares(), f"mot-suivante\n{LATE}\n", monkeypatch)


def test_a_file_of_ours_that_stays_is_told() -> None:
    shares = Shares()
    visit = Visit(BENCH, cast("ProbeClient", shares), "mot")
    visit.clean()
    visit.leave()
    shares.stuck = {"commun/mot-commun.txt"}
    with pytest.raises(ProbeError, match=r"could not be removed from srv: commun/mot-commun\.txt"):
        visit.clean()


def test_sessions_that_open_late_or_are_refused_for_a_while_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart, first nobody gets in, then the shares are not there yet, then SSSD refuses everybody again."""
    shares = Shares()
    good = "".join(session(shares, who, due(who)) for who in VISITORS)
    refused = len(VISITORS) * "mot-suivante\nstatut-1\n"
    bare = "".join(session(Shares(), who, dict.fromkeys(agency.SHARES, agency.NOTHING)) for who in VISITORS)
    answers = iter([refused, bare, refused, good, refused, good, good])
    monkeypatch.setattr(check_resources, "run_errand", lambda *_: next(answers))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    left: list[Any] = []
    expect = Expect()
    check_resources.check_resources_after_reboot(
        BENCH, cast("ProbeClient", shares), cast("Login", None), expect, Deadline.after(60),
        lambda _what, act: left.append(act),
    )  # fmt: skip
    expect.conclude()
    (clean,) = left
    clean()
    assert shares.files == {}


def test_the_program_of_the_sessions_is_one(tmp_path: Path) -> None:
    errand = Visit(BENCH, cast("ProbeClient", Shares()), "mot")._errand()
    assert isinstance(errand, Errand)
    assert errand.ending == END
    subprocess.run(["sh", "-n"], input=errand.program, text=True, check=True)
    # The visit itself, in a folder that is somebody's.
    for share in agency.SHARES:
        (tmp_path / "partages" / share).mkdir(parents=True)
        (tmp_path / "partages" / share / f"mot-{share}.txt").write_text("mot\n")
    program = check_resources.VISIT.format(shares=" ".join(agency.SHARES), place="partages", word="mot", login="lea")
    told = subprocess.run(["sh", "-c", program], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, text=True,
                          capture_output=True, check=True).stdout  # fmt: skip
    cell = ("commun", "lea")
    assert rights("lea", told, "mot", {cell: check_resources.OWN})[cell] == agency.WRITE
    assert (tmp_path / "partages" / "commun" / "mot-lea.txt").read_text() == "mot\n"


def test_nobody_marks_a_bench_without_a_file_server() -> None:
    class Closed(Shares):
        def call(self, _name: str, _leg: str, **asked: Any) -> list[dict[str, str]]:
            return [{"state": "ECONNREFUSED", "text": ""} for _ in asked["acts"]]

    probe = cast("ProbeClient", Closed())
    undos: list[Any] = []
    with pytest.raises(Unmet, match="ECONNREFUSED"):
        check_resources.check_resources(BENCH, probe, cast("Login", None), Expect(), Deadline.after(5),
                                        lambda _what, act: undos.append(act))  # fmt: skip
    for act in undos:
        act()
