"""Reports: documents made from a run's records and from what people marked, and from nothing else."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graders import contest, records, referentials, rubric

if TYPE_CHECKING:
    from graders.records import Run
    from graders.report.aggregate import RunResult
    from graders.rubric import Rubric

RECORDS = "records.jsonl"
PDF_FOLDER, HTML_FOLDER, GRADESCOPE_FOLDER = "pdf", "html", "gradescope"


@dataclass(frozen=True)
class Sources:
    """What documents are made from."""

    run: Run
    rubrics: Mapping[str, Rubric]
    result: RunResult


def read(run_dir: Path) -> Sources:
    """A run's records with people's marks and the contestations.

    Raises ValueError naming the line of the records or contestations, InputError naming the line of a form of marks.
    """
    from graders.report import aggregate

    run = records.load(run_dir / RECORDS)
    names = [bench.candidate for bench in run.benches]
    rubrics = rubric.load_all(rubric.folder_for(run_dir), names)
    if rubrics and run.header.referential in referentials.names():
        known = referentials.load(run.header.referential).rows
        rubric.refuse_strangers(rubric.folder_for(run_dir), rubrics, run, known)
    folder = contest.folder_for(run_dir)
    contests = {name: contest.read(folder / f"{name}.jsonl") for name in names if "/" not in name}
    return Sources(run, rubrics, aggregate.build(run, rubrics, contests))


def write_all(run_dir: Path, lang: str = "fr") -> dict[str, Path]:
    """Write the cohort's documents beside a run's records.jsonl; returns each path by file name.

    report.html, html/<candidate>.html, junit.xml, marks.csv, moodle.csv, moodle.xml, gradescope/<candidate>.json, and
    jury.xlsx when the referential is known here and it is no training version. Each file is replaced whole or not at
    all. Raises ValueError, naming the line, when the records cannot be read, InputError when a form of marks cannot,
    OSError when the folder cannot be read or written.
    """
    from graders.report import html, junit, jurygrid, marks, platforms

    result = read(run_dir).result
    pages = html.Pages(result, lang)
    documents: dict[str, str | bytes] = {
        "report.html": pages.cohort(),
        "junit.xml": junit.write(result),
        "marks.csv": marks.write(result),
        "moodle.csv": platforms.moodle_csv(result),
        "moodle.xml": platforms.moodle_xml(result),
    }
    for number, (name, candidate) in enumerate(zip(_file_names(result), result.candidates, strict=True)):
        documents[f"{GRADESCOPE_FOLDER}/{name}.json"] = platforms.gradescope(result, candidate)
        documents[f"{HTML_FOLDER}/{name}.html"] = pages.alone(number)
    if result.header.referential in referentials.names() and not result.header.training:
        documents["jury.xlsx"] = jurygrid.write(result, referentials.load(result.header.referential), lang)
    return {name: _replace(run_dir / name, document) for name, document in documents.items()}


def write_pdfs(
    run_dir: Path,
    lang: str = "fr",
    candidates: Iterable[str] | None = None,
    ccp: str | None = None,
    first_ccp: datetime.date | None = None,
) -> dict[str, Path]:
    """Write pdf/<candidate>.pdf and pdf/<candidate>-retour.pdf; with `ccp`, pdf/<candidate>-<ccp>.pdf alone.

    `first_ccp` is the day on which the first CCP was obtained: from then on their years are counted.

    Raises ValueError when the records cannot be read, when the referential is not known here or has no such CCP, or
    for a CCP of a training version.
    """
    from graders.report import document, facts, pdf
    from graders.report import writer as writing

    sources = read(run_dir)
    result = sources.result
    referential = referentials.load(result.header.referential)
    if ccp is not None and result.header.training:
        raise ValueError(f"{result.header.run}: a training version is no result of a title: no document of {ccp}")
    if ccp is not None and ccp not in {activity.id for activity in referential.pack.activities}:
        known = ", ".join(activity.id for activity in referential.pack.activities)
        raise ValueError(f"no CCP {ccp!r} in {referential.id}; there are: {known}")
    w = writing.writer(result, referential, lang)
    moment = int(facts.header_time(result.header).timestamp())
    wanted = None if candidates is None else set(candidates)
    jobs: list[tuple[str, pdf.Template, dict[str, object], list[pdf.Attachment]]] = []
    for name, one in zip(_file_names(result), result.candidates, strict=True):
        if wanted is not None and one.bench.candidate not in wanted:
            continue
        attached = [(RECORDS, "application/jsonl", document.records_of(sources.run, one.bench.candidate))]
        if one.rubric:
            attached.append(("marks.json", "application/json", one.rubric.model_dump_json(indent=1, by_alias=True)))
        laid_out = document.document(w, one, ccp, first_ccp)
        jobs.append((f"{name}{f'-{ccp}' if ccp else ''}", "record", laid_out, attached))
        if ccp is None:
            jobs.append((f"{name}-retour", "feedback", document.feedback(w, one), []))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:  # typst works outside Python's lock
        made = list(pool.map(lambda job: pdf.compile_pdf(job[1], job[2], job[3], moment), jobs))
    return {
        f"{PDF_FOLDER}/{job[0]}.pdf": _replace(run_dir / PDF_FOLDER / f"{job[0]}.pdf", content)
        for job, content in zip(jobs, made, strict=True)
    }


def _file_names(result: RunResult) -> list[str]:
    """Candidates' ids as file names: a records file may come from elsewhere, and name anybody anything."""
    names = []
    for number, candidate in enumerate(result.candidates, 1):
        raw = candidate.bench.candidate
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in raw)[:60]
        names.append(safe if safe == raw else f"{safe}-{number}")
    return names


def _replace(path: Path, document: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(document if isinstance(document, bytes) else document.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
