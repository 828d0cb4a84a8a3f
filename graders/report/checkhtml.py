"""The checks of report.html: what a page repeats by the thousand is written here, for a template takes thrice the time.

Every value goes through `safe`, as it does in the templates. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup

from graders.records import Evidence, Record, Verdict
from graders.report import text
from graders.report.aggregate import CandidateResult
from graders.report.causes import BlockedGroup
from graders.report.messages import Messages
from graders.report.writer import Writer, contested, overridden, worth

HEAD, TAIL = 4000, 1500
"""Characters of one output that are shown: its beginning and its end."""

SYMBOLS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.BLOCKED: "⊘",
    Verdict.ERROR: "!",
    Verdict.MANUAL: "✎",
    Verdict.NOT_APPLICABLE: "–",
    "missing": "…",
}
LIVE = "live"
_NOT_PLAIN = re.compile(r"[^0-9A-Za-z]")


def safe(value: str) -> str:
    """A text as it may stand in an element or an attribute: hidden characters shown, the five of HTML escaped."""
    shown = text.visible(value)
    return (
        shown.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&#34;")
        .replace("'", "&#39;")
    )


def anchor(number: int, record: Record) -> str:
    """The id of a check's place on the page."""
    return f"c{number}-{_NOT_PLAIN.sub('-', f'{record.check}-{record.phase}')}"


class Checks:
    """Writes the checks of every candidate of one page."""

    def __init__(self, messages: Messages, lang: str, writer: Writer | None) -> None:
        self._t, self._lang, self._writer = messages, lang, writer
        self._french = "" if lang == "fr" else ' lang="fr"'  # titles and messages come from the checks, in French
        self._words = {
            key: safe(messages(key))
            for key in (
                *("expectation", "expected", "observed", "conform", "yes", "no", "source", "empty_output", "findings"),
                *("reboot", "intermittent", "blocked_open", "missing"),
                *Verdict,
            )
        }
        w = self._words
        cells = "".join(
            f'<th scope="col" role="columnheader"{kind}>{w[key]}</th>'
            for key, kind in (("expectation", ""), ("expected", ""), ("observed", ""), ("conform", ' class="ok"'))
        )
        self._comparisons_head = (
            '<table class="comparisons cards" role="table">\n'
            f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>\n<tbody role="rowgroup">\n'
        )
        self._badges = {
            verdict: f'<span class="badge v-{verdict}"><span aria-hidden="true">{symbol}</span> {w[verdict]}</span>'
            for verdict, symbol in SYMBOLS.items()
        }

    def check(
        self, candidate: CandidateResult, record: Record, number: int, groups: Iterable[BlockedGroup] = ()
    ) -> Markup:
        """One check, with the blocked ones of which it is the cause."""
        verdict = record.verdict
        unsteady = f' <span class="phase">{self._words["intermittent"]}</span>' if record.intermittent else ""
        parts = [
            f'<article class="check v-{verdict}" id="{anchor(number, record)}">\n<div class="head">\n'
            f"{self._badges[verdict]}\n<h5{self._french}>{self._typo(record.title)}</h5>\n"
            f'<span class="worth">{worth(self._t, candidate, record) or "–"}</span>\n</div>\n'
            f'<p class="ref">{safe(record.check)}{self._phase(record)}{unsteady}</p>\n'
        ]
        parts += [f'<p class="override">{safe(step)}</p>\n' for step in self._said(candidate, record)]
        if record.message:
            parts.append(f'<p class="message"{self._french}>{self._typo(record.message)}</p>\n')
        parts += self._seen(record)
        for group in groups:
            title = self._t("blocked_by", cause=group.cause, count=self._t.count("checks", len(group.records)))
            parts.append(self.group(group, number, title))
        parts.append("</article>\n")
        return Markup("".join(parts))  # noqa: S704  # every value went through `safe`

    def group(self, group: BlockedGroup, number: int, title: str) -> Markup:
        """The checks behind one cause."""
        points = f' <span class="points">({safe(self._t.count("points", group.points))})</span>' if group.points else ""
        parts = [f'<div class="blocked-group">\n<p>{safe(title)}{points}</p>\n']
        if not group.settled:
            parts.append(f'<p class="open">{self._words["blocked_open"]}</p>\n')
        parts.append("<ul>\n")
        parts += [
            f'<li id="{anchor(number, record)}"><span class="ref">{safe(record.check)}</span> '
            f"<span{self._french}>{self._typo(record.title)}</span>{self._phase(record)}</li>\n"
            for record in group.records
        ]
        parts.append("</ul>\n</div>\n")
        return Markup("".join(parts))  # noqa: S704  # every value went through `safe`

    def grades(self, records: Iterable[Record], missing: Iterable[str], number: int) -> Markup:
        """The checks that grade one row, each with a link to its place."""
        parts = ['<ul class="grades">\n']
        for record in records:
            word = f"{SYMBOLS[record.verdict]}</span> {self._words[record.verdict].lower()}"
            parts.append(
                f'<li class="v-{record.verdict}"><a href="#{anchor(number, record)}">{safe(record.check)}</a>'
                f'{self._phase(record)} <span class="word"><span aria-hidden="true">{word}</span></li>\n'
            )
        word = f"{SYMBOLS['missing']}</span> {self._words['missing'].lower()}"
        parts += [
            f'<li class="v-missing">{safe(check)} <span class="word"><span aria-hidden="true">{word}</span></li>\n'
            for check in missing
        ]
        parts.append("</ul>")
        return Markup("".join(parts))  # noqa: S704  # every value went through `safe`

    def _said(self, candidate: CandidateResult, record: Record) -> list[str]:
        """What people decided otherwise, then the steps of a contestation."""
        if self._writer is None:
            return []
        place = (record.check, record.phase)
        said = []
        if place in candidate.overrides:
            said.append(overridden(self._writer, candidate.original[place], candidate.overrides[place]))
        return said + (contested(self._writer, candidate, record) if candidate.contests else [])

    def _seen(self, record: Record) -> list[str]:
        """What was expected and observed, then the evidence, folded; all of it folded when the check is passed."""
        facts, evidence = self._facts(record), self._evidence(record)
        if record.verdict is Verdict.PASSED:
            return self._folded(self._words["findings"], [*facts, *evidence])
        return [*facts, *self._folded(safe(self._t.count("evidence", len(evidence))), evidence)]

    @staticmethod
    def _folded(title: str, parts: list[str]) -> list[str]:
        return [f"<details><summary>{title}</summary>\n", *parts, "</details>\n"] if parts else []

    def _facts(self, record: Record) -> list[str]:
        if not record.comparisons:
            return []
        w = self._words
        labels = [f'data-label="{w[key]}"' for key in ("expected", "observed", "conform")]
        parts = [self._comparisons_head]
        for one in record.comparisons:
            kind, mark = ("yes", "✓") if one.ok else ("no", "✗")
            parts.append(
                f'<tr role="row" class="{kind}"><th scope="row" role="rowheader">{self._typo(one.label)}</th>'
                f'<td role="cell" {labels[0]}><code>{safe(text.short(one.expected))}</code></td>'
                f'<td role="cell" {labels[1]}><code>{safe(text.short(one.observed))}</code></td>'
                f'<td role="cell" class="ok" {labels[2]}><span aria-hidden="true">{mark}</span> {w[kind]}</td></tr>\n'
            )
        parts.append("</tbody>\n</table>\n")
        return parts

    def _evidence(self, record: Record) -> list[str]:
        return [
            f'<figure class="evidence">\n<figcaption><span>{self._words["source"]} '
            f"<b>{safe(text.short(one.source, 80))}</b></span> <code>{safe(text.short(one.action))}</code> "
            f"<span>{safe(self._t('seconds', n=self._number(one.seconds)))}</span></figcaption>\n"
            f"{self._output(one)}</figure>\n"
            for one in record.evidence
        ]

    def _output(self, one: Evidence) -> str:
        if not one.output:
            return f'<p class="nothing">{self._words["empty_output"]}</p>\n'
        head, left_out, tail = text.cut(one.output, HEAD, TAIL)
        if not left_out:
            return f'<pre dir="ltr">{safe(head)}</pre>\n'
        note = safe(self._t.count("left_out", left_out))
        return f'<pre dir="ltr">{safe(head)}\n<span class="cut">{note}</span>\n{safe(tail)}</pre>\n'

    def _phase(self, record: Record) -> str:
        if record.phase == LIVE:
            return ""
        shown = self._words["reboot"] if record.phase == "reboot" else safe(record.phase)
        return f' <span class="phase">{shown}</span>'

    def _typo(self, value: str) -> str:
        return safe(text.typo(text.short(value, 1200), self._lang))

    def _number(self, value: float) -> str:
        return text.number(value, self._lang)
