"""The proof itself: every seed through every state, several benches side by side."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from labs.errors import PlateauError
from labs.grade import Selection
from labs.models.faults import Fault
from labs.models.lab import Lab
from labs.models.mutants import Mutant
from labs.prove import judge
from labs.prove.bench import ProofBench
from labs.prove.judge import Sabotaged
from labs.prove.ledger import Ledger
from labs.prove.result import Fate, Grading, Proof, Seen, Trial

SOLVED = "solved"
RESTARTED = "restarted"
"""The solved bench after a restart, from which mutants that need none of their own are tried."""
SETTLE_SECONDS = 45.0
"""Before a snapshot: what machines have begun with each other ends. They are saved one after the other; what one has
just said to another would be lost."""
TRIES = 2
PARTS = ("pristine", "solution", "alternatives", "mutants", "faults")


@dataclass(frozen=True)
class Wish:
    """What of the proof is asked for."""

    parts: frozenset[str] = frozenset(PARTS)
    mutants: tuple[Mutant, ...] = ()
    faults: tuple[Fault, ...] = ()
    alternatives: tuple[str, ...] = ()
    repeat: int = 1
    """Extra gradings of the solved bench, to find checks that change their mind."""
    share: int = 4
    """Every how many mutants the whole suite is run (1: always, 0: never), to see what else turns red."""
    reboot: bool = True

    @property
    def sabotages(self) -> tuple[Sabotaged, ...]:
        """Everything that is tried on the solved bench."""
        return (*self.mutants, *self.faults)


@dataclass(frozen=True)
class Task:
    """A mutant or a fault to try."""

    mutant: Sabotaged
    first: str = ""
    """Why it is tried again: the first trial told nothing."""


@dataclass(frozen=True)
class Hand:
    """One bench of a seed and what is done on it. All hands of a seed take their mutants from the same queue."""

    bench: ProofBench
    seed: int
    """Number of the seed, from 0."""
    mutants: SimpleQueue[Task]
    first: bool = True
    """The first hand grades the untouched bench and the solution, before and after the reboot."""
    alternatives: bool = True


def deal(benches: Sequence[Sequence[ProofBench]], wish: Wish, ledger: Ledger) -> list[Hand]:
    """Share the work that is left of each seed among its benches: the last one begins with the alternatives."""
    hands = []
    for seed, of_seed in enumerate(benches):
        queue: SimpleQueue[Task] = SimpleQueue()
        settled = ledger.settled(of_seed[0].id)
        for mutant in wish.sabotages:
            if mutant.id not in settled:
                queue.put(Task(mutant))
        for number, bench in enumerate(of_seed):
            hands.append(Hand(bench, seed, queue, first=number == 0, alternatives=number == len(of_seed) - 1))
    return hands


def prove(
    lab: Lab,
    hands: Sequence[Hand],
    phases: Mapping[str, str],
    wish: Wish,
    jobs: int,
    *,
    ledger: Ledger,
    stop: threading.Event,
    training: str | None = None,
) -> Proof:
    """Take every bench through its states, `jobs` at a time; what fails for one does not stop the others.

    lab: as the benches have it, cut down to the version `training` when it is one of its versions that is proved.
    phases: `live` or `reboot`, for each check of the sheet. `stop` ends the proof early; it is set by Ctrl-C.
    """
    proof = Proof(
        lab=lab.name,
        training=training,
        lab_version=lab.version,
        seeds=list(dict.fromkeys(hand.bench.id for hand in hands)),
        checks=[check for task in lab.tasks for check in task.checks],
        alternatives=list(wish.alternatives),
        mutants={one.id: _told(one) for one in wish.mutants},
        faults={one.id: _told(one) for one in wish.faults},
        gradings=ledger.gradings,
        trials=ledger.trials,
        resumed=ledger.resumed,
    )
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        walks = [pool.submit(_Walk(proof, hand, phases, wish, ledger, stop).go) for hand in hands]
        try:
            for walk in walks:
                walk.result()
        except BaseException:
            stop.set()  # what every walk is at is cut short
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    tried = {(trial.seed, trial.mutant) for trial in proof.trials}
    for seed in proof.seeds:
        proof.broken += [
            f"{seed}, {proof.kind(one.id)} {one.id}: not tried"
            for one in wish.sabotages if (seed, one.id) not in tried
        ]  # fmt: skip
    if not proof.wrong():
        ledger.close()
    if not wish.reboot:
        proof.broken.append("the persistence phase was left out (--no-reboot)")
    proof.seconds = ledger.seconds
    return proof


def _told(one: Sabotaged) -> dict[str, Any]:
    return {
        "node": one.node,
        "mistake": one.mistake,
        "kills": list(one.kills),
        "equivalent": one.equivalent,
        "restart": not judge.acts_at_once(one),
    }


class _Walk:
    """One bench's way through the states."""

    def __init__(
        self, proof: Proof, hand: Hand, phases: Mapping[str, str], wish: Wish, ledger: Ledger, stop: threading.Event
    ) -> None:
        self._proof = proof
        self._hand = hand
        self._bench = hand.bench
        self._wish = wish
        self._ledger = ledger
        self._stop = stop
        self._phases = {check: phases[check] for check in proof.checks}
        self._red_before = {
            check.check for one in ledger.gradings if (one.seed, one.state) == (hand.bench.id, "solution")
            for check in one.checks if not check.green
        }  # fmt: skip
        """Checks that the solution itself does not pass: red under a mutant, they prove nothing."""
        self._red_restarted: set[str] = set()
        """Those that it does not pass on the bench that was restarted once."""
        self._doubted: set[str] = set()
        """Checks of those that were measured again on the solution."""
        self._live = tuple(check for check, phase in self._phases.items() if phase == "live")
        self._fresh = False
        """Whether the bench is as its candidate receives it."""
        self._restarted = False
        """Whether the solved bench was restarted and saved."""

    def go(self) -> None:
        helper = not self._hand.first
        seen = self._ledger.states(self._bench.id)
        try:
            if helper:
                self._alternatives(seen)
            elif "pristine" in self._wish.parts and "pristine" not in seen:
                self._attempt("pristine", self._pristine)
            solved = helper or seen.issuperset(self._repetitions | {"solution"})
            if not self._hand.mutants.empty() or ("solution" in self._wish.parts and not solved):
                self._attempt("solution", self._solve_again if solved else lambda: self._solution(seen))
            self._mutants()
            if not helper:
                self._alternatives(seen)
            self._bench.tell("done")
        except _BenchLostError:
            self._bench.tell("failed: given up")
        finally:
            self._attempt("deleting the bench", self._bench.leave, vital=False)

    @property
    def _repetitions(self) -> set[str]:
        return {f"repetition {number}" for number in range(1, self._wish.repeat + 1)}

    def _alternatives(self, seen: Set[str]) -> None:
        if self._hand.alternatives and "alternatives" in self._wish.parts:
            for playbook in self._wish.alternatives:
                if f"alternative {playbook}" not in seen:
                    work = functools.partial(self._alternative, playbook)
                    self._attempt(f"alternative {playbook}", work, vital=False)

    def _mutants(self) -> None:
        while True:
            if self._stop.is_set():
                raise _BenchLostError
            try:
                task = self._hand.mutants.get_nowait()
            except Empty:
                return
            self._try(task)

    def _attempt(self, what: str, work: Callable[[], object], *, vital: bool = True) -> None:
        if vital and self._stop.is_set():
            raise _BenchLostError
        try:
            work()
        except PlateauError as problem:
            self._proof.broken.append(f"{self._bench.id}, {what}: {problem}")
            self._bench.tell(f"{what}: failed: {problem}")
            if vital:
                raise _BenchLostError from None

    def _renew(self) -> None:
        if not self._fresh:
            self._bench.renew()
            self._fresh = True

    def _play(self, playbook: str) -> None:
        self._renew()
        self._fresh = False
        self._bench.play(playbook)

    def _grade(self, state: str, selection: Selection | None = None) -> tuple[Seen, ...]:
        checks, seconds = self._bench.grade(state, selection or Selection(reboot=self._wish.reboot))
        self._ledger.keep(Grading(self._bench.id, state, checks, seconds))
        return checks

    def _pristine(self) -> None:
        self._renew()
        self._grade("pristine")

    def _solve(self) -> None:
        self._play(self._bench.bench.session.lab.solution)
        self._save(SOLVED)
        self._restarted = False

    def _save(self, name: str) -> None:
        self._stop.wait(SETTLE_SECONDS)
        self._bench.save(name)

    def _solution(self, seen: Set[str]) -> None:
        self._solve()
        if "solution" not in seen:
            self._note_red(self._grade("solution"))
        for state in sorted(self._repetitions - seen):
            self._bench.back(SOLVED)
            self._note_red(self._grade(state, Selection(checks=self._live, reboot=False)))

    def _solve_again(self) -> None:
        """On another bench of the same seed: same values, so the same verdicts; from where mutants start, besides.

        After a restart too: a mutant that shows then proves nothing on a bench where that was never green.
        """
        self._solve()
        self._bench.back(SOLVED)
        self._note_red(self._grade(f"repetition on {self._bench.name}"))

    def _note_red(self, checks: Sequence[Seen]) -> None:
        self._red_before |= {one.check for one in checks if not one.green}

    def _doubt(self, checks: Set[str]) -> None:
        """Measure what was red on the solution once more, alone: a moment's load is no reason to try no mutant."""
        if doubtful := checks - self._doubted:
            self._doubted |= doubtful
            self._bench.back(SOLVED)
            reboot = any(self._phases[check] == "reboot" for check in doubtful)
            again = self._grade("repetition of what was red", Selection(checks=tuple(doubtful), reboot=reboot))
            self._red_before -= {one.check for one in again if one.green}

    def _alternative(self, playbook: str) -> None:
        self._play(playbook)
        self._grade(f"alternative {playbook}")

    def _restart_once(self) -> None:
        """The solved bench restarted, for mutants that no one restarts again; it is graded as it comes back."""
        if self._restarted:
            return
        self._bench.back(SOLVED)
        self._bench.restart()
        self._save(RESTARTED)
        wanted = {check for one in self._wish.mutants if judge.acts_at_once(one) for check in one.kills}
        chosen = tuple(check for check in self._phases if check in wanted)
        for _ in range(TRIES):  # a moment's load is no reason to try no mutant
            self._bench.back(RESTARTED)
            seen = self._grade(
                f"repetition, restarted, on {self._bench.name}", Selection(checks=chosen, restarted=True)
            )
            chosen = tuple(one.check for one in seen if not one.green)
            if not chosen:
                break
        self._red_restarted = set(chosen)
        self._restarted = True

    def _try(self, task: Task) -> None:
        mutant = task.mutant
        chosen, reboots = judge.affected(mutant, self._phases)
        untold = "only a reboot can show it, and the persistence phase was left out"
        if mutant.equivalent is not None:
            trial = Trial(self._bench.id, mutant.id, "equivalent", 0, detail=mutant.equivalent)
        elif reboots and not self._wish.reboot:
            trial = Trial(self._bench.id, mutant.id, "unmeasured", 0, detail=untold)
        else:
            trial = self._trial(mutant, chosen, reboots=reboots, last=bool(task.first))
            if self._stop.is_set():
                raise _BenchLostError  # it was cut short: no finding
            if trial.fate in {"unmeasured", "not_applied"} and not task.first:
                self._bench.tell(f"{mutant.id}: {trial.fate.replace('_', ' ')}, to be tried again")
                self._hand.mutants.put(Task(mutant, f"{trial.fate.replace('_', ' ')}: {trial.detail}"))
                return
        self._ledger.keep(dataclasses.replace(trial, first=task.first))
        self._bench.tell(f"{mutant.id}: {trial.fate.replace('_', ' ')}")

    def _trial(self, mutant: Sabotaged, chosen: list[str], *, reboots: bool, last: bool) -> Trial:
        began = time.monotonic()

        def trial(fate: Fate, detail: str, checks: Sequence[Seen] = (), *, whole: bool = False) -> Trial:
            red = tuple(one.check for one in checks if one.verdict == "failed")
            stray = judge.stray(mutant, checks)
            seconds = round(time.monotonic() - began, 1)
            return Trial(self._bench.id, mutant.id, fate, seconds, red, stray, whole, detail)

        self._bench.tell(f"{mutant.id}: {mutant.mistake}")
        try:
            self._doubt(self._red_before.intersection(mutant.kills))
            restarted = reboots and judge.acts_at_once(mutant)
            if restarted:
                self._restart_once()
            red = (self._red_before | (self._red_restarted if restarted else set())).intersection(mutant.kills)
            if red:
                return trial("unmeasured", f"{', '.join(sorted(red))}: not passed on the solution either")
            self._bench.back(RESTARTED if restarted else SOLVED)
            refusal = self._bench.apply(mutant)
            if refusal:
                return trial("not_applied", refusal)
            whole = mutant.id in judge.sampled(self._wish.mutants, self._wish.share, self._hand.seed)
            if whole:
                chosen = [*self._live, *(check for check in chosen if check not in self._live)]
            selection = Selection(
                checks=tuple(chosen), reboot=reboots, reboot_nodes=(mutant.node,), restarted=restarted
            )
            checks, _ = self._bench.grade(mutant.id, selection)
        except PlateauError as problem:
            return trial("unmeasured", str(problem))
        fate, detail = judge.fate(mutant, checks)
        if fate == "killed" and not last and (lost := judge.untold(mutant, checks)):
            fate, detail = "unmeasured", f"{', '.join(lost)} could not be measured beside it"
        return trial(fate, detail, checks, whole=whole)


class _BenchLostError(Exception):
    """The bench cannot be brought where it must; its seed's proof ends here."""
