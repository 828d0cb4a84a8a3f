"""What goes into a candidate's dossier: all that a run's folder holds about them, and what explains it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from graders import contest, report, rubric, versions
from graders.dossier import (
    MANIFEST,
    PUBLIC_KEY,
    RECORDS,
    RESULTS,
    SIGNATURE,
    STATEMENT,
    SUFFIX,
    SUMS,
    DossierError,
    envelope,
    manifest,
)
from graders.dossier import archive as zipped
from graders.dossier import sources as sources_of
from graders.dossier.keys import Key
from graders.records import RunHeader
from graders.report import summary
from graders.report.document import records_of
from graders.report.text import json_text
from labs.models.lab import load_lab

SUBJECTS = tuple(f"{name}.{kind}" for name in ("sujet", "subject") for kind in ("md", "html"))


def build(
    run_dir: Path, session_folder: Path, candidate: str, key: Key, sources: report.Sources | None = None
) -> bytes:
    """The sealed dossier's bytes: the same records, marks and key give the same ones. `sources` spares reading them.

    Raises DossierError when the run has no such candidate or is of a training version; ValueError or InputError when
    its files cannot be read.
    """
    files, header = gather(run_dir, session_folder, candidate, sources or report.read(run_dir))
    about = {
        "candidate": candidate,
        "session": header.session,
        "run": header.run,
        "lab": f"{header.lab} {header.lab_version}",
        "referential": header.referential,
        "grader_version": header.grader_version,
    }
    return zipped.write(files | _seal(files, about, key))


def gather(
    run_dir: Path, session_folder: Path, candidate: str, sources: report.Sources, *, explained: bool = True
) -> tuple[dict[str, bytes], RunHeader]:
    """The files that a dossier seals, records first. Raises as `build` does.

    Unless it is to be `explained`, an old run comes without its sheet and referential when they changed since.
    """
    header = sources.run.header
    if header.training:
        raise DossierError(f"{run_dir}: a training version is no result of a title: there is nothing to seal")
    if candidate not in {bench.candidate for bench in sources.run.benches}:
        raise DossierError(f"{run_dir / RECORDS}: no candidate {candidate!r}")
    files = {RECORDS: records_of(sources.run, candidate).encode()}
    files[RESULTS] = results(files[RECORDS], sources.rubrics).encode()
    names = [bench.candidate for bench in sources.run.benches]
    for path in _files(run_dir):
        name = path.relative_to(run_dir).as_posix()
        if name != RECORDS and owner(name, names) == candidate:
            files[f"run/{name}"] = path.read_bytes()
    explanations = [
        *_subject(session_folder, candidate),
        *(sources_of.kept(run_dir) or _of_today(header, explained)).items(),
        *_contested(session_folder / contest.FOLDER, candidate, names),
    ]
    for name, path in explanations:
        if path.is_file():
            files[name] = path.read_bytes()
    marks = rubric.folder_for(run_dir) / f"{candidate}.yaml"
    if marks.is_file():
        files[f"{rubric.FOLDER}/{candidate}.yaml"] = marks.read_bytes()
    files = {name: files[name] for name in (RECORDS, RESULTS, *sorted(set(files) - {RECORDS, RESULTS}))}
    return files, header


def results(records: bytes, rubrics: Any) -> str:
    """The results that follow from records and marks: what is sealed, and what a verification makes again."""
    from graders.records import parse

    run = parse(records.decode().removesuffix("\n").split("\n"), RECORDS)
    return json_text(summary.build(run, rubrics)) + "\n"


def owner(name: str, candidates: Iterable[str]) -> str | None:
    """Whose file it is, by its name: `snapshots/c01.jsonl` is c01's; None when it is nobody's.

    >>> owner("grader-anne-b.log", ["anne", "anne-b"]), owner("2-again-1/records.jsonl", ["1", "2"])
    ('anne-b', '2')
    """
    return max((one for one in candidates if _of(one).fullmatch(name)), key=len, default=None)


def _of(candidate: str) -> re.Pattern[str]:
    """The names of a candidate's files in a run's folder and among contestations; ids may be any word, or a number."""
    one = re.escape(candidate)
    return re.compile(
        rf"grader-{one}\.log|(?:html|gradescope|snapshots)/{one}\.[^/]+|pdf/{one}(?:-\w+)?\.pdf"
        rf"|{one}\.jsonl|{one}-evidence-\d+\.zip|{one}-again-\d+/.*"
    )


def _seal(files: dict[str, bytes], about: dict[str, Any], key: Key) -> dict[str, bytes]:
    made = manifest.make(files, about)
    listed = files | {MANIFEST: manifest.text(made).encode()}
    sums = manifest.sums(listed).encode()
    digests = {name: manifest.digest(content) for name, content in listed.items()}
    comment = f"plateau dossier {about['session']} {about['run']} {about['candidate']}"
    return {
        MANIFEST: listed[MANIFEST],
        SUMS: sums,
        SIGNATURE: key.minisign(sums, " ".join(comment.split())).encode(),
        STATEMENT: envelope.seal(key, digests, {**about, "head": made["head"]}).encode(),
        PUBLIC_KEY: key.public.text().encode(),
    }


def _files(run_dir: Path) -> Iterator[Path]:
    for path in sorted(run_dir.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(run_dir).parts)
        if path.is_file() and not path.is_symlink() and not hidden and not path.name.endswith(SUFFIX):
            yield path


def _subject(session_folder: Path, candidate: str) -> Iterator[tuple[str, Path]]:
    """The subject as the candidate got it; never their password."""
    for name in SUBJECTS:
        yield f"subject/{name}", session_folder / "access" / candidate / name


def _of_today(header: RunHeader, required: bool) -> dict[str, Path]:
    """The lab's sheet and the referential, when they are those that the run was graded with.

    Raises DossierError when they are not, and required.
    """
    now = {"referential": versions.collect(header.referential).get("referential"), "lab": load_lab(header.lab).version}
    then = {"referential": header.versions.get("referential"), "lab": header.lab_version}
    changed = [name for name in now if then[name] is not None and now[name] != then[name]]
    if changed and not required:
        return {}
    if changed:
        told = ", ".join(f"{name} {then[name]} then, {now[name]} now" for name in changed)
        raise DossierError(f"{header.run}: not what it was graded with: {told}; seal it with the Plateau of then")
    return sources_of.of(header.lab, header.referential)


def _contested(folder: Path, candidate: str, candidates: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """The candidate's contestations and what was measured again; the evidence frozen then is named by its digest."""
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if owner(name, candidates) == candidate and path.suffix != ".zip":
            yield f"{contest.FOLDER}/{name}", path
