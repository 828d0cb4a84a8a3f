"""report.html, read back as a browser would."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from test_report_samples import hostile, perfect, session, with_changes

from graders.records import Run, Verdict
from graders.report import aggregate, html
from graders.report.messages import catalogue


def render(run: Run, lang: str = "fr") -> str:
    return html.render(aggregate.build(run), lang)


VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A parsed page: elements in order, text, and whether every tag is closed where it should be."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.sections: dict[str, list[str]] = {}
        self._section = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section" and "candidate" in (dict(attrs).get("class") or ""):
            self._section = dict(attrs)["id"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text.append(data)
        self.sections.setdefault(self._section, []).append(data)
        for tag in self.open:
            if re.fullmatch(r"h[1-6]", tag):
                self.headings.append((int(tag[1]), data))

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    def words(self, section: str | None = None) -> str:
        return " ".join(" ".join(self.text if section is None else self.sections[section]).split())


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(session()))


def test_self_contained_no_request_no_script(page: Page) -> None:
    assert {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "form"} == set()
    assert all(target.startswith("#") for target in page.attributes("href"))
    assert page.attributes("src") == []
    source = render(session())
    assert "url(" not in source
    assert "@import" not in source
    policy = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert "default-src 'none'" in str(policy[0])


def test_every_link_has_its_target_and_ids_are_unique(page: Page) -> None:
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.attributes("href")} <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)


def test_headings_never_skip_a_level(page: Page) -> None:
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_table_headers_have_a_scope_and_the_page_a_language(page: Page) -> None:
    assert all("scope" in attrs for tag, attrs in page.elements if tag == "th")
    assert page.elements[0][1]["lang"] == "fr"
    assert "main" in {tag for tag, _ in page.elements}


def test_banner_only_when_something_must_be_measured_again(page: Page) -> None:
    assert "Notes non définitives" in page.words()
    assert "Thomas N'Guyen" in page.words("")
    assert "Notes non définitives" not in page.words("c1")
    clean = session()
    sure = Page(render(replace(clean, records=[r for r in clean.records if r.candidate == "c01"],
                                    benches=clean.benches[:1])))  # fmt: skip
    assert "Notes non définitives" not in sure.words()


def test_points_dates_and_spaces_are_french(page: Page) -> None:
    assert "17,5 / 20" in page.words("c1")
    assert "20/11/2026\u00a0à\u00a014:05" in "".join(page.text)
    assert any("2026-11-20T13:05:12Z" in title for title in page.attributes("title"))
    assert not re.search(r" [:;?»]|[a-zé] !(?! non mesurable)", "".join(page.text))


def test_six_verdicts_are_told_in_words(page: Page) -> None:
    for word in ("Acquis", "Non acquis", "Bloqué", "Non mesurable", "À évaluer", "Sans objet"):
        assert word in page.words()


def test_blocked_checks_are_shown_once_under_their_cause(page: Page) -> None:
    text = page.words("c2").replace("\u00a0", " ")
    assert "Bloqué par CP06-S1.a : 3 contrôles (5,5 points)" in text
    assert text.count("Un flux du LAN sort avec l'adresse publique") == 1
    assert "Machine rtr arrêtée ou injoignable : 11 contrôles" in page.words("c3").replace("\u00a0", " ")


def test_reboot_phase_and_competence_outcomes(page: Page) -> None:
    assert "après redémarrage" in page.words("c1")
    assert "CP07-S4 Pare-feu" in page.words("c1")
    for word in ("Critère atteint", "Partiellement atteint", "Non atteint", "Non évaluable"):
        assert word in page.words()
    assert "Le jury est seul à décider" in page.words("c3")


def test_evidence_is_folded(page: Page) -> None:
    assert any(tag == "details" for tag, _ in page.elements)
    assert not any(tag == "details" and "open" in attrs for tag, attrs in page.elements)


def test_hostile_text_is_shown_and_harmless() -> None:
    source = render(hostile())
    source.encode("utf-8")
    found = Page(source)
    assert "script" not in {tag for tag, _ in found.elements}
    assert "<script>alert(1)</script></pre></details>" in found.words()
    assert "rouge" in found.words()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u202a-\u202e\u2066-\u2069]", source)
    assert "\u27e6U+202E\u27e7gnp.exe" in source
    assert "{{ 7*7 }}" in found.words()


def test_a_huge_output_is_cut_with_a_note_and_a_small_page() -> None:
    source = render(hostile())
    assert len(source) < 200_000
    assert "caractères non affichés ici" in Page(source).words()


def test_same_run_same_bytes() -> None:
    assert render(session()) == render(session())


def test_english_has_no_french_left_but_the_checks_own_words() -> None:
    found = Page(render(session(), "en"))
    assert found.elements[0][1]["lang"] == "en"
    assert "Marks are not final" in found.words()
    assert "17.5 / 20" in found.words("c1")
    assert "Work on a TCP/IP network" in found.words("c1")
    marked = [attrs for tag, attrs in found.elements if tag == "h5" and attrs.get("lang") == "fr"]
    assert marked


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'de'"):
        render(session(), "de")


def test_both_catalogues_say_the_same_things() -> None:
    french, english = catalogue()["fr"], catalogue()["en"]
    assert french.keys() == english.keys()
    for key in french:
        holes = [set(re.findall(r"{(\w+)}", str(side[key]))) for side in (french, english)]
        assert holes[0] == holes[1], key
    assert {v.value for v in Verdict} <= french.keys()


def test_a_referential_that_is_not_shipped_shows_ids() -> None:
    run = session()
    found = Page(render(Run(replace(run.header, referential="autre-2030"), run.benches, run.records)))
    assert "Hors du référentiel" in found.words("c1")
    assert "CP06-S1" in found.words("c1")


def test_a_run_without_candidates_is_still_a_page() -> None:
    assert Page(render(Run(session().header, [], []))).words().startswith("Relevé de constats")


def test_unknown_task_and_candidate_without_bench_are_not_lost() -> None:
    run = session()
    extra = replace(perfect("c09")[0], task="imprévue", check="CP99-S1.a", competence="CP99", title="Hors sujet")
    found = Page(render(Run(run.header, [], [*with_changes("c09"), extra])))
    assert "Hors sujet" in found.words("c1")
    assert "imprévue" in found.words()


@pytest.mark.parametrize(
    ("frozen", "told"), [(True, "fin d'épreuve"), (False, "au moment de la correction"), (None, "")]
)
def test_in_which_state_the_machines_were_measured(frozen: bool | None, told: str) -> None:
    run = session()
    text = render(replace(run, header=replace(run.header, frozen=frozen)))
    assert ("Machines mesurées" in text) is bool(told)
    assert told in text.replace("&#39;", "'")
