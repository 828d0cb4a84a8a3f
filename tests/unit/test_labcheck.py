"""`plateau lab check`: what an author got wrong, each on one line with its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labs import checksource, labcheck
from labs.errors import InputError
from labs.models.lab import lab_names
from labs.paths import CATALOGUE


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., list[str]]:
    """Copies the lab, makes (old, new) changes in a file, and returns what the check says."""
    folder = tmp_path / "reseau"
    shutil.copytree(CATALOGUE / "reseau", folder)

    def change(*changes: tuple[str, str], file: str = "lab.yaml") -> list[str]:
        path = folder / file
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            labcheck.check_lab(folder / "lab.yaml")
        return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]

    return change


def line_with(text: str) -> int:
    lines = (CATALOGUE / "reseau" / "lab.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize("name", lab_names())
def test_the_catalogue_is_well_formed(name: str) -> None:
    assert labcheck.check_lab(CATALOGUE / name / "lab.yaml").name == name


def test_a_preparation_that_is_not_there(broken: Callable[..., list[str]]) -> None:
    told = broken(("solution: ", "preparation: preparations/absente.yml\nsolution: "))
    assert any(
        "preparation: no such playbook under playbooks/ (found 'preparations/absente.yml')" in one for one in told
    )


def test_every_decorated_check_is_found() -> None:
    found = checksource.graded_ids()
    assert "CP06-S1.a" in found
    assert found["CP06-S1.a"].name == "check_dhcp.py"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{{ lan | host(254) }} '", "{{ lan_post }} '", "cannot be rendered: 'lan_post' is undefined"),
        ("node: srv", "node: dc", "lab reseau gives candidates"),
        ("green: [CP07-S2.a]", "green: [CP09-S2.a]", "CP09-S2.a is not in the sheet"),
        ("applied:", "aplied:", "aplied: unknown key"),
    ],
)
def test_a_typo_in_a_fault_is_told_before_a_bench_meets_it(broken, old: str, new: str, words: str) -> None:
    told = broken((old, new), file="faults.yaml")
    assert any(words in line for line in told), told
    assert all(line.startswith("faults.yaml:") for line in told)


def test_several_problems_at_once(broken) -> None:
    told = broken(
        ("role: ws", "role: wks"), ("solutions/reseau.yml", "solutions/resau.yml"), ("CP06-S1.b", "CP06-S1.z")
    )
    assert len(told) == 3
    assert told[0].startswith(f"lab.yaml:{line_with('role: ws')}: nodes.2.role: no role 'wks'; known: ")
    assert told[1].startswith(f"lab.yaml:{line_with('solution:')}: solution: no such playbook")
    assert told[2].startswith(f"lab.yaml:{line_with('CP06-S1.b')}: tasks.1.checks.CP06-S1.z: no function in graders/")


def test_value_that_cannot_be_computed(broken) -> None:
    (told,) = broken(('lan_poste: "{{ lan | host(20) }}"', 'lan_poste: "{{ lna | host(20) }}"'))
    assert told == f"lab.yaml:{line_with('lan_poste:')}: values.lan_poste: cannot be computed: 'lna' is undefined"


def test_networks_that_overlap(broken) -> None:
    told = broken(('lan: "10.{{ site }}.{{ lan_octet }}.0/24"', 'lan: "10.{{ site }}.0.0/16"'))
    place = line_with('serveurs: "10.')
    assert any(line.startswith(f"lab.yaml:{place}: values.serveurs: 10.") for line in told)
    assert any("overlaps lan (10." in line for line in told)


def test_missing_template(broken) -> None:
    (told,) = broken(("template: srv/vitrine.py.j2", "template: srv/vitrin.py.j2"))
    assert told.startswith(f"lab.yaml:{line_with('srv/vitrine.py.j2')}: nodes.1.files.0.template: no such file: ")


def test_template_that_does_not_render(broken) -> None:
    (told,) = broken(("[Service]", "{{ nul }}\n[Service]"), file="files/srv/vitrine.service.j2")
    assert told.startswith("files/srv/vitrine.service.j2:")
    assert told.endswith("cannot be rendered: 'nul' is undefined")


def test_subject_that_does_not_render(broken) -> None:
    (told,) = broken(("{{ domaine }}", "{{ domain }}"), file="subject.fr.md.j2")
    assert told.startswith("subject.fr.md.j2:")
    assert told.endswith("cannot be rendered: 'domain' is undefined")


def test_address_outside_its_network(broken) -> None:
    (told,) = broken(("{{ lan_poste }}", "{{ serveurs_srv }}"), file="addresses.yaml")
    assert told.startswith("addresses.yaml:4: ws.lan: 10.")
    assert told.endswith(" is not an address of lan")


def test_missing_text_and_unknown_referential(broken) -> None:
    told = broken((', en: "Servers"', ""), ("referential: tssi-2013", "referential: tssi-2031"))
    assert f"lab.yaml:{line_with('name: serveurs')}: segments.1.title: en: missing; add this text" in told
    assert any(line.startswith(f"lab.yaml:{line_with('referential')}: referential: no referential") for line in told)
