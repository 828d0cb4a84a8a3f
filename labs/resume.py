"""Taking up a grading run that was interrupted: what it was asked, and which candidates were measured.

A candidate is measured as a whole: the words that the probe uses, the answers of the machines and the reboot of one
candidate's marks belong to one grading. Whoever was being measured at the interruption is measured again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import labs
from labs.errors import InputError
from labs.grade import PARTS, Selection, ended, is_run_name
from labs.sessionfiles import SessionFiles, write_private

if TYPE_CHECKING:
    from labs.models.session import Session

NAME = "asked.json"
RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Interrupted:
    """A run that has no records of the whole session."""

    folder: Path
    candidates: tuple[str, ...]
    selection: Selection

    @property
    def measured(self) -> tuple[str, ...]:
        """Candidates whose grading ended."""
        return tuple(one for one in self.candidates if ended(self.folder / PARTS / one))

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(one for one in self.candidates if one not in self.measured)

    @property
    def rebooted(self) -> tuple[str, ...]:
        """Candidates of `left` whose machines the interrupted grading had begun to reboot."""
        from graders.engine.snapshot import read
        from graders.plugin.run import REBOOT, SNAPSHOTS
        from labs.errors import PlateauError

        found = []
        for one in self.left:
            path = self.folder / PARTS / one / SNAPSHOTS / f"{one}.jsonl"
            try:
                for seen in read(path):
                    if (seen.source, seen.action) == ("hypervisor", REBOOT):
                        found.append(one)
                        break
            except PlateauError:
                continue  # nothing was written, or only half of its last line: no reboot had begun before that line
        return tuple(found)


def keep(session: Session, folder: Path, candidates: list[str], selection: Selection) -> None:
    """Write down what a run is asked, before it begins; the file goes when the run ends."""
    data = {"candidates": candidates, "selection": asdict(selection), "versions": _versions(session)}
    write_private(folder / NAME, json.dumps(data, indent=1).encode())


def find(session: Session) -> Interrupted | None:
    """The newest run of a session when it was interrupted; None when it ended, or there is none."""
    runs = sorted(path for path in SessionFiles(session.folder).results.glob("*") if is_run_name(path.name))
    runs = [path for path in runs if (path / NAME).is_file() or (path / RECORDS).is_file()]
    if not runs or (runs[-1] / RECORDS).is_file():
        return None
    data = _read(runs[-1])
    selection = {**data["selection"]}
    for name in ("checks", "reboot_nodes"):
        selection[name] = tuple(selection[name])
    return Interrupted(runs[-1], tuple(data["candidates"]), Selection(**selection))


def require(session: Session) -> Interrupted:
    """The run to take up. Raises InputError when there is none, or when its marks could not stand beside new ones."""
    found = find(session)
    if found is None:
        raise InputError(f"{session.name}: --resume: its last grading was not interrupted; leave --resume out")
    before, now = _read(found.folder)["versions"], _versions(session)
    changed = sorted(name for name in set(before) | set(now) if before.get(name) != now.get(name))
    if changed:
        raise InputError(
            f"{found.folder.name}: --resume: {', '.join(changed)} changed since it began; --anew, so that all "
            "candidates are graded alike"
        )
    strangers = sorted(set(found.candidates) - {one.id for one in session.candidates})
    if strangers:
        raise InputError(
            f"{found.folder.name}: --resume: {', '.join(strangers)} left the session; --anew grades the others"
        )
    return found


def leave_out(run: Interrupted, candidates: Sequence[str]) -> Interrupted:
    """The run without some who are not measured, from now on. Raises InputError when it cannot do without them."""
    if not candidates:
        return run
    for one in candidates:
        if one not in run.left:
            state = "is measured already" if one in run.candidates else "is not in it"
            raise InputError(f"{run.folder.name}: --without {one}: {state}; left to measure: {', '.join(run.left)}")
    if not set(run.candidates) - set(candidates):
        raise InputError(f"{run.folder.name}: --without: nobody would be left; --anew begins another run")
    kept = replace(run, candidates=tuple(one for one in run.candidates if one not in candidates))
    asked = {**_read(run.folder), "candidates": kept.candidates}
    write_private(run.folder / NAME, json.dumps(asked, indent=1).encode())
    return kept


def _read(folder: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if not {"candidates", "selection", "versions"} <= set(data):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(f"{folder / NAME}: not what a run was asked ({problem}); delete {folder}") from None
    return data


def _versions(session: Session) -> dict[str, str]:
    """What the marks of one run have in common."""
    from graders import versions

    lab = {"lab": session.lab.version, "plateau": labs.__version__, "seed": _digest(session.file.seed)}
    return {**versions.collect(session.lab.referential), **lab, "lab.yaml": _digest(session.lab.model_dump_json())}


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
