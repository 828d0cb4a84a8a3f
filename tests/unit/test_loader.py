"""Mistakes in YAML files: each is one line that names the file, the line and the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import SESSION, write_session

from labs.errors import InputError
from labs.models.lab import load_lab_file
from labs.models.loader import load
from labs.models.session import SessionFile
from labs.paths import CATALOGUE


def problem_of(tmp_path: Path, text: str) -> str:
    path = write_session(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path, SessionFile)
    return str(caught.value).removeprefix(f"{path}")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (SESSION.replace("title:", "titel:"), ":1: title: missing; add this key\n"),
        (SESSION + "mode: exma\n", ":8: mode: Input should be 'training' or 'exam'"),
        (SESSION.replace("name: Sam Petit", "nom: Sam Petit"), ":7: candidates.1.name: missing; add this key\n"),
        (SESSION.replace("id: sam", "id: Sam P"), ":7: candidates.1.id: small letters, digits and -"),
        (SESSION.replace("graine-des-essais", "court"), ":4: seed: String should have at least 8 characters"),
        (SESSION.replace("seed: graine-des-essais", "seed: 12345678"), ":4: seed: Input should be a valid string"),
        (SESSION.split("candidates")[0] + "candidates: alex\n", ":5: candidates: Input should be a valid list"),
        (SESSION.split("candidates")[0], ":1: (file): give either candidates or candidates_csv"),
        (SESSION + "hypervisor:\n  qemu: true\n", ":8: hypervisor: Input should be a valid string"),
    ],
)
def test_names_line_and_field(tmp_path: Path, wrong: str, expected: str) -> None:
    assert problem_of(tmp_path, wrong).startswith(expected)


def test_unknown_key_says_so(tmp_path: Path) -> None:
    assert problem_of(tmp_path, SESSION + "sead: again\n") == ":8: sead: unknown key; check the spelling"


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    told = problem_of(tmp_path, SESSION.replace("title:", "titel:").replace("graine-des-essais", "court"))
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize(
    "wrong", ["name: [a\ntitle: b\n", "name: a\n\tb: c\n", "a: b: c\n", "name: 'x\n", "a: 1\na: 2\n"]
)
def test_not_yaml(tmp_path: Path, wrong: str) -> None:
    told = problem_of(tmp_path, wrong)
    assert ": not valid YAML: " in told
    assert told[1].isdigit()
    assert "\n" not in told


@pytest.mark.parametrize("wrong", ["", "# nothing\n", "- a\n- b\n", "hello\n"])
def test_not_a_mapping(tmp_path: Path, wrong: str) -> None:
    assert problem_of(tmp_path, wrong).startswith(":1: expected keys and values, found ")


def test_missing_file_and_bad_encoding(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"session\.yaml: no such file"):
        load(tmp_path / "session.yaml", SessionFile)
    (tmp_path / "session.yaml").write_bytes(SESSION.replace("Alex", "L\xe9a").encode("latin-1"))
    with pytest.raises(InputError, match=r"session\.yaml: cannot be read"):
        load(tmp_path / "session.yaml", SessionFile)


def test_lab_with_an_undeclared_segment(tmp_path: Path) -> None:
    text = (CATALOGUE / "reseau" / "lab.yaml").read_text().replace("nics: [{segment: lan}]", "nics: [{segment: lna}]")
    (tmp_path / "reseau").mkdir()
    path = tmp_path / "reseau" / "lab.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"node ws: segment 'lna' is not declared under segments"):
        load_lab_file(path)


def test_folder_carries_the_labs_name(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text((CATALOGUE / "reseau" / "lab.yaml").read_text())
    with pytest.raises(InputError, match="name: is 'reseau' but the folder is"):
        load_lab_file(path)
