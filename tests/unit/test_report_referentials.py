"""The packs against the official lists, and what their loader refuses."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from samples import session_of

from graders import referentials
from graders.plugin.plan import refuse_strangers
from graders.referentials import coverage
from graders.referentials.coverage import Status
from labs.checksource import graded_ids
from labs.cli.referential import coverage as coverage_command
from labs.errors import InputError
from labs.models.lab import Lab, Task, load_lab

# The lists as they are printed in the orders; titles in the official French.
TSSI = [
    "Gérer les incidents et les problèmes",
    "Configurer et mettre à jour un poste de travail informatique",
    "Configurer la connexion physique et logique du poste de travail",
    "Assister les utilisateurs",
    "Utiliser l'anglais dans son activité professionnelle en informatique",
    "Intervenir sur une infrastructure de réseau TCP/IP",
    "Intervenir sur une infrastructure de réseau sécurisé",
    "Administrer et dépanner un serveur",
    "Intervenir sur un service d'annuaire de réseau",
    "Automatiser des tâches à l'aide de scripts",
    "Déployer des postes de travail sur un réseau d'entreprise",
    "Utiliser un outil de gestion d'environnements virtuels",
    "Intervenir sur un serveur de clients légers",
    "Intervenir sur un système de messagerie informatique",
    "Intervenir sur une architecture n-tiers",
    "Suivre les indicateurs de qualité de service et la relation client",
    "Assurer sa veille technologique en informatique",
]
# Lines of each sheet: technical, relational and organisational know-how, performance criteria; demands that only the
# description makes.
LINES = {
    "CP01": (4, 0, 1, 5, 0),
    "CP02": (6, 0, 1, 5, 0),
    "CP03": (5, 1, 0, 5, 2),
    "CP04": (2, 5, 2, 5, 0),
    "CP05": (6, 0, 0, 3, 0),
    "CP06": (6, 0, 2, 4, 2),
    "CP07": (6, 4, 2, 5, 1),
    "CP08": (6, 1, 1, 6, 3),
    "CP09": (5, 2, 1, 5, 1),
    "CP10": (3, 1, 0, 4, 1),
    "CP11": (5, 1, 3, 5, 0),
    "CP12": (9, 0, 1, 4, 0),
    "CP13": (5, 0, 1, 4, 1),
    "CP14": (3, 0, 2, 4, 2),
    "CP15": (7, 0, 0, 5, 1),
    "CP16": (4, 2, 0, 5, 0),
    "CP17": (3, 1, 0, 5, 0),
}
KINDS = ("technical", "relational", "organisational", "criterion", "demand")


def test_tssi_is_the_official_list() -> None:
    tssi = referentials.load("tssi-2013")
    pack = tssi.pack
    assert (pack.code, pack.document, pack.version, f"{pack.date:%d/%m/%Y}") == ("TP-00485", "REAC", "08", "19/03/2013")
    assert [len(activity.competences) for activity in pack.activities] == [5, 6, 6]
    assert [one.id for one in tssi.competences] == [f"CP{n:02}" for n in range(1, 18)]
    assert [one.title.fr for one in tssi.competences] == TSSI
    assert [row.id for row in pack.transversal] == ["T1", "T2", "T3"]


def test_tssi_has_every_line_of_every_sheet() -> None:
    tssi = referentials.load("tssi-2013")
    assert len(tssi.rows) == 216
    counted = {name: Counter(row.kind for row in rows) for name, rows in tssi.sheets.items()}
    assert {name: tuple(kinds[kind] for kind in KINDS) for name, kinds in counted.items()} == LINES
    assert sum(row.machine and not row.human for row in tssi.rows.values()) == 140
    assert sum(row.machine and row.human for row in tssi.rows.values()) == 55
    assert sum(not row.machine for row in tssi.rows.values()) == 21


@pytest.mark.parametrize(("name", "sizes"), [("tai-2008", [6, 5, 8]), ("tsgeri-2013", [6, 5, 5])])
def test_the_neighbour_titles_are_laid_on_the_same_rows(name: str, sizes: list[int]) -> None:
    found = referentials.load(name)
    tssi = referentials.load("tssi-2013").rows
    assert [len(activity.competences) for activity in found.pack.activities] == sizes
    assert all(found.sheets.values())
    assert {row.id for row in found.rows.values() if row.kind != "family"} <= tssi.keys()


def test_the_fifteen_families_are_the_same_everywhere_and_have_no_check_yet() -> None:
    families = {}
    for name in ("tai-2008", "tsgeri-2013"):
        pack = referentials.load(name)
        for one in coverage.cover(pack, graded_ids(), "fr"):
            for row in one.rows:
                if row.row.kind == "family":
                    assert row.status is Status.NO_CHECK
                    assert families.setdefault(row.row.id, row.row) == row.row
    assert set(families) == {f"N{n}" for n in range(1, 16)}


@pytest.mark.parametrize("name", referentials.names())
def test_every_wording_is_our_trade_s_and_in_both_languages(name: str) -> None:
    found = referentials.load(name)
    texts = [one.title for one in [*found.pack.activities, *found.competences, *found.rows.values()]]
    assert all(text.fr.strip() == text.fr and text.en.strip() == text.en for text in texts)
    english = re.compile(r"\b(the|and|of|with|user|server|network|data)\b", re.IGNORECASE)
    french = re.compile(r"[éèêàùçœ]|\b(le|les|des|une|du|et)\b", re.IGNORECASE)
    assert [text.fr for text in texts if english.search(text.fr)] == []
    assert [text.en for text in texts if french.search(text.en)] == []
    assert [text.fr for text in texts if len(text.fr) > 130] == []


def test_every_check_grades_a_row() -> None:
    rows = {row for name in referentials.names() for row in referentials.load(name).rows}
    assert coverage.outside(graded_ids(), rows) == []
    assert coverage.outside(["CP06-S1.a", "CP99-S1.a"], rows) == ["CP99-S1.a"]


def test_a_row_outside_the_lab_s_referential_is_refused() -> None:
    lab = load_lab("reseau")
    refuse_strangers(["CP06-S1.a"], lab)
    with pytest.raises(InputError, match=r"lab reseau: tasks: CP99-S1\.a: no such row in tssi-2013"):
        refuse_strangers(["CP06-S1.a", "CP99-S1.a"], lab)
    with pytest.raises(InputError, match="no referential 'autre'"):
        refuse_strangers([], lab.model_copy(update={"referential": "autre"}))


def test_coverage_refuses_what_a_lab_grades_outside_the_referential(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_lab("reseau").model_dump(mode="json")
    data["tasks"][0]["checks"]["CP99-S1.a"] = 1
    monkeypatch.setattr("labs.models.lab.load_lab", lambda name: Lab.model_validate(data))
    with pytest.raises(InputError, match=r"lab reseau: tasks: CP99-S1\.a: no row of a referential; nothing outside"):
        coverage_command(None, lab="reseau")


def test_coverage_tells_who_has_a_word_on_each_row() -> None:
    lab = session_of("a").lab
    task = Task(id="t", title={"fr": "T", "en": "T"}, checks={"CP06-S1.a": 1, "CP06-S1.b": 1, "CP06-O1.a": 0})
    checks = [check for one in [*lab.tasks, task] for check in one.checks]
    found = {
        row.row.id: row for one in coverage.cover(referentials.load("tssi-2013"), checks, "fr") for row in one.rows
    }
    assert (found["CP06-S1"].status, found["CP06-S1"].checks[:2]) == (Status.DECIDED, ("CP06-S1.a", "CP06-S1.a"))
    assert found["CP06-O1"].status is Status.SHARED
    assert found["CP07-R3"].status is Status.HUMAN
    assert found["T2"].status is Status.HUMAN
    assert found["CP14-S1"].status is Status.NO_CHECK


PACK = """
id: x
code: X
document: REAC
version: "1"
date: 2020-01-01
capitalised_years: 5
title: {fr: X, en: X}
activities:
  - id: CCP1
    title: {fr: A, en: A}
    competences:
      - id: CP01
        title: {fr: C, en: C}
        rows:
          - {id: ROW, kind: KIND, class: P, title: {fr: R, en: R}}
"""


@pytest.mark.parametrize(
    ("row", "kind", "problem"),
    [
        ("CP01-S1", "criterion", "letter"),
        ("CP02-S1", "technical", "does not belong"),
        ("CP01-S1", "other", "kind"),
        ("N1.a", "family", "letter"),
    ],
)
def test_a_wrong_pack_is_refused_with_its_place(row: str, kind: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"x\.yaml: activities.*{problem}"):
        referentials.parse(PACK.replace("ROW", row).replace("KIND", kind), "x.yaml")


def test_a_right_pack_is_read_and_borrows() -> None:
    text = PACK.replace("ROW", "CP01-S1").replace("KIND", "technical")
    found = referentials.resolve(referentials.parse(text, "x.yaml"), None, "x.yaml")
    assert (found.id, list(found.rows), found.competence_of("CP01-S1")) == ("x", ["CP01-S1"], "CP01")
    borrowed = referentials.parse(text.replace("rows:", "uses: [CP06, T1]\n        rows:"), "x.yaml")
    rows = referentials.resolve(borrowed, referentials.load("tssi-2013"), "x.yaml").sheets["CP01"]
    assert [row.id for row in rows[:2]] == ["CP01-S1", "CP06-S1"]
    assert len(rows) == 1 + 14 + 1
    lost = referentials.parse(text.replace("rows:", "uses: [CP06-S99]\n        rows:"), "x.yaml")
    with pytest.raises(ValueError, match=r"x\.yaml: competence CP01: uses: no such row: CP06-S99"):
        referentials.resolve(lost, referentials.load("tssi-2013"), "x.yaml")


def test_bad_yaml_and_unknown_names_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"^x\.yaml: not YAML [^\n]*$"):
        referentials.parse("a: [", "x.yaml")
    with pytest.raises(ValueError, match=r"no referential '\.\./etc'; there are: .*tssi-2013"):
        referentials.load("../etc")
