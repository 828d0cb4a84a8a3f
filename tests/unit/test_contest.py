"""Contestations keep every verdict; copies are found and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from samples import SESSION, session_of, write_session
from test_cli import plateau, refusal
from test_report_samples import bench, header, record, session, write

from graders import contest, copies, report
from graders.contest import Event
from graders.dossier import sources
from graders.records import Evidence, Run, Verdict
from graders.report.text import local_day
from graders.rubric import forms
from labs.bench import compute_benches
from labs.cli.contest import _Case
from labs.errors import InputError, PlateauError
from labs.models.session import load_session

RUN = "20261123T090000Z"
OPENED = Event("opened", "CP06-S1.a", "2026-11-23T10:00:00+00:00", RUN, {"live": "failed"}, reason="Non !")
PEOPLE = "candidates:\n  - {id: c01, name: Marie}\n  - {id: c02, name: Thomas}\n  - {id: c03, name: Inès}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = write_session(tmp_path / "s", SESSION.partition("candidates:")[0].replace("essai", "limoges-2026") + PEOPLE)
    run = path.parent / "results" / RUN
    run.mkdir(parents=True)
    write(session(), run)
    sources.keep(run, "reseau", "tssi-2013")
    return path


def test_events_are_chained_and_a_change_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c01.jsonl"
    assert contest.read(path) == []
    first = contest.append(path, OPENED)
    second = contest.append(path, replace(OPENED, event="decided", verdicts={"live": "passed"}))
    assert contest.read(path) == [first, second]
    assert (contest.is_open([first]), contest.is_open([first, second])) == (True, False)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Non !", "Oui !", 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"c01\.jsonl:1: was changed"):
        contest.read(path)
    path.write_text(text.split("\n", 1)[1], encoding="utf-8")
    with pytest.raises(ValueError, match=r"c01\.jsonl:1: was changed"):
        contest.append(path, OPENED)


def test_the_whole_path_of_a_contestation(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.parent / "results" / RUN
    before = (run / "records.jsonl").read_bytes()
    assert "is not contested; first: --reason" in refusal("contest", place, "c02", "CP06-S1.a", "--regrade")
    assert "was never contested" in refusal("contest", place, "c02", "CP06-S1.a")
    assert "no record of CP06-S9.z" in refusal("contest", place, "c02", "CP06-S9.z", "--reason", "x")
    opened = plateau("contest", place, "c02", "CP06-S1.a", "--reason", "La passerelle est bien 10.24.8.254.")
    assert "opened: live failed. La passerelle est bien" in opened.stdout
    (evidence,) = (place.parent / "contests").glob("*.zip")
    assert evidence.stat().st_mode & 0o222 == 0
    assert "contested already" in refusal("contest", place, "c02", "CP06-S1.a", "--reason", "Encore.")
    assert "--decide passes: must be one of" in refusal("contest", place, "c02", "CP06-S1.a", "--decide", "passes")
    assert "needs --reason" in refusal("contest", place, "c02", "CP06-S1.a", "--decide", "passed")

    # Machines are another suite's: here the bench goes back at once, and the check is now passed.
    def again(loaded, candidates, folder, progress, *, lock, selection, hosts):
        assert (candidates, selection.checks, selection.reboot) == (["c02"], ("CP06-S1.a",), False)
        assert (selection.needs, hosts) == (True, {"c02": {"local"}})
        return write(Run(header(), [bench("c02", "Thomas")], [record("c02", "CP06-S1.a")]), folder)

    def no_way_back(session: str, candidate: str, to: str, *, closed: bool) -> int:
        raise typer.Exit(1)

    case = _Case(load_session(str(place)), "c02", "CP06-S1.a", place.parent / "contests")
    with pytest.raises(InputError, match="no bench of c02 is up; what plateau down deleted cannot be measured again"):
        case.regrade()
    monkeypatch.setattr("labs.cli.grading.require_benches", lambda session, ids, **_: {one: {"local"} for one in ids})
    monkeypatch.setattr("labs.cli.provisioning.go_back", no_way_back)
    with pytest.raises(PlateauError, match="cannot go back to the bell, as told above; only `plateau freeze "):
        case.regrade()
    ways = []
    monkeypatch.setattr("labs.cli.provisioning.go_back", lambda *way, **more: ways.append((*way[1:], more)) or 4)
    monkeypatch.setattr("labs.grade.grade", again)
    (place.parent / "contests" / "c02-again-1").mkdir()  # an attempt that was cut short keeps its folder
    case.regrade()
    assert ways == [("c02", "frozen", {"closed": True})]
    assert (place.parent / "contests" / "c02-again-2" / "records.jsonl").is_file()

    said = ("--decide", "passed", "--reason", "Le plan remis portait une erreur.", "--by", "Paul Jury")
    history = json.loads(plateau("contest", place, "c02", "CP06-S1.a", *said, "--json").stdout)
    assert [(one["event"], one["verdicts"]) for one in history] == [
        ("opened", {"live": "failed"}),
        ("measured", {"live": "passed"}),
        ("decided", {"live": "passed"}),
    ]
    assert (run / "records.jsonl").read_bytes() == before  # the measures stay
    page = report.write_all(run)["report.html"].read_text(encoding="utf-8").replace("\u00a0", " ")
    for told in (
        "non acquis. Motif : La passerelle est bien 10.24.8.254.",
        "(exécution c02-again-2) : acquis.",
        "par Paul Jury : acquis. Motif : Le plan remis portait une erreur.",
        "Décision humaine : acquis au lieu de « non acquis » (machine)",
    ):
        assert told in page
    assert report.write_pdfs(run, candidates=["c02"])
    told = plateau("contest", place, "c02", "CP06-S1.a").stdout  # every step, with what was kept of it
    assert [line.split()[1].rstrip(":") for line in told.splitlines()] == ["opened", "measured", "decided"]
    assert "[c02-again-2/records.jsonl sha256:" in told


def test_upheld_changes_no_mark_and_a_form_keeps_what_it_had(place: Path) -> None:
    marks = place.parent / "marks" / "c02.yaml"
    form = {"candidate": "c02", "session": "limoges-2026", "referential": "tssi-2013", "rows": {"T2": {"level": 3}}}
    forms.save(marks, form)
    before = marks.read_bytes()
    reason = ("--reason", "La mesure est confirmée par le jury.", "--by", "PJ")
    plateau("contest", place, "c02", "CP06-S1.a", "--reason", "Non.")
    assert plateau("contest", place, "c02", "CP06-S1.a", "--decide", "upheld", *reason).returncode == 0
    assert marks.read_bytes() == before
    plateau("contest", place, "c02", "CP06-S1.a", "--reason", "Toujours non.")
    assert plateau("contest", place, "c02", "CP06-S1.a", "--decide", "passed", *reason).returncode == 0
    found = report.read(place.parent / "results" / RUN).rubrics["c02"]
    assert found.rows["T2"].level == 3
    assert [one.verdict for one in found.overrides] == [Verdict.PASSED]
    assert found.overrides[0].date == local_day(contest.now())
    # The jury's later word counts, whatever the machine said first.
    plateau("contest", place, "c02", "CP06-S1.a", "--reason", "Le formateur conteste à son tour.")
    shown = json.loads(plateau("contest", place, "c02", "CP06-S1.a", "--json").stdout)
    assert shown[-1]["verdicts"] == {"live": "passed"}, "what is in force is contested"
    assert plateau("contest", place, "c02", "CP06-S1.a", "--decide", "failed", *reason).returncode == 0
    found = report.read(place.parent / "results" / RUN).rubrics["c02"]
    assert [one.verdict for one in found.overrides] == [Verdict.PASSED, Verdict.FAILED]
    assert found.overridden["CP06-S1.a", "live"].verdict is Verdict.FAILED


def test_upheld_writes_nothing_that_a_form_cannot_say(place: Path) -> None:
    """What was blocked may be upheld: no person's word, of three verdicts only, is made of it."""
    blocked = next(one for one in session().records if one.candidate == "c02" and one.verdict is Verdict.BLOCKED)
    plateau("contest", place, "c02", blocked.check, "--reason", "Rien ne le bloquait.")
    form = {"candidate": "c02", "session": "limoges-2026", "referential": "tssi-2013"}
    said = {"check": blocked.check, "verdict": "passed", "reason": "Vu autrement.", "evaluator": "PJ"}
    forms.save(place.parent / "marks" / "c02.yaml", {**form, "overrides": [{**said, "date": "2026-11-23"}]})
    word = ("--decide", "upheld", "--reason", "La mesure est confirmée.", "--by", "PJ")
    assert plateau("contest", place, "c02", blocked.check, *word).returncode == 0
    assert len(report.read(place.parent / "results" / RUN).rubrics["c02"].overrides) == 1


def values_of(*names: str) -> dict[str, dict[str, object]]:
    return {one.candidate.id: dict(one.values) for one in compute_benches(session_of(*names))}


def seen(where: str, text: str) -> list[copies.Likeness]:
    values = values_of("a1", "b2", "c3")
    records = [record(who, "CP06-S1.a", evidence=[]) for who in values]
    records.append(record(where, "CP06-S2.a", evidence=[Evidence("ssh:srv", "cat zone", text, 0.1)]))
    return copies.find(Run(header(), [], records), values, {})


def test_a_token_of_another_candidate_is_found_with_its_place() -> None:
    values = values_of("a1", "b2", "c3")
    (found,) = seen("b2", f"vitrine {values['a1']['jeton_web']}\n")
    assert (found.candidate, found.owner, found.name) == ("b2", "a1", "jeton_web")
    assert found.places == ("CP06-S2.a ssh:srv",)
    assert seen("a1", f"vitrine {values['a1']['jeton_web']}\n") == []


def test_what_is_shared_or_only_looks_alike_is_no_copy() -> None:
    values = values_of("a1", "b2", "c3")
    token = values["a1"]["jeton_web"]
    assert seen("b2", f"x{token}y {values['a1']['lan']} {values['a1']['internet_zone']} 8080") == []
    assert copies.distinctive({"a": {"v": "meme-valeur"}, "b": {"v": "meme-valeur"}}) == {"a": {}, "b": {}}


def test_files_of_the_run_are_searched_too(place: Path) -> None:
    loaded = load_session(str(place))
    token = {one.candidate.id: one.values for one in compute_benches(loaded)}["c01"]["jeton_dns"]
    folder = place.parent / "results" / RUN / "snapshots"
    folder.mkdir()
    (folder / "c01.srv.jsonl").write_text(f'{{"stdout": "{token}"}}\n', encoding="utf-8")
    assert plateau("copies", place).stdout == "nothing of a candidate's variant was seen at another's\n"
    (folder / "c03.srv.jsonl").write_text(f'{{"stdout": "{token}"}}\n', encoding="utf-8")
    answer = plateau("copies", place, "--json")
    (found,) = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert (found["candidate"], found["owner"], found["places"]) == ("c03", "c01", ["snapshots/c03.srv.jsonl"])
    (folder / "c03.[bold]\x1b[2J.txt").write_text(token, encoding="utf-8")  # a name that a terminal would obey
    told = plateau("copies", place).stdout
    assert "\x1b" not in told
    assert "[bold]" in told
