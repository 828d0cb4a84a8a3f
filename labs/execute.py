"""The executor: brings benches up, node by node in parallel, so that a run killed anywhere converges when run again."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from labs import identity, prepare, ssh, windows
from labs.bench import Bench, BenchNode
from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError, InterruptedRunError, NotRenewedError, PlateauError
from labs.hypervisors.base import BenchKey, Hypervisor, NodeKey, Power
from labs.journal import Journal
from labs.models.session import Session
from labs.plan import Action, NodePlan, Plan
from labs.sessionfiles import SessionFiles

SEGMENTS_SECONDS = 60.0
NODE_SECONDS = 300.0
SSH_SECONDS = 300.0
DELETE_SECONDS = 180.0
WAKE_SECONDS = 60.0
INTERRUPTED = "interrupted before it was finished; run the command again to go on"
PREPARATION = "preparation"
"""In an outcome, beside the machines: the playbook of a training version."""

Progress = Callable[[str, str], None]
"""Called with (subject, step): a subject is `candidate/node` or `candidate`."""


@dataclass
class Outcome:
    """What a run did to each bench: candidate -> errors by node; no entry means well."""

    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    changed: int = 0
    notes: list[str] = field(default_factory=list)
    """What whoever asked should know although it went well."""

    def fail(self, candidate: str, node: str, problem: object) -> None:
        self.errors.setdefault(candidate, {})[node] = str(problem)


class Executor:
    """Carries out plans on one session's benches."""

    def __init__(
        self,
        session: Session,
        hypervisor: Hypervisor,
        journal: Journal,
        progress: Progress = lambda _subject, _step: None,
    ) -> None:
        self._hypervisor = hypervisor
        self._journal = journal
        self._progress = progress
        self._files = SessionFiles(session.folder)
        self._workers = session.profile.workers
        self._prepared = session.preparation is not None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def up(self, benches: Sequence[Bench], plan: Plan) -> Outcome:
        """Make every node of the plan run and ready. Failures of one bench do not stop the others."""
        actions = {node.spec.key: node for node in plan.nodes}
        outcome = Outcome()
        work: list[tuple[str, str, Callable[[], None]]] = []
        for bench in benches:
            identity.ensure_keys(bench, self._files)
        self._ensure_segments(benches)
        # A machine may have to wait for all the others before its turn comes.
        patience = NODE_SECONDS + plan.seconds
        for bench in benches:
            for node in bench.nodes:
                job = self._node_work(bench, node, actions[node.spec.key], patience, outcome)
                work.append((bench.candidate.id, node.name, job))
        self._parallel(work, outcome)
        if self._prepared:
            self._prepare(benches, actions, outcome)
        return outcome

    def renew(self, benches: Sequence[Bench]) -> Outcome:
        """Return benches to the baseline: every node is made again from its image, under the same identity."""
        specs = tuple(NodePlan(node.spec, Action.RECREATE) for bench in benches for node in bench.nodes)
        return self.up(benches, Plan(specs, (), (), 0.0))

    def restart(self, bench: Bench, node: BenchNode) -> Outcome:
        """Press the reset button of a machine, or start it, and wait until it answers."""
        hypervisor, key, outcome = self._hypervisor, node.spec.key, Outcome()

        def run() -> None:
            if hypervisor.status(key).power is Power.RUNNING:
                self._step("reset", node, lambda: hypervisor.reset(key, Deadline.after(WAKE_SECONDS)))
            more = windows.MORE_SECONDS if node.model.windows else 0.0
            self._bring_up(bench, node, Deadline.after(NODE_SECONDS + more), fresh=False)
            outcome.changed += 1

        self._parallel([(bench.candidate.id, node.name, run)], outcome)
        return outcome

    def down(self, session_uid: str, bench_keys: Sequence[BenchKey]) -> Outcome:
        """Delete these benches, then ask the hypervisor whether anything is left of them."""
        outcome = Outcome()
        statuses = self._hypervisor.list_nodes(session_uid)

        def delete(key: BenchKey) -> Callable[[], None]:
            def run() -> None:
                for status in statuses:
                    if status.key.bench == key:
                        with self._journal.step("delete", status.key):
                            self._hypervisor.delete(status.key, Deadline.after(DELETE_SECONDS))
                        self._progress(f"{key.candidate}/{status.key.node}", "deleted")
                        with self._lock:
                            outcome.changed += 1
                with self._journal.step("delete segments", key):
                    self._hypervisor.delete_segments(key, Deadline.after(DELETE_SECONDS))

            return run

        self._parallel([(key.candidate, "", delete(key)) for key in bench_keys], outcome)
        return outcome

    def snapshot(self, benches: Sequence[Bench], name: str, *, replace: bool = True) -> Outcome:
        """Take the snapshot `name` of every graded node (and of the probe, whose state belongs to it).

        Unless it may `replace` one, a node that has such a snapshot keeps it, and does not count as changed.
        """

        def take(node: BenchNode) -> bool:
            key = node.spec.key
            if not replace and name in self._hypervisor.snapshots(key, Deadline.after(NODE_SECONDS)):
                return False
            self._switch_on(node)  # what is off has no memory to keep
            self._wake(node)  # a machine that sleeps in its snapshot may never wake again
            self._hypervisor.snapshot(key, name, Deadline.after(NODE_SECONDS))
            return True

        return self._on_each(benches, f"snapshot {name}", take)

    def rollback(
        self, benches: Sequence[Bench], name: str, *, closed: bool = False, as_it_was: bool = False
    ) -> Outcome:
        """Return every node of the benches to the snapshot `name`, on networks that work.

        With `closed`, candidates reach theirs no more until the benches go back without it. With `as_it_was`, it is no
        failure that a graded machine in which nobody answered at the snapshot keeps the clock of then: its candidate
        stopped the guest agent, and would else keep everybody from being measured.
        """

        def back(node: BenchNode) -> bool:
            key = node.spec.key
            try:
                self._hypervisor.rollback(key, name, Deadline.after(NODE_SECONDS), closed=closed)
            except NotRenewedError as problem:
                if not (as_it_was and node.graded):
                    raise
                with self._lock:
                    notes.append(f"{key.candidate}/{node.name} is as it was, its clock too: {problem}")
            return True

        notes: list[str] = []
        self._ensure_segments(benches)
        outcome = self._on_each(benches, f"rollback {name}", back)
        outcome.notes = notes
        return outcome

    def _ensure_segments(self, benches: Sequence[Bench]) -> None:
        """All at once: a cluster's network is changed, and applied, a single time."""
        segments = [segment for bench in benches for segment in bench.segments]
        specs = [node.spec for bench in benches for node in bench.nodes]
        with self._journal.step("segments", ", ".join(str(bench.key) for bench in benches)):
            self._hypervisor.ensure_segments(segments, specs, Deadline.after(SEGMENTS_SECONDS + len(segments)))

    def _prepare(self, benches: Sequence[Bench], actions: Mapping[NodeKey, NodePlan], outcome: Outcome) -> None:
        """Put what is taken as given on the machines that were just made, then mark them ready.

        Not on those of a bench of which some did not come up: all that is not ready is made again by the next run.
        """
        work: list[tuple[str, str, Callable[[], None]]] = []
        for bench in benches:
            fresh = [node for node in bench.graded_nodes if actions[node.spec.key].action.makes]
            if fresh and bench.candidate.id not in outcome.errors:
                work.append((bench.candidate.id, PREPARATION, self._preparation(bench, fresh)))
        self._parallel(work, outcome, at_once=os.cpu_count())  # each is an Ansible of its own

    def _preparation(self, bench: Bench, fresh: Sequence[BenchNode]) -> Callable[[], None]:
        def run() -> None:
            if self._cancelled.is_set():
                raise InterruptedRunError(INTERRUPTED)
            with contextlib.ExitStack() as steps:
                for node in fresh:
                    steps.enter_context(self._journal.step("prepare", node.spec.key))
                prepare.prepare(bench, fresh, self._hypervisor, self._files, self._progress, self._cancelled)
            for node in fresh:
                self._mark_ready(node)

        return run

    def _on_each(self, benches: Sequence[Bench], action: str, work: Callable[[BenchNode], bool]) -> Outcome:
        outcome = Outcome()

        def one(node: BenchNode) -> Callable[[], None]:
            def run() -> None:
                with self._journal.step(action, node.spec.key):
                    changed = work(node)
                told = "done" if changed else "was there, kept"
                self._progress(f"{node.spec.key.candidate}/{node.name}", f"{action}: {told}")
                with self._lock:
                    outcome.changed += changed

            return run

        self._parallel([(b.candidate.id, node.name, one(node)) for b in benches for node in b.nodes], outcome)
        return outcome

    def _switch_on(self, node: BenchNode) -> None:
        """Start a machine that is off; one whose system does not come up is left as it is."""
        hypervisor, key = self._hypervisor, node.spec.key
        if hypervisor.status(key).power is not Power.STOPPED:
            return
        self._step("start", node, lambda: hypervisor.start(key, Deadline.after(NODE_SECONDS)))
        with contextlib.suppress(HypervisorError, DeadlineError):
            hypervisor.wait_agent(key, Deadline.after(NODE_SECONDS))

    def _wake(self, node: BenchNode) -> bool:
        """Wake a machine that sleeps; whether it slept. One that cannot be asked is taken for awake."""
        hypervisor, key, deadline = self._hypervisor, node.spec.key, Deadline.after(WAKE_SECONDS)
        try:
            slept = hypervisor.asleep(key, deadline)
        except (HypervisorError, DeadlineError):
            return False
        if slept:
            self._step("wake", node, lambda: hypervisor.start(key, deadline))
        return slept

    def _node_work(
        self, bench: Bench, node: BenchNode, plan: NodePlan, patience: float, outcome: Outcome
    ) -> Callable[[], None]:
        def run() -> None:
            if plan.action is Action.KEEP:
                if self._wake(node):
                    with self._lock:
                        outcome.changed += 1
                    self._hypervisor.wait_agent(node.spec.key, Deadline.after(WAKE_SECONDS))
                return
            with self._lock:
                outcome.changed += 1
            if plan.action is Action.RECREATE:
                self._step("delete", node, lambda: self._hypervisor.delete(node.spec.key, Deadline.after(60)))
            more = windows.MORE_SECONDS if node.model.windows else 0.0
            self._bring_up(bench, node, Deadline.after(patience + more), fresh=plan.action.makes)

        return run

    def _bring_up(self, bench: Bench, node: BenchNode, deadline: Deadline, *, fresh: bool) -> None:
        hypervisor, key = self._hypervisor, node.spec.key
        if fresh:
            self._step("create", node, lambda: hypervisor.ensure_node(node.spec, deadline))
        self._step("start", node, lambda: hypervisor.start(key, deadline))
        self._step("wait for agent", node, lambda: hypervisor.wait_agent(key, deadline))
        if node.model.windows is None:
            if fresh:
                self._step("configure", node, lambda: self._configure(bench, node, deadline))
            self._step("wait for SSH", node, lambda: self._wait_ssh(node))
        else:
            if fresh:
                self._step("configure", node, lambda: windows.configure(hypervisor, bench, node, deadline))
            self._step("wait for WinRM", node, lambda: windows.wait(hypervisor, node, deadline))
        if not fresh:
            self._progress(f"{key.candidate}/{node.name}", "ready")
        elif not (self._prepared and node.graded):
            self._mark_ready(node)

    def _mark_ready(self, node: BenchNode) -> None:
        self._step("mark ready", node, lambda: self._hypervisor.mark_ready(node.spec.key))
        self._progress(f"{node.spec.key.candidate}/{node.name}", "ready")

    def _configure(self, bench: Bench, node: BenchNode, deadline: Deadline) -> None:
        script = identity.script(bench, node, self._files) + self._hypervisor.guest_setup(node.spec.key)
        result = self._hypervisor.execute(node.spec.key, ["/bin/sh"], deadline, stdin=script.encode())
        if result.exit_status:
            words = (result.stderr.decode("utf-8", "replace").strip() or "no message").splitlines()[-1]
            raise PlateauError(f"{node.spec.key}: first configuration failed: {words}")

    def _wait_ssh(self, node: BenchNode) -> None:
        deadline = Deadline.after(SSH_SECONDS)
        problem: PlateauError | None = None
        for _ in deadline.ticks(0.2):
            try:
                ssh.connect(self._hypervisor, node, self._files, deadline.sooner(30)).close()
            except ssh.UnreachableError as refused:
                problem = refused
                if self._hypervisor.status(node.spec.key).power is not Power.RUNNING:
                    break
            else:
                return
        raise problem or PlateauError(f"{node.spec.key}: SSH did not answer")

    def _step(self, action: str, node: BenchNode, work: Callable[[], object]) -> None:
        if self._cancelled.is_set():
            raise InterruptedRunError(INTERRUPTED)
        self._progress(f"{node.spec.key.candidate}/{node.name}", action)
        with self._journal.step(action, node.spec.key):
            work()

    def _parallel(
        self, work: Sequence[tuple[str, str, Callable[[], None]]], outcome: Outcome, at_once: int | None = None
    ) -> None:
        """Run all; PlateauErrors are collected, Ctrl-C lets begun steps finish, anything else surfaces."""
        with ThreadPoolExecutor(max_workers=at_once or self._workers) as pool:
            futures: list[tuple[str, str, Future[None]]] = []
            try:
                for candidate, node, run in work:
                    futures.append((candidate, node, pool.submit(run)))
                for candidate, node, future in futures:
                    try:
                        future.result()
                    except PlateauError as problem:
                        self._progress(f"{candidate}/{node}" if node else candidate, f"failed: {problem}")
                        outcome.fail(candidate, node, problem)
            except KeyboardInterrupt:
                self._cancelled.set()
                try:
                    pool.shutdown(wait=True, cancel_futures=True)
                except KeyboardInterrupt:
                    # Asked twice: at once, without waiting for the threads; the next run puts things right.
                    os.write(
                        2, b"plateau: interrupted again: stopped at once; run the same command to put things right\n"
                    )
                    os._exit(InterruptedRunError.exit_code)
                raise InterruptedRunError("interrupted; what was begun was finished: run it again to go on") from None
