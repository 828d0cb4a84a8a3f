"""The proof itself: every seed through every state, several benches side by side."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from labs.errors import PlateauError
from labs.grade import Selection
from labs.models.lab import Lab
from labs.models.mutants import Mutant
from labs.prove import judge
from labs.prove.bench import ProofBench
from labs.prove.result import Fate, Grading, Proof, Seen, Trial

SOLVED = "solved"
PARTS = ("pristine", "solution", "alternatives", "mutants")


@dataclass(frozen=True)
class Wish:
    """What of the proof is asked for."""

    parts: frozenset[str] = frozenset(PARTS)
    mutants: tuple[Mutant, ...] = ()
    alternatives: tuple[str, ...] = ()
    repeat: int = 1
    """Extra gradings of the solved bench, to find checks that change their mind."""
    share: int = 4
    """Every how many mutants the whole suite is run (1: always, 0: never), to see what else turns red."""
    reboot: bool = True


@dataclass(frozen=True)
class Hand:
    """One bench of a seed and what is done on it. All hands of a seed take their mutants from the same queue."""

    bench: ProofBench
    seed: int
    """Number of the seed, from 0."""
    mutants: SimpleQueue[Mutant]
    first: bool = True
    """The first hand grades the untouched bench and the solution, before and after the reboot."""
    alternatives: bool = True


def deal(benches: Sequence[Sequence[ProofBench]], wish: Wish) -> list[Hand]:
    """Share the work of each seed among its benches: the last one begins with the alternatives."""
    hands = []
    for seed, of_seed in enumerate(benches):
        queue: SimpleQueue[Mutant] = SimpleQueue()
        for mutant in wish.mutants:
            queue.put(mutant)
        for number, bench in enumerate(of_seed):
            hands.append(Hand(bench, seed, queue, first=number == 0, alternatives=number == len(of_seed) - 1))
    return hands


def prove(lab: Lab, hands: Sequence[Hand], phases: Mapping[str, str], wish: Wish, jobs: int) -> Proof:
    """Take every bench through its states, `jobs` at a time; what fails for one does not stop the others.

    phases: `live` or `reboot`, for each check of the sheet.
    """
    began = time.monotonic()
    proof = Proof(
        lab=lab.name,
        lab_version=lab.version,
        seeds=list(dict.fromkeys(hand.bench.id for hand in hands)),
        checks=[check for task in lab.tasks for check in task.checks],
        alternatives=list(wish.alternatives),
        mutants={one.id: one.model_dump(include={"node", "mistake", "kills", "equivalent"}) for one in wish.mutants},
    )
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        walks = [pool.submit(_Walk(proof, hand, phases, wish, stop).go) for hand in hands]
        try:
            for walk in walks:
                walk.result()
        except BaseException:
            stop.set()  # every walk ends after what it is at
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    tried = {(trial.seed, trial.mutant) for trial in proof.trials}
    for seed in proof.seeds:
        proof.broken += [f"{seed}, mutant {one.id}: not tried" for one in wish.mutants if (seed, one.id) not in tried]
    if not wish.reboot:
        proof.broken.append("the persistence phase was left out (--no-reboot)")
    proof.seconds = time.monotonic() - began
    return proof


class _Walk:
    """One bench's way through the states."""

    def __init__(self, proof: Proof, hand: Hand, phases: Mapping[str, str], wish: Wish, stop: threading.Event) -> None:
        self._proof = proof
        self._hand = hand
        self._bench = hand.bench
        self._wish = wish
        self._stop = stop
        self._phases = {check: phases[check] for check in proof.checks}
        self._red_before: set[str] = set()
        """Checks that the solution itself does not pass here: red under a mutant, they prove nothing."""
        self._live = tuple(check for check, phase in self._phases.items() if phase == "live")

    def go(self) -> None:
        helper = not self._hand.first
        try:
            self._attempt("the bench", self._bench.renew)
            if helper:
                self._alternatives()
            if "pristine" in self._wish.parts and not helper:
                self._attempt("pristine", lambda: self._grade("pristine"))
            if "solution" in self._wish.parts or not self._hand.mutants.empty():
                self._attempt("solution", self._solve_again if helper else self._solution)
                self._mutants()
            if not helper:
                self._alternatives()
            self._bench.tell("done")
        except _BenchLostError:
            self._bench.tell("failed: given up")
        finally:
            self._attempt("deleting the bench", self._bench.leave, vital=False)

    def _alternatives(self) -> None:
        if self._hand.alternatives and "alternatives" in self._wish.parts:
            for playbook in self._wish.alternatives:
                self._attempt(f"alternative {playbook}", functools.partial(self._alternative, playbook), vital=False)
            if self._wish.alternatives and not self._hand.first:
                self._attempt("the bench", self._bench.renew)

    def _mutants(self) -> None:
        while True:
            if self._stop.is_set():
                raise _BenchLostError
            try:
                mutant = self._hand.mutants.get_nowait()
            except Empty:
                return
            self._try(mutant)

    def _attempt(self, what: str, work: Callable[[], object], *, vital: bool = True) -> None:
        if vital and self._stop.is_set():
            raise _BenchLostError
        try:
            work()
        except PlateauError as problem:
            self._proof.broken.append(f"{self._bench.id}, {what}: {problem}")
            if vital:
                raise _BenchLostError from None

    def _grade(self, state: str, selection: Selection | None = None) -> tuple[Seen, ...]:
        checks, seconds = self._bench.grade(state, selection or Selection(reboot=self._wish.reboot))
        self._proof.gradings.append(Grading(self._bench.id, state, checks, seconds))
        return checks

    def _solution(self) -> None:
        self._bench.play(self._bench.bench.session.lab.solution)
        self._bench.save(SOLVED)
        self._note_red(self._grade("solution"))
        for number in range(1, self._wish.repeat + 1):
            self._bench.back(SOLVED)
            self._grade(f"repetition {number}", Selection(checks=self._live, reboot=False))

    def _solve_again(self) -> None:
        """On a second bench of the same seed: same values, so the same verdicts."""
        self._bench.play(self._bench.bench.session.lab.solution)
        self._bench.save(SOLVED)
        self._note_red(self._grade(f"repetition on {self._bench.name}", Selection(checks=self._live, reboot=False)))

    def _note_red(self, checks: Sequence[Seen]) -> None:
        self._red_before |= {one.check for one in checks if not one.green}

    def _alternative(self, playbook: str) -> None:
        self._bench.renew()
        self._bench.play(playbook)
        self._grade(f"alternative {playbook}")

    def _try(self, mutant: Mutant) -> None:
        if mutant.equivalent is not None:
            self._proof.trials.append(Trial(self._bench.id, mutant.id, "equivalent", 0, detail=mutant.equivalent))
            return
        began = time.monotonic()
        try:
            trial = self._trial(mutant, began)
        except PlateauError as problem:
            seconds = round(time.monotonic() - began, 1)
            trial = Trial(self._bench.id, mutant.id, "unmeasured", seconds, detail=str(problem))
        self._proof.trials.append(trial)
        self._bench.tell(f"{mutant.id}: {trial.fate.replace('_', ' ')}")

    def _trial(self, mutant: Mutant, began: float) -> Trial:
        def trial(fate: Fate, detail: str, checks: Sequence[Seen] = (), *, whole: bool = False) -> Trial:
            red = tuple(one.check for one in checks if one.verdict == "failed")
            stray = judge.stray(mutant, checks)
            seconds = round(time.monotonic() - began, 1)
            return Trial(self._bench.id, mutant.id, fate, seconds, red, stray, whole, detail)

        self._bench.tell(f"{mutant.id}: {mutant.mistake}")
        chosen, reboots = judge.affected(mutant, self._phases)
        if reboots and not self._wish.reboot:
            return trial("unmeasured", "only a reboot can show it, and the persistence phase was left out")
        red = self._red_before.intersection(mutant.kills)
        if red:
            return trial("unmeasured", f"{', '.join(sorted(red))}: not passed on the solution either")
        self._bench.back(SOLVED)
        refusal = self._bench.apply(mutant)
        if refusal:
            return trial("not_applied", refusal)
        whole = mutant.id in judge.sampled(self._wish.mutants, self._wish.share, self._hand.seed)
        if whole:
            chosen = [*self._live, *(check for check in chosen if check not in self._live)]
        selection = Selection(checks=tuple(chosen), reboot=reboots, reboot_nodes=(mutant.node,))
        checks, _ = self._bench.grade(mutant.id, selection)
        return trial(*judge.fate(mutant, checks), checks, whole=whole)


class _BenchLostError(Exception):
    """The bench cannot be brought where it must be; its seed's proof ends here."""
