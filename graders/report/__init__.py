"""Reports: documents made from a run's records, and from nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from graders import records

RECORDS = "records.jsonl"


def write_all(run_dir: Path, lang: str = "fr") -> dict[str, Path]:
    """Write report.html, junit.xml and marks.csv beside a run's records.jsonl; returns each path by file name.

    Each file is replaced whole or not at all. Raises ValueError, naming the line, when the records cannot be read,
    and OSError when the folder cannot be read or written.
    """
    from graders.report import html, junit, marks

    run = records.load(run_dir / RECORDS)
    documents = {"report.html": html.render(run, lang), "junit.xml": junit.write(run), "marks.csv": marks.write(run)}
    return {name: _replace(run_dir / name, document) for name, document in documents.items()}


def _replace(path: Path, document: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
