"""One bench of a proof: brought to known states, graded, mutated, and brought back."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labs import ansible, inventory
from labs.bench import Bench
from labs.errors import PlateauError
from labs.execute import Executor, Outcome
from labs.grade import EVERYTHING, Selection, grade
from labs.hypervisors.base import Hypervisor
from labs.paths import PLAYBOOKS
from labs.prove.judge import Sabotaged
from labs.prove.result import Seen
from labs.sabotage import Sabotage
from labs.sessionfiles import SessionFiles


@dataclasses.dataclass(frozen=True)
class Room:
    """What all benches of one proof share. `lock` is the descriptor of the session's lock."""

    hypervisor: Hypervisor
    executor: Executor
    files: SessionFiles
    folder: Path
    lock: int
    progress: Callable[[str, str], None]
    stop: threading.Event
    """Cuts short what takes long: a grading, a playbook."""
    up: list[Bench] = dataclasses.field(default_factory=list)
    guard: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def list_up(self, bench: Bench, *, present: bool) -> None:
        """Write the inventory of the benches that are up, this one with or without."""
        with self.guard:
            self.up[:] = [one for one in self.up if one.key != bench.key] + ([bench] if present else [])
            inventory.write(bench.session, self.up, self.hypervisor, self.files)


class ProofBench:
    """The operations of a proof on one bench. All raise PlateauError when the bench cannot be brought where it must."""

    def __init__(self, room: Room, bench: Bench) -> None:
        self.room = room
        self.bench = bench
        self.id = bench.candidate.id
        self.name = f"{self.id}@{bench.session.folder.name}"
        self._gradings = 0
        self._told = ""

    def tell(self, step: str) -> None:
        if step != self._told:
            self._told = step
            self.room.progress(self.name, step)

    def renew(self) -> None:
        """The baseline: every machine as its candidate receives it."""
        self.tell("baseline")
        _require_well(self.room.executor.renew([self.bench]))
        self.room.list_up(self.bench, present=True)

    def play(self, playbook: str) -> None:
        """Apply a playbook to the candidate's machines."""
        self.tell(playbook)
        ansible.run(PLAYBOOKS / playbook, self.room.files.inventory, [self.bench], lambda _host, _task: None,
                    cancelled=self.room.stop)  # fmt: skip

    def restart(self) -> None:
        """Restart the candidate's machines, as the persistence phase does."""
        from graders.reboot import reboot, restarted, system_of

        self.tell("restart")
        nodes = [node for node in self.bench.graded_nodes if system_of(node)]
        for name, told in reboot(self.room.hypervisor, nodes).items():
            if not restarted(told):
                raise PlateauError(f"{name} was restarted and did not come back: {told}")

    def save(self, name: str) -> None:
        """Snapshot, disk and RAM, of every machine, the probe among them.

        Neighbours of a machine that went back without them would believe what it no longer knows: a router of the
        probe's keeps an adjacency (RFC 2328, 10) whose other side has an older database, and neither tells the other.
        """
        _require_well(self.room.executor.snapshot([self.bench], name))

    def back(self, name: str) -> None:
        """Return every machine to a snapshot."""
        _require_well(self.room.executor.rollback([self.bench], name))

    def apply(self, mutant: Sabotaged) -> str | None:
        """Make the mistake, or put the fault in; why it is not seen applied, or None when it is."""
        assert mutant.run is not None
        assert mutant.applied is not None
        return Sabotage(mutant.node, mutant.run, mutant.applied).apply(self.room.hypervisor, self.bench)

    def grade(self, step: str, selection: Selection = EVERYTHING) -> tuple[tuple[Seen, ...], float]:
        """Grade the bench as `plateau grade` does; the verdicts and how long it took (seconds)."""
        from graders.records import load

        self._gradings += 1
        folder = self.room.folder / self.id / f"{self._gradings:03d}-{step.replace(' ', '-').replace('/', '-')}"
        folder.mkdir(parents=True)
        began = time.monotonic()
        session, honest = self.bench.session, dataclasses.replace(selection, signs=False)
        records = grade(session, [self.id], folder, lambda _one, what: self.tell(f"{step}: {what}"),
                        lock=self.room.lock, selection=honest, cancelled=self.room.stop)  # fmt: skip
        try:
            found = load(records).records
        except ValueError as problem:
            raise PlateauError(f"{step}: {problem}") from None
        seen = tuple(
            Seen(one.check, one.verdict.value, one.points, one.max_points, one.phase, one.blocked_by, one.message)
            for one in found
        )
        return seen, round(time.monotonic() - began, 1)

    def leave(self) -> None:
        """Delete the bench."""
        _require_well(self.room.executor.down(self.bench.session.uid, [self.bench.key]))
        self.room.list_up(self.bench, present=False)


def proof_session(folder: Path, lab: str, seeds: Sequence[str], hypervisor: str, training: str | None = None) -> Path:
    """Write the session of a proof: one candidate a seed, so that each seed draws values of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "session.yaml"
    content = {
        "name": f"prove-{lab}"[:31],
        "title": f"Proof of the lab {lab}",
        "lab": lab,
        **({"training": training} if training else {}),
        "seed": f"prove-{lab}-2026",
        "hypervisor": hypervisor,
        "candidates": [{"id": seed, "name": f"Seed {seed}"} for seed in seeds],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
    return path


def _require_well(outcome: Outcome) -> None:
    for nodes in outcome.errors.values():
        raise PlateauError("; ".join(nodes.values()))
