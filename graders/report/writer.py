"""Wordings that the HTML and the PDF documents share: texts made harmless, who marked, what was contested. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from graders.records import Record, RunHeader, Verdict
from graders.referentials import Referential
from graders.report import text
from graders.report.aggregate import CandidateResult, RunResult
from graders.report.messages import Messages
from graders.rubric import Opinion, Override, RowMark


@dataclass(frozen=True)
class Writer:
    """Wordings of one document, in one language."""

    result: RunResult
    referential: Referential
    lang: str
    t: Messages

    def shown(self, value: object, limit: int = 1200) -> str:
        """A text from the records, cut, made visible, with the language's spaces."""
        return text.typo(text.visible(text.short(value, limit)), self.lang)

    def measured(self, value: object, limit: int = 1200) -> str:
        """A value as it was asked or seen: cut and made visible, its spaces untouched."""
        return text.visible(text.short(value, limit))

    def number(self, value: float) -> str:
        return text.number(value, self.lang)

    def worth(self, candidate: CandidateResult, record: Record) -> str:
        """A check's points: what it got, or that it is waited for, over what it is worth."""
        return worth(self.t, candidate, record)

    def official(self) -> str:
        """The referential, as documents cite it."""
        pack = self.referential.pack
        if pack.reference:
            return f"{pack.title.get(self.lang)} ({pack.code}), {pack.reference.get(self.lang)}"
        return self.t(
            "referential_text",
            title=pack.title.get(self.lang),
            code=pack.code,
            document=pack.document,
            version=pack.version,
            date=f"{pack.date:%d/%m/%Y}",
        )

    def date(self, value: datetime.date | None) -> str:
        return f"{value:%d/%m/%Y}" if value else self.t("no_date")


def training_note(t: Messages, header: RunHeader) -> str:
    """What every document says first about a run of a training version; empty for the whole lab."""
    if not header.training:
        return ""
    return t("training_note", title=text.visible(text.short(t.pick(header.training["title"], header.training["id"]))))


def training_version(t: Messages, header: RunHeader) -> str:
    """What follows the lab's name: a comma and the training version; empty for the whole lab."""
    if not header.training:
        return ""
    title = t.pick(header.training["title"], header.training["id"])
    told = f", {t('training_version', title=title, id=header.training['id'])}"
    return text.typo(text.visible(text.short(told, 400)), t.lang)


def worth(t: Messages, candidate: CandidateResult, record: Record) -> str:
    """As `Writer.worth`, also for a run whose referential is not known here."""
    if record.verdict is Verdict.NOT_APPLICABLE:
        return ""
    won = text.number(record.points if record.verdict is Verdict.PASSED else 0, t.lang)
    if (record.check, record.phase) in candidate.open:
        won = t("pending")
    return f"{won} / {text.number(record.max_points, t.lang)}"


def signed(w: Writer, candidate: CandidateResult, entry: RowMark | Opinion) -> str:
    """Who marked, and when."""
    assert candidate.rubric
    who = w.shown(candidate.rubric.who(entry), 80) or w.t("no_name")
    when = candidate.rubric.when(entry)
    return w.t("opinion_by", who=who, date=w.date(when)) if when else f"{who}, {w.t('no_date')}"


def overridden(w: Writer, original: Record, override: Override) -> str:
    """One sentence: what a person decided, what the machine had said, and why."""
    return w.t(
        "override",
        verdict=w.t(override.verdict.value).lower(),
        original=w.t(original.verdict.value).lower(),
        reason=w.shown(override.reason),
        who=w.shown(override.evaluator, 80),
        date=w.date(override.date),
    )


def contested(w: Writer, candidate: CandidateResult, record: Record) -> list[str]:
    """One sentence a step: every verdict that this check ever had stays readable."""
    told = []
    for event in candidate.contests:
        if event.check != record.check or record.phase not in event.verdicts:
            continue
        by = w.t("contest_by", who=w.shown(event.by, 80)) if event.by else ""
        verdict = event.verdicts[record.phase]
        told.append(
            w.t(
                f"contest_{event.event}",
                date=text.local(event.at, w.lang),
                by=by,
                run=w.shown(event.run, 80),
                verdict=w.t(verdict).lower() if verdict in set(Verdict) else w.shown(verdict, 40),
                reason=w.shown(event.reason),
            )
        )
    return told


def writer(result: RunResult, referential: Referential, lang: str) -> Writer:
    """The wordings for a run. Raises ValueError for a language that there is not."""
    return Writer(result, referential, lang, Messages(lang))
