"""A candidate's record as plain data, worded and made harmless, for the PDF templates to lay out. Pure."""

from __future__ import annotations

import datetime
from typing import Any

from graders.records import BenchHeader, Record, Run, RunHeader, Verdict, dump
from graders.report import text
from graders.report.aggregate import CandidateResult
from graders.report.checkdata import check_data
from graders.report.facts import begun, facts, versions
from graders.report.grid import GridActivity, GridCompetence, GridRow, grid
from graders.report.measures import row_of
from graders.report.writer import Writer, signed, training_note
from graders.rubric import Opinion


def document(
    w: Writer, candidate: CandidateResult, ccp: str | None = None, first: datetime.date | None = None
) -> dict[str, Any]:
    """What the record's template lays out; `ccp` keeps one activity only, `first` is when the first was obtained."""
    activities = [one for one in grid(candidate, w.referential, w.lang) if ccp in (None, one.id)]
    return {
        **_frame(w, candidate),
        "kind": w.t("ccp_document", ccp=ccp) if ccp else w.t("document"),
        "purpose": w.t("training_purpose" if w.result.header.training else "purpose"),
        "note": w.t("ccp_note") if ccp else "",
        "banner": _banner(w, candidate, activities if ccp else None),
        "facts": facts(w, candidate, ccp, first),
        "activities": [_activity(w, one) for one in activities],
        "sections": [
            {"id": one.id, "title": w.shown(one.title), "competences": touched}
            for one in activities
            if (touched := [_section(w, candidate, c) for c in one.competences if _touched(c)])
        ],
        "values": [[w.shown(key, 120), w.shown(value, 400)] for key, value in text.flatten(candidate.bench.values)],
        "nodes": [_node(w, node) for node in candidate.bench.nodes],
        "versions": versions(w),
        "words": _words(w),
    }


def feedback(w: Writer, candidate: CandidateResult) -> dict[str, Any]:
    """What the candidate's sheet lays out: by task, without the hidden checks and without evidence."""
    hidden = set(w.result.bareme.hidden)
    count = sum(r.check in hidden for task in candidate.tasks for r in task.records)
    tasks = []
    for task in candidate.tasks:
        mine = [r for r in task.records if r.check not in hidden]
        tasks.append(
            {
                "title": w.shown(w.t.pick(task.title, task.id)),
                "score": f"{w.number(task.tally.points)} / {w.number(task.tally.max_points)}",
                "checks": [check_data(w, candidate, r, with_evidence=False) for r in mine],
            }
        )
    return {
        **_frame(w, candidate),
        "kind": w.t("feedback"),
        "purpose": w.t("feedback_purpose"),
        "hidden": w.t.count("feedback_hidden", count) if count else "",
        "banner": _banner(w, candidate),
        "tasks": tasks,
        "score": f"{w.number(candidate.tally.points)} / {w.number(candidate.tally.max_points)}",
        "words": _words(w),
    }


def records_of(run: Run, candidate: str) -> str:
    """The records file of one candidate alone."""

    items: list[RunHeader | BenchHeader | Record] = [
        run.header,
        *(bench for bench in run.benches if bench.candidate == candidate),
        *(record for record in run.records if record.candidate == candidate),
    ]
    return "".join(f"{dump(item)}\n" for item in items)


def _frame(w: Writer, candidate: CandidateResult) -> dict[str, Any]:
    header = w.result.header
    return {
        "lang": w.lang,
        "name": w.shown(candidate.bench.name, 120),
        "id": w.shown(candidate.bench.candidate, 60),
        "session": w.shown(header.title, 160),
        "date": text.local(begun(candidate) or header.started, w.lang),
        "training": training_note(w.t, header),
        "footer": w.t("footer", version=w.shown(header.grader_version), run=w.shown(header.run)),
        "privacy": w.t("training_privacy" if header.training else "privacy"),
    }


def _banner(w: Writer, candidate: CandidateResult, only: list[GridActivity] | None = None) -> str:
    """What must still be measured; with `only`, of these activities."""
    worth = {check: points for task in w.result.header.tasks for check, points in task.get("checks", {}).items()}
    waiting = [
        (r.check, r.max_points)
        for task in candidate.tasks
        for r in task.records
        if (r.check, r.phase) in candidate.open and r.verdict is not Verdict.MANUAL
    ] + [(check, worth[check]) for check in candidate.tally.missing]
    if only is not None:
        rows = {row.row.id for activity in only for c in activity.competences for row in c.rows}
        waiting = [(check, points) for check, points in waiting if row_of(check) in rows]
    if not waiting:
        return ""
    count, points = len(waiting), w.t.count("points", round(sum(points for _, points in waiting), 4))
    return f"{w.t('not_final')}. {w.t('banner_candidate', count=w.t.count('unmeasured', count), points=points)}"


def _activity(w: Writer, one: GridActivity) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": w.shown(one.title) if one.id else w.t("transversal"),
        "rows": [
            {
                "id": c.id,
                "title": w.shown(c.title),
                "machine": w.t(f"competence_{c.machine.value}") if c.machine else w.t("not_observed"),
                "outcome": c.machine.value if c.machine else "unseen",
                "machine_count": w.t.count("machine_summary", c.met, total=c.counted) if c.machine else "",
                "person": persons_part(w, c),
                "person_count": w.t.count("person_summary", sum(c.levels.values()), total=c.human)
                if c.human and _touched(c)
                else "",
                "satisfied": c.opinion.satisfied if c.opinion else "",
            }
            for c in one.competences
        ],
    }


def persons_part(w: Writer, c: GridCompetence) -> str:
    """The levels given, never averaged: a count of each."""
    if not _touched(c):
        return "–"
    told = [f"{w.t(f'level_{level}')} × {count}" for level, count in c.levels.items()]
    told += [w.t.count("decided_checks", c.overridden)] if c.overridden else []
    return ", ".join(told) or w.t("to_mark" if c.human else "machine_only")


def _touched(c: GridCompetence) -> bool:
    return c.machine is not None or bool(c.levels) or c.opinion is not None


def _section(w: Writer, candidate: CandidateResult, c: GridCompetence) -> dict[str, Any]:
    records = [r for row in c.rows if row.decided for r in row.decided.records]
    eliminated = [check for row in c.rows if row.decided for check in row.decided.eliminated]
    return {
        "id": c.id,
        "title": w.shown(c.title),
        "note": w.t.count("training_rows" if w.result.header.training else "observed_rows", c.observed, total=c.total),
        "result": c.result.value,
        "result_word": w.t(f"competence_{c.result.value}"),
        "eliminated": w.t("eliminated", checks=", ".join(eliminated)) if eliminated else "",
        "rows": [_row(w, candidate, row) for row in c.rows],
        "checks": [check_data(w, candidate, record, with_evidence=True) for record in records],
        "opinion": _opinion(w, candidate, c.opinion),
    }


def _row(w: Writer, candidate: CandidateResult, row: GridRow) -> dict[str, Any]:
    kind = "criterion_kind" if row.row.kind == "criterion" else row.row.kind
    machine = row.machine
    return {
        "id": row.row.id,
        "title": w.shown(row.row.title.get(w.lang)),
        "kind": "" if kind in ("family", "transversal") else w.t(kind),
        "machine": w.t(machine.outcome.value) if machine else "–",
        "outcome": machine.outcome.value if machine else "unseen",
        "checks": ", ".join(dict.fromkeys([r.check for r in machine.records] + [*machine.missing])) if machine else "",
        "level": level_of(w, row),
        "comment": w.shown(row.mark.comment or "") if row.mark else "",
        "who": signed(w, candidate, row.mark) if row.mark else "",
    }


def level_of(w: Writer, row: GridRow) -> str:
    """The person's part of a row, in words."""
    if row.row.human:
        return w.t(f"level_{row.mark.level}") if row.mark else w.t("to_mark")
    if row.overridden:
        return f"{w.t.count('decided_checks', row.overridden)}{w.t('colon')}{w.t(row.result.value).lower()}"
    return "–"


def _opinion(w: Writer, candidate: CandidateResult, opinion: Opinion | None) -> dict[str, str]:
    if opinion is None or opinion.satisfied is None:
        return {"satisfied": "", "comment": "", "who": ""}
    return {
        "satisfied": opinion.satisfied,
        "comment": w.shown(opinion.comment or ""),
        "who": signed(w, candidate, opinion),
    }


def _node(w: Writer, node: dict[str, Any]) -> list[str]:
    state = str(node.get("state", ""))
    return [
        w.shown(node.get("name", ""), 60),
        w.shown(node.get("role", ""), 60),
        w.t(state) if state in ("running", "stopped", "absent") else w.shown(state, 60),
        w.t("yes") if node.get("reachable") else w.t("no"),
        w.shown(node.get("image") or "–", 80),
    ]


def _words(w: Writer) -> dict[str, str]:
    keys = (
        *("synthesis", "synthesis_note", "competence", "machine", "person", "satisfied", "oui", "non", "criterion"),
        *("result", "expectation", "expected", "observed", "conform", "yes", "no", "findings", "source", "jury"),
        *(
            "jury_decides",
            "jury_comment",
            "jury_name",
            "jury_date",
            "jury_signature",
            "evaluator",
            "versions",
            "values",
        ),
        *("nodes", "node", "role", "state", "reachable", "image", "value_name", "value", "attached", "identity"),
        *("evaluator_opinion", "criteria_satisfied", "competences_note", "observed_section", "signatures", "candidate"),
        *("checks_heading", "tasks", "jury_comment", "total"),
    )
    words = {key: w.t(key) for key in keys}
    words["colon"] = text.typo(" :", w.lang) if w.lang == "fr" else ":"
    return words | {"member_1": w.t("jury_member", n=1), "member_2": w.t("jury_member", n=2)}
