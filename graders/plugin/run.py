"""One grading run: the benches being graded, the outcomes so far, the records file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from graders.check import CheckSpec
from graders.engine.bench import BenchEngine
from graders.engine.plan import save as save_plan
from graders.engine.snapshot import Observation, Snapshot
from graders.errand import leave_nothing, start_errand
from graders.expect import is_intermittent
from graders.login import Login
from graders.notebook import Measurement, Notebook
from graders.plugin import plan
from graders.plugin.host import STARVED, HostWaits
from graders.plugin.liveness import NodeState, ask_the_network, header_nodes, keep_states, recall_states, survey
from graders.plugin.recording import Outcome, RecordsFile, exception_evidence, now, run_header, waits
from graders.probe_client import SETTLE_SECONDS, Link, ProbeClient, ProbeError
from graders.reboot import NO_ANSWER, pressed, reboot, restarted, system_of, whole
from graders.records import NODE_DOWN, BenchHeader, Record, Verdict
from labs.bench import Bench, compute_bench
from labs.deadline import Deadline
from labs.errors import PlateauError
from labs.hypervisors.base import Power
from labs.models.session import Candidate, Session
from labs.paths import CATALOGUE
from labs.sessionfiles import SessionFiles

if TYPE_CHECKING:
    from labs.hypervisors.base import Hypervisor

SURVEY_SECONDS = 60.0
SNAPSHOTS = "snapshots"
"""Folder of a run's snapshots, one file a candidate."""
REBOOT, UNRESTARTED = "reboot", "machines not restarted"
"""Actions of the snapshot: machines are about to be rebooted; those that were not, in the end."""
ASKED_AGAIN = "machines asked again"
SURVEY_AGAIN_SECONDS = 60.0
"""A machine that was down so long ago is asked once more before a check is blocked by it."""
OpenProbe = Callable[["Hypervisor", Bench], Callable[[], Link]]


@dataclass
class BenchRun:
    """One candidate's bench while it is graded."""

    bench: Bench
    notebook: Notebook
    probe: ProbeClient
    login: Login
    engine: BenchEngine
    host: HostWaits
    states: dict[str, NodeState] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    broken: str | None = None
    """Why the probe machine cannot be used, once that is known."""
    rebooted: bool = False
    surveyed: float = 0.0
    """When its machines were last asked whether they are up (monotonic)."""
    unrestarted: dict[str, str] = field(default_factory=dict)
    """Machines that the persistence phase could not restart, and what happened."""


@dataclass
class GradingRun:
    """The whole run."""

    session: Session
    candidates: tuple[Candidate, ...]
    files: SessionFiles
    records: RecordsFile
    open_hypervisor: Callable[[Session], Hypervisor]
    open_probe: OpenProbe
    with_reboot: bool
    checks: frozenset[str]
    """Ids of the sheet that were asked for."""
    reboot_nodes: frozenset[str]
    replay: Path | None = None
    """The folder of a run to judge again from its snapshots: no machine is asked."""
    record_plan: bool = False
    restarted: bool = False
    """The machines were restarted before: the persistence phase takes them as they are."""
    frozen: bool = False
    """They were put back to the bell before."""
    signs: bool = True
    """Look for signs that the machines were tampered with."""
    benches: dict[str, BenchRun] = field(default_factory=dict)
    specs: list[CheckSpec] = field(default_factory=list)
    """The selected checks, in running order."""
    _hypervisor: Hypervisor | None = None

    @property
    def hypervisor(self) -> Hypervisor:
        """Opened when it is first needed: collecting touches nothing."""
        if self._hypervisor is None:
            self._hypervisor = self.open_hypervisor(self.session)
        return self._hypervisor

    def bench_run(self, candidate: Candidate) -> BenchRun:
        """The bench of a candidate; the first call surveys it, writes its header and starts what is slow."""
        if candidate.id not in self.benches:
            if not self.records.opened:
                name, driver = self.records.folder.name, self.session.profile.driver
                self.records.open(run_header(self.session, name, driver, frozen=None if self.replay else self.frozen))
            run = self.benches[candidate.id] = self._open_bench(candidate)
            with suppress(PlateauError):  # each check tells for itself what it cannot measure
                self._start_early(run)
        return self.benches[candidate.id]

    def begin(self, run: BenchRun, spec: CheckSpec) -> Outcome | None:
        """Get ready for a check; an outcome when it is known without measuring.

        Raises PlateauError when the probe machine cannot be used.
        """
        cause = plan.root_cause(spec.needs, run.outcomes)
        if cause:
            return Outcome(Verdict.BLOCKED, f"Non évaluable : {_depends(cause, run.outcomes)}.", cause)
        if run.broken:
            raise PlateauError(run.broken)
        if spec.phase == "reboot" and not run.rebooted:
            self._reboot(run)
        if (self._halted(run, spec) or self.node_down(run, spec)) and self._known_for_long(run):
            self.look_again(run)
        if halted := self._halted(run, spec):
            raise PlateauError(
                f"l'hôte, dont le disque est plein (ou quelqu'un), a suspendu {halted} ; de la place, puis plateau up"
            )
        outcome = self.node_down(run, spec)
        same = [name for name in spec.nodes if name in run.unrestarted] if spec.phase == "reboot" else []
        if same and outcome is None:
            run.notebook.add(f"agent:{same[0]}", "reboot", run.unrestarted[same[0]], 0.0)
            raise PlateauError(f"{same[0]} n'a pas été redémarrée, ou ne répond plus")
        if self.signs and outcome is None:
            for name in spec.nodes:
                run.engine.look(name)
        return outcome

    def _known_for_long(self, run: BenchRun) -> bool:
        """Whether it is time to ask once more which machines are up; as then, when it is judged again."""
        if self.replay:
            return bool(run.notebook.recall_own("grader", ASKED_AGAIN))
        late = time.monotonic() - run.surveyed > SURVEY_AGAIN_SECONDS
        if late:
            run.notebook.keep("grader", ASKED_AGAIN, True)
        return late

    def explained(self, run: BenchRun, spec: CheckSpec, outcome: Outcome) -> Outcome:
        """A failure that another check's failure explains is shown under that one."""
        cause = plan.root_cause(spec.causes, run.outcomes) if outcome.verdict is Verdict.FAILED else None
        if cause is None:
            return outcome
        name = _machine(cause) or cause
        return Outcome(Verdict.BLOCKED, f"Non acquis, sans doute à cause de {name}. {outcome.message}", cause)

    def node_down(self, run: BenchRun, spec: CheckSpec) -> Outcome | None:
        """The outcome `blocked` when a machine that the check needs is down."""
        for name in spec.nodes:
            state = run.states.get(name)
            if state is not None and not (state.up or state.power is Power.PAUSED):
                return Outcome(Verdict.BLOCKED, f"Non évaluable : {state.reason}.", f"{NODE_DOWN}{name}")
        return None

    @staticmethod
    def _halted(run: BenchRun, spec: CheckSpec) -> str:
        """A machine that the check needs and its host halted, if there is one: no fault of the candidate's."""
        halted = (name for name in spec.nodes if name in run.states and run.states[name].power is Power.PAUSED)
        return next(halted, "")

    def look_again(self, run: BenchRun) -> None:
        """Ask again which machines are up (a check could not be measured)."""
        run.surveyed = time.monotonic()
        if self.replay:
            run.states, run.broken = recall_states(run.notebook)
            return
        run.states = survey(self.hypervisor, run.bench, self.files, Deadline.after(SURVEY_SECONDS))
        if not run.broken:
            run.states = ask_the_network(run.bench, run.states, run.probe)
        keep_states(run.notebook, run.states, run.broken)

    def record(self, run: BenchRun, spec: CheckSpec, outcome: Outcome, measured: Measurement, began: float) -> Record:
        """Write the record of a check."""
        run.outcomes[spec.id] = outcome
        task, points = plan.sheet(self.session.lab)[spec.id]
        record = Record(
            candidate=run.bench.candidate.id,
            check=spec.id,
            competence=spec.competence,
            task=task,
            title=spec.title,
            verdict=outcome.verdict,
            points=points if outcome.verdict is Verdict.PASSED else 0.0,
            max_points=points,
            phase=spec.phase,
            message=outcome.message,
            blocked_by=outcome.blocked_by,
            comparisons=measured.expect.comparisons,
            evidence=measured.evidence + waits(measured.expect.attempts),
            attempts=measured.expect.attempts,
            intermittent=outcome.verdict is Verdict.FAILED and is_intermittent(measured.expect.comparisons),
            started=now(),
            seconds=round(time.monotonic() - began, 3),
        )
        self.records.write(record)
        return record

    def close(self) -> None:
        """Hang up everywhere and close the records file."""
        for run in self.benches.values():
            run.notebook.begin(SETTLE_SECONDS)
            leave_nothing(run.login)
            run.probe.close()
            run.login.forget()
            run.engine.close()
            run.notebook.snapshot.close()
        self.records.close()
        if self.record_plan:
            for run in self.benches.values():
                save_plan(CATALOGUE / self.session.lab.name, run.engine.asked, run.bench.values)

    def _open_bench(self, candidate: Candidate) -> BenchRun:
        bench = compute_bench(self.session, candidate)
        notebook = Notebook(self._snapshot(candidate))
        hypervisor = None if self.replay else self.hypervisor
        probe = ProbeClient(self.open_probe(hypervisor, bench) if hypervisor else no_link, notebook)
        engine = BenchEngine(hypervisor, bench, self.files, notebook)
        login = Login(hypervisor, bench, self.files, notebook)
        run = BenchRun(bench, notebook, probe, login, engine, HostWaits(hypervisor, bench), rebooted=self.restarted)
        notebook.begin(SURVEY_SECONDS)
        run.surveyed = time.monotonic()
        if hypervisor:
            self._survey(hypervisor, run)
        else:
            run.states, run.broken = recall_states(notebook)
        values = {name: bench.values[name] for name in self.session.lab.subject_values}
        self.records.write(BenchHeader(candidate.id, candidate.name, values, header_nodes(bench, run.states)))
        return run

    def _snapshot(self, candidate: Candidate) -> Snapshot:
        name = f"{SNAPSHOTS}/{candidate.id}.jsonl"
        return Snapshot.load(self.replay / name) if self.replay else Snapshot(self.records.folder / name)

    def _survey(self, hypervisor: Hypervisor, run: BenchRun) -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:  # starting an agent takes seconds, and so does the survey
            started = pool.submit(run.probe.connect)
            run.states = survey(hypervisor, run.bench, self.files, Deadline.after(SURVEY_SECONDS))
            try:
                started.result()
            except PlateauError as problem:
                run.broken = f"la sonde ne peut pas être utilisée : {problem}"
        if not run.broken:
            run.states = ask_the_network(run.bench, run.states, run.probe)
        keep_states(run.notebook, run.states, run.broken)

    def _start_early(self, run: BenchRun) -> None:
        for spec in self.specs:
            if spec.phase != "live" or run.broken or self.node_down(run, spec):
                continue
            if spec.early:
                spec.early(run.bench, run.probe)
            for errand in spec.errands(run.bench, run.probe) if spec.errands else ():
                start_errand(run.login, errand)

    def _reboot(self, run: BenchRun) -> None:
        run.login.forget()
        run.probe.forget()
        run.engine.forget("reboot")
        # Of the others, no route tells whether they really restarted: their saved configuration is compared instead.
        nodes = [node for node in run.bench.graded_nodes if system_of(node) and node.name in self.reboot_nodes]
        if not all(run.states[node.name].up for node in nodes):
            self.look_again(run)
        if self.replay:
            run.unrestarted = dict(run.notebook.recall_own("hypervisor", UNRESTARTED) or {})
            self.look_again(run)
            run.rebooted = True
            return
        up = [node for node in nodes if run.states[node.name].up]
        began, before = time.monotonic(), run.host.look()
        run.notebook.snapshot.record(Observation("", "hypervisor", REBOOT, [node.name for node in up]))
        told = reboot(self.hypervisor, up)
        weak = [node for node in up if restarted(told[node.name]) and not whole(told[node.name])]
        if weak and run.host.worst(before)[1] >= STARVED:
            # A service that is given so many seconds to start, and gave up on a busy host, stays down.
            for name, text in reboot(self.hypervisor, weak).items():
                told[name] = f"{told[name]}, on a busy host; once more: {text}"
        run.rebooted = True
        for name, text in told.items():
            run.notebook.add(f"agent:{name}", "reboot", text, time.monotonic() - began)
        down = {node.name: f"it was down: {NO_ANSWER}" for node in nodes}
        run.unrestarted = {
            name: text for name, text in {**down, **told}.items() if not (restarted(text) or pressed(text))
        }
        if run.unrestarted:
            run.notebook.keep("hypervisor", UNRESTARTED, run.unrestarted)
        self.look_again(run)


def _machine(cause: str) -> str | None:
    """The machine that is down, in French; None when the cause is a check."""
    return f"la machine {cause.removeprefix(NODE_DOWN)}" if cause.startswith(NODE_DOWN) else None


def _depends(cause: str, outcomes: Mapping[str, Outcome]) -> str:
    """Why what depends on a cause cannot be told (French): it is not there, or it is not known."""
    if machine := _machine(cause):
        return f"{machine} est arrêtée ou injoignable"
    verdict = outcomes[cause].verdict if cause in outcomes else Verdict.FAILED
    if verdict is Verdict.MANUAL:
        return f"dépend de {cause}, qu'une personne doit évaluer"
    if verdict is not Verdict.FAILED:
        return f"dépend de {cause}, qui n'a pas pu être mesuré"
    return f"dépend de {cause}, qui n'est pas acquis"


def no_link() -> Link:
    """Instead of a probe, when a bench is judged again without its machines. Raises ProbeError."""
    raise ProbeError("judged from the snapshot: there is no probe to ask")


def note_exception(measured: Measurement, problem: BaseException) -> None:
    """Keep the traceback of a check that could not be measured."""
    measured.evidence.append(exception_evidence(problem))


def default_run_dir(session: Session) -> Path:
    """SESSION/results/<UTC time>."""
    return SessionFiles(session.folder).results / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
