"""The findings of a proof on disk, a line each as they are made, so that an interrupted proof can be taken up.

A proof takes an hour of real machines; what it measured before a power cut counts. It is taken up only with the same
checks, mutants and playbooks: findings about other ones would not belong together.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs.errors import InputError
from labs.prove.result import Grading, Seen, Trial

if TYPE_CHECKING:
    from labs.models.lab import Lab
    from labs.prove.proof import Wish

KINDS = {Grading: "grading", Trial: "trial"}


class Ledger:
    """One proof's findings: those of its earlier processes, and those of this one as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._began = time.monotonic()
        self.gradings: list[Grading] = []
        self.trials: list[Trial] = []
        self.earlier = 0.0
        """How long the earlier processes worked (seconds)."""
        self.resumed = 0
        """How often the proof was taken up."""

    @property
    def seconds(self) -> float:
        """How long the proof has taken, all its processes together."""
        return self.earlier + time.monotonic() - self._began

    @classmethod
    def begin(cls, path: Path, asked: Mapping[str, Any]) -> Ledger:
        """The ledger of a new proof; the one of the proof before is replaced."""
        ledger = cls(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"kind": "proof", "asked": asked}) + "\n", encoding="utf-8")
        return ledger

    @classmethod
    def resume(cls, path: Path, asked: Mapping[str, Any]) -> Ledger:
        """The ledger of an interrupted proof, with what it found.

        Raises InputError when there is none, it is not readable, or it was asked something else.
        """
        ledger = cls(path)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise InputError("--resume: no proof of this lab was interrupted; leave --resume out") from None
        last = lines.pop()  # nothing, or what a killed process was writing: measured again
        try:
            head, *entries = [json.loads(line) for line in lines]
            ledger._require_same(head["asked"], asked)
            for entry in entries:
                ledger._read(entry)
        except (ValueError, KeyError, TypeError) as problem:
            raise InputError(f"{path}: not the findings of a proof ({problem}); leave --resume out") from None
        if last:
            path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        ledger.resumed += 1
        ledger._append({"kind": "resumed"})
        return ledger

    def keep(self, found: Grading | Trial) -> None:
        """Write a finding down."""
        with self._guard:
            self._hold(found)
            self._append({"kind": KINDS[type(found)], "found": dataclasses.asdict(found)})

    def close(self) -> None:
        """The proof ended: there is nothing to take up."""
        self._path.unlink(missing_ok=True)

    def settled(self, seed: str) -> set[str]:
        """Mutants of a seed whose fate is known."""
        return {one.mutant for one in self.trials if one.seed == seed and one.fate not in {"unmeasured", "not_applied"}}

    def states(self, seed: str) -> set[str]:
        """States in which a seed's bench was graded."""
        return {one.state for one in self.gradings if one.seed == seed}

    def _hold(self, found: Grading | Trial) -> None:
        if isinstance(found, Grading):
            self.gradings.append(found)
            return
        again = [one for one in self.trials if (one.seed, one.mutant) != (found.seed, found.mutant)]
        self.trials[:] = [*again, found]

    def _append(self, entry: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**entry, "at": round(self.seconds, 1)}, ensure_ascii=False) + "\n")

    def _read(self, entry: Mapping[str, Any]) -> None:
        self.earlier = float(entry["at"])
        if entry["kind"] == "resumed":
            self.resumed += 1
        elif entry["kind"] == "grading":
            checks = tuple(Seen(**one) for one in entry["found"]["checks"])
            self._hold(Grading(**{**entry["found"], "checks": checks}))
        else:
            lists = {name: tuple(entry["found"][name]) for name in ("red", "stray")}
            self._hold(Trial(**{**entry["found"], **lists}))

    @staticmethod
    def _require_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            raise InputError(
                f"--resume: not what the interrupted proof was asked: {', '.join(changed)}; give its options again, "
                "or leave --resume out"
            )


def asked(lab: Lab, seeds: list[str], wish: Wish, training: str | None = None) -> dict[str, Any]:
    """What the findings of one proof have in common; names are those of the options, or of what was tried."""
    from graders import versions
    from labs.paths import CATALOGUE, GRADERS, PLAYBOOKS

    def tree(folder: Path) -> str:
        files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return versions.digest(sorted(files))

    return {
        "lab": lab.name,
        "--training": training,
        "--seeds": seeds,
        "--part": sorted(wish.parts),
        "--mutant": [one.id for one in wish.mutants],
        "--repeat": wish.repeat,
        "--whole-suite-every": wish.share,
        "--reboot": wish.reboot,
        "the graders": tree(GRADERS),
        "the playbooks": tree(PLAYBOOKS),
        "the labs": tree(CATALOGUE),
    }
