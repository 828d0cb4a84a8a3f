"""contest: a disputed verdict, from its evidence frozen to the jury's word."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labs.cli.options import CandidateArg, JsonOption, SessionArg
from labs.errors import InputError, PlateauError

if TYPE_CHECKING:
    import datetime

    from graders.contest import Event
    from graders.records import Record, Run
    from labs.models.session import Session

CheckArg = Annotated[str, typer.Argument(metavar="CHECK", help="Id of the check, e.g. CP06-S1.a.")]
DECISIONS = ("passed", "failed", "not_applicable", "upheld")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(contest)


def contest(
    session: SessionArg,
    candidate: CandidateArg,
    check: CheckArg,
    reason: Annotated[str | None, typer.Option("--reason", help="Why it is contested, or decided so.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; needed to decide.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="The contested run; the newest by default.")] = None,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Put the bench back to the bell and measure this check again.")
    ] = False,
    decide: Annotated[
        str | None, typer.Option("--decide", metavar="VERDICT", help=f"The jury's word: {', '.join(DECISIONS)}.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Contest a verdict (--reason), measure again (--regrade), record the jury's word (--decide); else, its history."""
    from graders import contest as contests
    from graders.report.text import visible
    from labs.cli.output import out, print_json
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    loaded = load_session(session)
    loaded.candidate(candidate)
    if regrade and decide:
        raise InputError("--regrade and --decide are two steps: one command each")
    case = _Case(loaded, candidate, check, SessionFiles(loaded.folder).contests)
    if decide:
        case.decide(decide, reason, by)
    elif reason:
        case.open(reason, by, run)
    if regrade:
        case.regrade()
    events = contests.of_check(case.events, check)
    if not events:
        raise InputError(f"{check} of {candidate} was never contested; --reason TEXT contests it")
    if json:
        print_json([dataclasses.asdict(event) for event in events])
        return
    for event in events:
        verdicts = ", ".join(f"{phase} {verdict}" for phase, verdict in event.verdicts.items())
        who = f" by {event.by}" if event.by else ""
        kept = f" [{event.evidence}]" if event.evidence else ""
        told = f"{event.at}  {event.event}{who}: {verdicts}. {event.reason}".rstrip()
        out.print(visible(told + kept), markup=False, soft_wrap=True)
    if contests.is_open(events):
        out.print("waits for the jury: --decide VERDICT --reason TEXT --by NAME")


class _Case:
    """One candidate's contestations, and the one that is worked on."""

    def __init__(self, session: Session, candidate: str, check: str, folder: Path) -> None:
        from graders import contest as contests

        self.session, self.candidate, self.check, self.folder = session, candidate, check, folder
        self.path = folder / f"{candidate}.jsonl"
        try:
            self.events = contests.read(self.path)
        except ValueError as problem:
            raise PlateauError(str(problem)) from None

    @property
    def mine(self) -> list[Event]:
        from graders.contest import of_check

        return of_check(self.events, self.check)

    @property
    def _opened(self) -> Event:
        """How the contestation that is worked on began."""
        return next(event for event in reversed(self.mine) if event.event == "opened")

    def open(self, reason: str, by: str | None, run: str | None) -> None:
        """Freeze the evidence and note the contested verdicts."""
        from graders.contest import is_open
        from labs.cli.runs import open_run

        if is_open(self.mine):
            raise InputError(f"{self.check} of {self.candidate} is contested already; next: --regrade or --decide")
        folder, recorded = open_run(self.session, run, [self.candidate])
        found = self._records(recorded, folder)
        evidence = self._freeze(folder)
        people = self._overrides()
        said = {one.phase: people.get(one.phase, one.verdict.value) for one in found}
        self._append("opened", found, folder.name, reason=reason, by=by or "", evidence=evidence, verdicts=said)

    def regrade(self) -> None:
        """Measure again on the bench as it was at the bell; the former results are not touched."""
        from graders.dossier.manifest import digest
        from graders.records import load
        from labs.cli.grading import OnChange, require_benches
        from labs.cli.output import Progress
        from labs.cli.provisioning import go_back
        from labs.grade import Selection, grade
        from labs.lock import exclusive
        from labs.sessionfiles import SessionFiles

        self._require_open()
        opened = self._opened
        gone = "what plateau down deleted cannot be measured again: --decide, on the evidence of then"
        bell = f"only `plateau freeze {self.session.path}`, run at the bell, makes that possible"
        hosts = require_benches(self.session, [self.candidate], as_they_are=False, absent=gone, unfrozen=bell)
        try:
            go_back(str(self.session.path), self.candidate, "frozen", closed=True)
        except typer.Exit:
            raise PlateauError(
                f"{self.candidate}: not measured again: the bench cannot go back to the bell, as told above; {bell}"
            ) from None
        selection = Selection(checks=(self.check,), reboot="reboot" in opened.verdicts, needs=True, frozen=True)
        progress = OnChange(Progress(quiet=False))
        with exclusive(SessionFiles(self.session.folder).lock, "contest") as lock, progress.inner.showing():
            folder = self._new_folder()
            path = grade(self.session, [self.candidate], folder, progress, lock=lock, selection=selection, hosts=hosts)
        evidence = f"{folder.name}/{path.name} sha256:{digest(path.read_bytes())}"
        self._append("measured", self._records(load(path), folder), folder.name, evidence=evidence)

    def decide(self, verdict: str, reason: str | None, by: str | None) -> None:
        """Note the jury's word; a verdict that differs from the machine's also goes into the form of human marks."""
        from graders.contest import now
        from graders.report.text import local_day

        self._require_open()
        if verdict not in DECISIONS:
            raise InputError(f"--decide {verdict}: must be one of {', '.join(DECISIONS)}")
        if not reason or len(reason) < 10 or not by or len(by) < 2:
            raise InputError(
                "--decide needs --reason (a sentence) and --by (a name): both are shown beside the verdict"
            )
        opened = self._opened
        decided = opened.verdicts if verdict == "upheld" else dict.fromkeys(opened.verdicts, verdict)
        in_force = {one["phase"]: one["verdict"] for one in opened.records} | self._overrides()
        for phase, said in decided.items() if verdict != "upheld" else ():
            if said != in_force[phase]:
                self._override(phase, said, reason, by, local_day(now()))
        self._append("decided", [], opened.run, reason=reason, by=by, verdicts=decided)

    def _overrides(self) -> dict[str, str]:
        """Phase -> what people said of this check before, which is in force instead of the machine's word."""
        from graders.rubric import Rubric
        from labs.models.loader import load

        path = self._form
        found = load(path, Rubric).overridden if path.exists() else {}
        return {phase: one.verdict.value for (check, phase), one in found.items() if check == self.check}

    @property
    def _form(self) -> Path:
        from labs.sessionfiles import SessionFiles

        return SessionFiles(self.session.folder).marks / f"{self.candidate}.yaml"

    def _override(self, phase: str, verdict: str, reason: str, by: str, day: datetime.date) -> None:
        from graders.rubric import Rubric, forms
        from labs.models.loader import load, read_yaml

        path = self._form
        lab = self.session.lab
        form: Any = {"candidate": self.candidate, "session": self.session.name, "referential": lab.referential}
        if path.exists():
            load(path, Rubric)
            form = read_yaml(path)
        said = {"check": self.check, "phase": phase, "verdict": verdict, "reason": reason, "evaluator": by, "date": day}
        form.setdefault("overrides", []).append(said)
        forms.save(path, form)

    def _freeze(self, folder: Path) -> str:
        """A copy of all that the run holds about the candidate, in one file that nothing overwrites."""
        from graders import report
        from graders.dossier import archive, collect
        from graders.dossier.manifest import digest
        from labs.sessionfiles import write_private

        try:
            read = report.read(folder)
            files, _ = collect.gather(folder, self.session.folder, self.candidate, read, explained=False)
        except (OSError, ValueError) as problem:
            raise PlateauError(str(problem)) from None
        data = archive.write(files)
        number = sum(event.event == "opened" for event in self.events) + 1
        name = f"{self.candidate}-evidence-{number}.zip"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_private(self.folder / name, data, mode=0o400)
        return f"{name} sha256:{digest(data)}"

    def _new_folder(self) -> Path:
        """A folder for what is measured again: an attempt that was cut short keeps its own."""
        number = 1
        while (folder := self.folder / f"{self.candidate}-again-{number}").exists():
            number += 1
        folder.mkdir(parents=True)
        return folder

    def _records(self, run: Run, folder: Path) -> list[Record]:
        from graders.report.measures import settle

        mine = [one for one in settle(run.records) if (one.candidate, one.check) == (self.candidate, self.check)]
        if not mine:
            raise InputError(f"{folder}: no record of {self.check} for {self.candidate}")
        return mine

    def _require_open(self) -> None:
        from graders.contest import is_open

        if not is_open(self.mine):
            raise InputError(f"{self.check} of {self.candidate} is not contested; first: --reason TEXT")

    def _append(self, kind: Any, records: list[Record], run: str, **fields: Any) -> None:
        from graders import contest as contests

        verdicts = fields.pop("verdicts", None) or {one.phase: one.verdict.value for one in records}
        event = contests.Event(
            kind, self.check, contests.now(), run, verdicts, records=contests.plain(records), **fields
        )
        self.events.append(contests.append(self.path, event))
