"""junit.xml: one suite a candidate, one case a record, for CI tools. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from graders.records import Record, Verdict
from graders.report.aggregate import CandidateResult, RunResult
from graders.report.measures import row_of
from graders.report.text import cut, short, visible

_SKIPPED = {
    Verdict.BLOCKED: "blocked",
    Verdict.MANUAL: "manual",
    Verdict.NOT_APPLICABLE: "not_applicable",
}


def write(result: RunResult) -> str:
    """The XML document. Characters that XML does not allow are shown as symbols."""
    header = result.header
    root = ET.Element("testsuites", name=visible(f"{header.session} {header.run}"))
    for candidate in result.candidates:
        suite = ET.SubElement(root, "testsuite", name=visible(candidate.bench.candidate))
        records = [record for task in candidate.tasks for record in task.records]
        _properties(
            suite,
            {
                "candidate": candidate.bench.candidate,
                "name": candidate.bench.name,
                "lab": f"{header.lab} {header.lab_version}",
                **({"training": str(header.training["id"])} if header.training else {}),
                "hypervisor": header.hypervisor,
                "grader_version": header.grader_version,
                "seed_digest": header.seed_digest,
                "points": f"{candidate.tally.points:g}",
                "max_points": f"{candidate.tally.max_points:g}",
                "final": str(candidate.tally.final).lower(),
            },
        )
        for record in records:
            _case(suite, candidate, record)
        for check in candidate.tally.missing:
            classname = visible(f"{candidate.bench.candidate}.{row_of(check).partition('-')[0]}")
            case = ET.SubElement(suite, "testcase", classname=classname, name=visible(check), time="0.000")
            ET.SubElement(case, "skipped", type="not_run", message="declared by the lab, no record in this run")
        counts = candidate.tally.counts
        suite.set("tests", str(len(records) + len(candidate.tally.missing)))
        suite.set("failures", str(counts[Verdict.FAILED]))
        suite.set("errors", str(counts[Verdict.ERROR]))
        suite.set("skipped", str(sum(counts[v] for v in _SKIPPED) + len(candidate.tally.missing)))
        suite.set("time", f"{sum(record.seconds for record in records):.3f}")
        suite.set("timestamp", visible(header.started))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, candidate: CandidateResult, record: Record) -> None:
    phase = "" if record.phase == "live" else f" [{record.phase}]"
    case = ET.SubElement(
        suite,
        "testcase",
        classname=visible(f"{record.candidate}.{record.competence}"),
        name=visible(f"{record.check}{phase} {short(record.title)}"),
        time=f"{record.seconds:.3f}",
    )
    _properties(
        case,
        {
            "candidate": record.candidate,
            "check": record.check,
            "competence": record.competence,
            "task": record.task,
            "phase": record.phase,
            "verdict": record.verdict.value,
            "points": f"{record.points:g}",
            "max_points": f"{record.max_points:g}",
            **_override(candidate, record),
        },
    )
    message = visible(_cut(record.message, 4000))
    match record.verdict:
        case Verdict.PASSED:
            return
        case Verdict.FAILED:
            ET.SubElement(case, "failure", message=message, type="failed").text = _details(record)
        case Verdict.ERROR:
            ET.SubElement(case, "error", message=message, type="error").text = _details(record)
        case Verdict.BLOCKED:
            reason = visible(f"blocked by {record.blocked_by or 'an unnamed prerequisite'}")
            full = f"{reason}: {message}" if message else reason
            ET.SubElement(case, "skipped", type="blocked", message=full)
        case skipped:
            ET.SubElement(case, "skipped", type=_SKIPPED[skipped], message=message)


def _override(candidate: CandidateResult, record: Record) -> dict[str, str]:
    """A person's decision, with what the machine had said."""
    place = (record.check, record.phase)
    if place not in candidate.overrides:
        return {}
    override = candidate.overrides[place]
    return {
        "machine_verdict": candidate.original[place].verdict.value,
        "override_reason": override.reason,
        "override_by": f"{override.evaluator} {override.date.isoformat()}",
    }


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=visible(value))


def _details(record: Record) -> str:
    lines = [
        f"{'ok ' if c.ok else 'NOT'} {_cut(c.label)}: expected {_cut(c.expected)} / observed {_cut(c.observed)}"
        for c in record.comparisons
    ]
    lines += [f"{_cut(e.source)}$ {_cut(e.action)}\n{_cut(e.output, 2000)}" for e in record.evidence]
    return visible("\n".join(lines))


def _cut(text: str, size: int = 400) -> str:
    head, left_out, tail = cut(text, size, size // 4)
    return f"{head} [... {left_out} characters ...] {tail}" if left_out else head
