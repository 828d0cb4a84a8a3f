"""The TSSI pack and what its loader refuses."""

from __future__ import annotations

import pytest

from graders import referentials


def test_tssi_has_three_activities_and_seventeen_competences_in_order() -> None:
    tssi = referentials.load("tssi-2013")
    assert (tssi.code, tssi.document, tssi.version, f"{tssi.date:%d/%m/%Y}") == ("TP-00485", "REAC", "08", "19/03/2013")
    assert [len(activity.competences) for activity in tssi.activities] == [5, 6, 6]
    ids = [competence.id for activity in tssi.activities for competence in activity.competences]
    assert ids == [f"CP{n:02}" for n in range(1, 18)]


def test_every_wording_is_there_in_both_languages() -> None:
    tssi = referentials.load("tssi-2013")
    competences = [c for activity in tssi.activities for c in activity.competences]
    texts = [x.title for x in [*tssi.activities, *competences]] + [r.title for c in competences for r in c.rows]
    assert all(text.fr.strip() and text.en.strip() for text in texts)
    assert {c.id: len(c.rows) for c in competences if c.rows} == {"CP03": 13, "CP06": 14, "CP07": 18}


PACK = """
id: x
code: X
document: REAC
version: "1"
date: 2020-01-01
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
    ],
)
def test_a_wrong_pack_is_refused_with_its_place(row: str, kind: str, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"x\.yaml: activities.*{problem}"):
        referentials.parse(PACK.replace("ROW", row).replace("KIND", kind), "x.yaml")


def test_a_right_pack_is_read() -> None:
    assert referentials.parse(PACK.replace("ROW", "CP01-S1").replace("KIND", "technical"), "x.yaml").id == "x"


def test_bad_yaml_and_unknown_names_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"^x\.yaml: not YAML [^\n]*$"):
        referentials.parse("a: [", "x.yaml")
    with pytest.raises(ValueError, match=r"no referential '\.\./etc'; there are: .*tssi-2013"):
        referentials.load("../etc")
