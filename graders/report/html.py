"""report.html: one self-contained page, the session first, then one section a candidate. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from graders import referentials
from graders.records import Record, Verdict
from graders.referentials import Referential
from graders.report import aggregate, text
from graders.report.aggregate import RunResult
from graders.report.causes import BlockedGroup
from graders.report.checkhtml import SYMBOLS, Checks, anchor
from graders.report.document import persons_part
from graders.report.grid import grid
from graders.report.messages import Messages
from graders.report.outcomes import Outcome
from graders.report.sheets import Sheet, sheets
from graders.report.writer import Writer, signed, training_note, training_version

OUTCOME_SYMBOLS = {
    Outcome.MET: "✓",
    Outcome.PARTIAL: "◐",
    Outcome.NOT_MET: "✗",
    Outcome.NOT_ASSESSABLE: "?",
    Outcome.NOT_APPLICABLE: "–",
}


class Pages:
    """The pages of one run: each candidate's section is rendered once, for the cohort's page and for their own.

    The same run gives the same bytes: nothing comes from the clock or the machine. Raises ValueError when there is no
    such language.
    """

    def __init__(self, result: RunResult, lang: str) -> None:
        self._result = result
        self._values = _values(result, lang)
        template = _environment().get_template("candidate.html.j2")
        self._sections = [
            Markup(template.render(self._values, candidate=candidate, n=n))  # noqa: S704  # rendered, so escaped
            for n, candidate in enumerate(result.candidates, 1)
        ]

    def cohort(self) -> str:
        """The session, then every candidate."""
        return self._page(self._result, self._sections)

    def alone(self, number: int) -> str:
        """The session and the candidate at that place (from 0) only: nobody else's name is in their page."""
        one = self._result.candidates[number]
        return self._page(replace(self._result, candidates=(one,), final=one.tally.final), [self._sections[number]])

    def _page(self, result: RunResult, sections: list[Markup]) -> str:
        numbers = {id(one): n for n, one in enumerate(self._result.candidates, 1)}
        styles = [
            f"@page c{numbers[id(one)]} {{ @bottom-left {{ content: {text.css_string(text.visible(_label(one)))}; }} }}"
            for one in result.candidates
        ]
        page_styles = Markup("\n".join(styles))  # noqa: S704  # built from css_string only
        return (
            _environment()
            .get_template("report.html.j2")
            .render(
                self._values,
                result=result,
                sections=sections,
                page_styles=page_styles,
                number_of=lambda candidate: numbers[id(candidate)],
            )
        )


def render(result: RunResult, lang: str = "fr") -> str:
    """The cohort's page. Raises ValueError when there is no such language."""
    return Pages(result, lang).cohort()


def _values(result: RunResult, lang: str) -> dict[str, Any]:
    """What the templates see."""
    messages = Messages(lang)
    referential = _referential(result.header.referential)
    writer = Writer(result, referential, lang, messages) if referential else None
    return {
        "run": result.header,
        "training_version": training_version(messages, result.header),
        "training": training_note(messages, result.header),
        "referential": writer.official() if writer else result.header.referential,
        "sheets": partial(_sheets, referential=referential, lang=lang),
        "t": messages,
        "lang": lang,
        "verdicts": list(Verdict),
        "symbols": SYMBOLS,
        "outcome_symbols": OUTCOME_SYMBOLS,
        "number": lambda value: text.number(value, lang),
        "typo": lambda value: text.typo(text.short(value, 1200), lang),
        "local": lambda stamp: text.local(stamp, lang),
        "short": text.short,
        "flatten": text.flatten,
        "placed": place,
        "open_checks": _open_checks,
        "grid": lambda candidate: grid(candidate, referential, lang) if referential else [],
        "checks": Checks(messages, lang, writer),
        "person": lambda competence: persons_part(writer, competence) if writer else "",
        "signed": lambda candidate, entry: signed(writer, candidate, entry) if writer else "",
        "anchor": anchor,
    }


def _open_checks(candidate: aggregate.CandidateResult) -> int:
    behind = sum(len(group.records) for group in candidate.blocked if not group.settled)
    return candidate.tally.counts[Verdict.ERROR] + len(candidate.tally.missing) + behind


@dataclass(frozen=True)
class Placed:
    """Where each group of blocked checks is shown, once."""

    under: dict[tuple[str, str], list[BlockedGroup]]
    """Under the check that is their cause, by (check, phase)."""
    outside: list[BlockedGroup]
    """Before the tasks: the cause is a machine, or a check that is not part of this run."""
    elsewhere: dict[str, list[Record]]
    """By task: its blocked checks that are listed outside of it."""


def place(candidate: aggregate.CandidateResult) -> Placed:
    """Put every blocked check of a candidate under its cause."""
    placed = Placed({}, [], {})
    for group in candidate.blocked:
        origin = group.origin
        if origin is None or origin.verdict is Verdict.BLOCKED:
            placed.outside.append(group)
            origin = None
        else:
            placed.under.setdefault((origin.check, origin.phase), []).append(group)
        for record in group.records:
            if origin is None or record.task != origin.task:
                placed.elsewhere.setdefault(record.task, []).append(record)
    return placed


def _label(candidate: aggregate.CandidateResult) -> str:
    return text.short(f"{candidate.bench.name} ({candidate.bench.candidate})", 80)


def _referential(name: str) -> Referential | None:
    """The referential of the run, or None when this version does not have it: ids are shown instead of titles."""
    return referentials.load(name) if name in referentials.names() else None


def _sheets(candidate: aggregate.CandidateResult, referential: Referential | None, lang: str) -> list[Sheet]:
    return sheets(candidate.competences, referential, lang)


@cache
def _environment() -> Environment:
    """Jinja with escaping everywhere; every value shown goes through `visible` first."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else text.visible(str(value)),
    )
