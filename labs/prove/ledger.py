"""The findings of a proof on disk, a line each as they are made, so that an interrupted proof can be taken up.

A proof takes an hour of real machines; what it measured before a power cut counts, and so does what was measured beside
a mutant that had to be mended. It is taken up only with the same checks, lab and playbooks: findings about other ones
would not belong together. A mutant or a fault whose text has changed is tried anew, and what could not be measured too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs.errors import InputError
from labs.prove.result import Grading, Seen, Trial

if TYPE_CHECKING:
    from labs.models.lab import Lab
    from labs.prove.judge import Sabotaged
    from labs.prove.proof import Wish

KINDS = {Grading: "grading", Trial: "trial"}
SABOTAGES = "sabotages"
"""Where the ledger says which mutants and faults it is about."""


class Ledger:
    """One proof's findings: those of its earlier processes, and those of this one as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._began = time.monotonic()
        self._sabotages: Mapping[str, str] = {}
        """Digest of each mutant and fault, as the findings of now are about."""
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
        ledger._sabotages = asked[SABOTAGES]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"kind": "proof", "asked": asked}) + "\n", encoding="utf-8")
        return ledger

    @classmethod
    def resume(cls, path: Path, asked: Mapping[str, Any]) -> Ledger:
        """The ledger of an unfinished proof, with what it found about what has not changed since.

        Raises InputError when there is none, it is not readable, or it was asked something else.
        """
        ledger = cls(path)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise InputError("--resume: no proof of this lab is unfinished; leave --resume out") from None
        last = lines.pop()  # nothing, or what a killed process was writing: measured again
        try:
            head, *entries = [json.loads(line) for line in lines]
            ledger._require_same(head["asked"], asked)
            ledger._sabotages = head["asked"][SABOTAGES]
            for entry in entries:
                ledger._read(entry)
        except (ValueError, KeyError, TypeError) as problem:
            raise InputError(f"{path}: not the findings of a proof ({problem}); leave --resume out") from None
        if last:
            path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        ledger.gradings[:] = [one for one in ledger.gradings if all(seen.verdict != "error" for seen in one.checks)]
        again = {"kind": "resumed", SABOTAGES: asked[SABOTAGES]}
        ledger._read(again | {"at": ledger.earlier})
        ledger._append(again)
        return ledger

    def keep(self, found: Grading | Trial) -> None:
        """Write a finding down."""
        with self._guard:
            self._hold(found)
            self._append({"kind": KINDS[type(found)], "found": dataclasses.asdict(found)})

    def close(self) -> None:
        """The proof ended well: there is nothing to take up."""
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
            before, self._sabotages = self._sabotages, entry[SABOTAGES]
            same = {name for name, digest in self._sabotages.items() if before.get(name) == digest}
            self.trials[:] = [one for one in self.trials if one.mutant in same]
        elif entry["kind"] == "grading":
            checks = tuple(Seen(**one) for one in entry["found"]["checks"])
            self._hold(Grading(**{**entry["found"], "checks": checks}))
        else:
            lists = {name: tuple(entry["found"][name]) for name in ("red", "stray")}
            self._hold(Trial(**{**entry["found"], **lists}))

    @staticmethod
    def _require_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        changed = sorted(name for name in {*before, *now} - {SABOTAGES} if before.get(name) != now.get(name))
        if changed:
            raise InputError(
                f"--resume: not what the unfinished proof was asked: {', '.join(changed)}; give its options again, "
                "or leave --resume out"
            )


def asked(
    lab: Lab, seeds: list[str], wish: Wish, training: str | None = None, hypervisor: str = "qemu"
) -> dict[str, Any]:
    """What the findings of one proof have in common; names are those of the options, or of what was tried."""
    from graders import versions
    from labs.paths import CATALOGUE, COMMON, GRADERS, PLAYBOOKS, ROOT

    def tree(*folders: Path, but: Collection[str] = ()) -> str:
        files = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
        wanted = sorted(path for path in files if "__pycache__" not in path.parts and path.name not in but)
        return versions.digest(wanted, ROOT)

    def digest(one: Sabotaged) -> str:
        return hashlib.sha256(one.model_dump_json().encode()).hexdigest()[:16]

    return {
        "lab": lab.name,
        "--training": training,
        "--hypervisor": hypervisor,
        "--seeds": seeds,
        "--part": sorted(wish.parts),
        "--repeat": wish.repeat,
        "--whole-suite-every": wish.share,
        "--reboot": wish.reboot,
        "the graders": tree(GRADERS, but=("mutants.yaml",)),
        "the program": versions.digest(
            sorted(path for path in (ROOT / "labs").rglob("*.py") if CATALOGUE not in path.parents), ROOT
        ),
        "the images": tree(ROOT / "labs" / "images"),
        "the playbooks": tree(PLAYBOOKS),
        "the lab": tree(CATALOGUE / lab.name, COMMON, but=("faults.yaml",)),
        SABOTAGES: {one.id: digest(one) for one in wish.sabotages},
    }
