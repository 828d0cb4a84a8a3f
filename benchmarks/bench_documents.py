"""documents: how long a session's documents take to render, from records alone."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import machine, publish
from graders import referentials, report
from graders.records import BenchHeader, Comparison, Evidence, Record, RunHeader, Verdict, dump
from graders.report import html

LIMITS = {"html_seconds": 3, "pdf_seconds": 30, "html_mb": 30}
CYCLE = (Verdict.PASSED, Verdict.PASSED, Verdict.FAILED, Verdict.PASSED, Verdict.BLOCKED)
OUTPUT = "".join(f"{n:3} 10.24.8.{n % 250} offre bail 28800 passerelle 10.24.8.1\n" for n in range(40))


def main(arguments: Sequence[str]) -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- documents", description=__doc__)
    parser.add_argument("--candidates", type=int, default=30, metavar="N")
    parser.add_argument("--records", type=int, default=200, metavar="N", help="records of each candidate")
    options = parser.parse_args(arguments)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="plateau-bench-") as name:
        folder = Path(name)
        write_records(folder, options.candidates, options.records)
        began, used = time.monotonic(), time.process_time()
        result = report.read(folder).result
        read_seconds = time.monotonic() - began
        page = html.render(result)
        html_seconds, html_cpu_seconds = time.monotonic() - began, time.process_time() - used
        began = time.monotonic()
        report.write_all(folder)
        all_seconds = time.monotonic() - began
        began, used = time.monotonic(), time.process_time()
        pdfs = report.write_pdfs(folder)
        pdf_seconds, pdf_cpu_seconds = time.monotonic() - began, time.process_time() - used
        figures = {
            "html_seconds": round(html_seconds, 2),
            "pdf_seconds": round(pdf_seconds, 2),
            "html_mb": round(len(page.encode()) / 1e6, 1),
            "html_cpu_seconds": round(html_cpu_seconds, 2),
            "pdf_cpu_seconds": round(pdf_cpu_seconds, 2),
            "read_seconds": round(read_seconds, 2),
            "all_but_pdf_seconds": round(all_seconds, 2),
            "pdf_files": len(pdfs),
            "pdf_mb": round(sum(path.stat().st_size for path in pdfs.values()) / 1e6, 1),
        }
    publish("documents", facts, figures, LIMITS)


def write_records(folder: Path, candidates: int, number: int) -> None:
    """A session in which every verdict has its evidence: a quarter of the rows of the title, several checks each."""
    rows = [row for row in referentials.load("tssi-2013").rows if row.startswith("CP")][: max(1, number // 4)]
    checks = [f"{rows[n % len(rows)]}.{chr(97 + n // len(rows))}" for n in range(number)]
    tasks = [
        {"id": f"t{n}", "title": {"fr": f"Tâche {n}"}, "points": 20, "checks": dict.fromkeys(checks[n::10], 0.5)}
        for n in range(10)
    ]
    header = RunHeader(
        run="mesure",
        session="mesure",
        title="Mesure des documents",
        mode="exam",
        lab="reseau",
        lab_title={"fr": "Mesure"},
        lab_version="1.0",
        referential="tssi-2013",
        seed_digest="0" * 64,
        started="2026-11-23T08:00:00+00:00",
        grader_version="0",
        hypervisor="qemu",
        tasks=tasks,
    )
    lines = [dump(header)]
    for who in range(candidates):
        name = f"c{who:02}"
        lines.append(dump(BenchHeader(name, f"Candidat {who}", {"domaine": "limoges.test"}, [])))
        for n, check in enumerate(checks):
            verdict = CYCLE[(n + who) % len(CYCLE)]
            lines.append(dump(_record(name, check, f"t{n % 10}", verdict, checks[0])))
    (folder / report.RECORDS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _record(candidate: str, check: str, task: str, verdict: Verdict, cause: str) -> Record:
    passed = verdict is Verdict.PASSED
    return Record(
        candidate=candidate,
        check=check,
        competence=check.partition("-")[0],
        task=task,
        title=f"Le service répond comme le plan le demande ({check})",
        verdict=verdict,
        points=0.5 if passed else 0.0,
        max_points=0.5,
        message="" if passed else "La réponse reçue n'est pas celle du plan.",
        blocked_by=cause if verdict is Verdict.BLOCKED else None,
        comparisons=[
            Comparison("Adresse dans la plage", "10.24.8.100 à 10.24.8.180", "10.24.8.101", ok=True),
            Comparison("Passerelle annoncée", "10.24.8.1", "10.24.8.1" if passed else "10.24.8.254", ok=passed),
        ],
        evidence=[Evidence("probe:lan", "dhcp discover", OUTPUT, 0.42)],
        started="2026-11-23T08:01:00+00:00",
        seconds=0.42,
    )
