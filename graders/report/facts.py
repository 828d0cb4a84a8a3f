"""What a record's pages say about how it came about: referential, subject, versions, barème, capitalisation. Pure."""

from __future__ import annotations

import datetime

from graders.records import RunHeader
from graders.report import text
from graders.report.aggregate import CandidateResult
from graders.report.writer import Writer, training_version
from labs.models.bareme import Bareme

Facts = list[list[str]]


def header_time(header: RunHeader) -> datetime.datetime:
    """The moment that every document carries: the run's beginning, never the clock."""
    return text.moment(header.started) or datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def facts(w: Writer, candidate: CandidateResult, ccp: str | None = None, first: datetime.date | None = None) -> Facts:
    """What heads the first page; with `ccp`, also until when it counts (`first`: when the first CCP was obtained)."""
    header = w.result.header
    lab = w.shown(w.t.pick(header.lab_title, header.lab))
    found = [
        [w.t("referential"), w.official()],
        [w.t("lab"), f"{lab} ({w.t('version', version=header.lab_version)}){training_version(w.t, header)}"],
        [w.t("date"), text.local(begun(candidate) or header.started, w.lang)],
        [w.t("mode"), w.t(f"mode_{header.mode}") if header.mode in ("exam", "training") else w.shown(header.mode)],
    ]
    if header.frozen is not None:
        found.append([w.t("measured_state"), w.t("state_frozen" if header.frozen else "state_now")])
    if ccp:
        if digest := header.versions.get("referential"):
            found[0][1] += f", {w.t('referential_digest', digest=w.shown(digest))}"
        found += [[w.t("checks_version"), _checks(w)], [w.t("valid_until"), capitalised(w, first)]]
    if w.result.bareme.mark and candidate.mark is not None:
        found.append([w.t("mark20"), f"{w.number(candidate.mark)} / 20"])
    return found


def begun(candidate: CandidateResult) -> str | None:
    """When the first of a candidate's checks began: in a run that was taken up again, not when the run did."""
    return min((record.started for task in candidate.tasks for record in task.records), default=None)


def versions(w: Writer) -> Facts:
    """With what the run was graded, and how points become results."""
    header = w.result.header
    found = [
        [w.t("grader"), f"Plateau {w.shown(header.grader_version)}"],
        [w.t("hypervisor"), w.shown(header.hypervisor)],
        [w.t("run"), w.shown(header.run)],
        [w.t("seed"), w.shown(header.seed_digest)],
    ]
    for name in ("checks", "referential", "dependencies", "python"):
        if told := header.versions.get(name):
            found.append([w.t(f"digest_{name}"), w.shown(told)])
    twice = any(
        {record.phase for record in task.records if record.check == one.check} > {one.phase}
        for candidate in w.result.candidates
        for task in candidate.tasks
        for one in task.records
    )
    return [*found, [w.t("bareme"), bareme(w, w.result.bareme, twice=twice)]]


def bareme(w: Writer, sheet: Bareme, *, twice: bool) -> str:
    """The sheet's rules beyond its points, those that it has; `twice`: some check has a measure of each phase."""
    told = [w.t("bareme_threshold", share=w.number(100 * sheet.threshold))]
    told += [w.t("bareme_row", row=row, share=w.number(100 * share)) for row, share in sheet.rows.items()]
    if sheet.coefficients:
        rows = [f"{row} × {w.number(value)}" for row, value in sheet.coefficients.items()]
        told.append(w.t("bareme_coefficients", rows=", ".join(rows)))
    if sheet.eliminatory:
        told.append(w.t("bareme_eliminatory", checks=", ".join(sheet.eliminatory)))
    if twice:
        told.append(w.t("bareme_persistence", share=w.number(100 * sheet.persistence)))
    return text.typo(" ; " if w.lang == "fr" else "; ", w.lang).join(told)


def capitalised(w: Writer, first: datetime.date | None) -> str:
    """Until when a CCP counts towards the title."""
    years = w.referential.pack.capitalised_years
    start = first or text.here(header_time(w.result.header)).date()
    until = w.date(later(start, years))
    if first:
        return w.t("valid_obtained", until=until, years=years, first=w.date(first))
    return w.t("valid_assumed", until=until, years=years)


def later(day: datetime.date, years: int) -> datetime.date:
    """The same day some years later; 29 February becomes 28 February.

    >>> later(datetime.date(2024, 2, 29), 5)
    datetime.date(2029, 2, 28)
    """
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _checks(w: Writer) -> str:
    header = w.result.header
    if digest := header.versions.get("checks"):
        return w.t("checks_version_text", version=w.shown(header.grader_version), digest=w.shown(digest))
    return f"Plateau {w.shown(header.grader_version)}"
