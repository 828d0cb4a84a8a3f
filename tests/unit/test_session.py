"""Sessions: candidates inline or from a CSV, and what they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import SESSION, write_session

from labs.errors import InputError
from labs.models.lab import load_lab
from labs.models.session import load_session, read_candidates

CSV_SESSION = SESSION.split("candidates")[0] + "candidates_csv: candidates.csv\n"


def session_with_csv(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "candidates.csv").write_bytes(content)
    return write_session(tmp_path, CSV_SESSION)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_session(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_inline_candidates(tmp_path: Path) -> None:
    session = load_session(str(write_session(tmp_path)))
    assert [one.id for one in session.candidates] == ["alex", "sam"]
    assert [one.id for one in session.select(["sam", "sam"])] == ["sam"]
    assert session.select(None) == session.candidates
    assert session.lab.name == "reseau"


def test_a_folder_or_its_file_name_the_same_session(tmp_path: Path) -> None:
    path = write_session(tmp_path)
    assert load_session(str(path)) == load_session(str(tmp_path))


def test_uid_differs_between_checkouts(tmp_path: Path) -> None:
    one, two = (load_session(str(write_session(tmp_path / name))) for name in ("one", "two"))
    assert one.name == two.name
    assert one.uid != two.uid


@pytest.mark.parametrize(
    "content",
    [
        "id,name\nalex,Alex Martin\nlea,Léa Petit\n",
        "id;name\r\nalex;Alex Martin\r\nlea;Léa Petit\r\n",
        "\ufeffid;name\nalex;Alex Martin\nlea;Léa Petit\n",
        'id,name\nalex,"Alex Martin"\n lea , Léa Petit \n',
    ],
)
def test_csv_in_every_usual_shape(tmp_path: Path, content: str) -> None:
    session = load_session(str(session_with_csv(tmp_path, content.encode())))
    assert [(one.id, one.name) for one in session.candidates] == [("alex", "Alex Martin"), ("lea", "Léa Petit")]


def test_csv_name_with_the_other_separator(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('id,name\nalex,"Martin; Alex, dit Lex"\n')
    assert read_candidates(tmp_path / "c.csv")[0].name == "Martin; Alex, dit Lex"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,nom\nalex,Alex\n", ":1: the columns must be id and name, found id, nom"),
        (b"", ":1: the columns must be id and name, found nothing"),
        (b"id,name\n", ": no candidate; add one line per candidate under id,name"),
        (b"id,name\nalex,Alex\nA B,Alex\n", ":3: id: small letters, digits and -"),
        (b"id,name\nalex,\n", ":2: name: String should have at least 1 character"),
        (b"id,name\nalex,Martin, Alex\n", ":2: too many columns; quote a name that holds ','"),
        ("id,name\nalex,Léa\n".encode("latin-1"), ": not UTF-8; save the file as CSV UTF-8"),
    ],
)
def test_csv_mistakes(tmp_path: Path, content: bytes, told: str) -> None:
    path = session_with_csv(tmp_path, content)
    assert refused(path).startswith(f"{tmp_path / 'candidates.csv'}{told}")


def test_missing_csv(tmp_path: Path) -> None:
    path = write_session(tmp_path, CSV_SESSION)
    assert (
        refused(path) == f"{tmp_path / 'candidates.csv'}: no such file; candidates_csv names a file beside session.yaml"
    )


def test_id_given_twice(tmp_path: Path) -> None:
    path = write_session(tmp_path, SESSION.replace("id: sam", "id: alex"))
    assert refused(path) == f"{path}: candidates: id 'alex' is given twice; ids must be unique"


def test_unknown_lab_lists_the_known_ones(tmp_path: Path) -> None:
    path = write_session(tmp_path, SESSION.replace("lab: reseau", "lab: resau"))
    told = refused(path)
    assert told.startswith(f"{path}: lab: unknown lab 'resau'; known: ")
    assert "reseau" in told


def test_unknown_candidate_lists_the_known_ones(tmp_path: Path) -> None:
    path = write_session(tmp_path)
    with pytest.raises(InputError, match="unknown candidate 'zoe'; known: alex, sam"):
        load_session(str(path)).select(["zoe"])


def test_unknown_session_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no session 'nulle-part': .*in inventories.: .*demo"):
        load_session("nulle-part")


def test_profile_beside_the_session(tmp_path: Path) -> None:
    path = write_session(tmp_path, SESSION + "hypervisor: salle\n")
    assert "no salle.hypervisor.yaml beside the session" in refused(path)
    (tmp_path / "salle.hypervisor.yaml").write_text("listen: 192.0.2.10\nports: {first: 30000, last: 30099}\n")
    assert load_session(str(path)).profile.ports.last == 30099
    (tmp_path / "salle.hypervisor.yaml").write_text("ports: {first: 30000, last: 29999}\n")
    assert refused(path).endswith("salle.hypervisor.yaml:1: ports: first is greater than last")


def test_no_exam_is_held_with_a_lab_that_was_not_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = load_lab("reseau").model_copy(update={"draft": True})
    monkeypatch.setattr("labs.models.session.load_lab", lambda _name: draft)
    path = write_session(tmp_path, SESSION + "mode: exam\n")
    line = path.read_text(encoding="utf-8").splitlines().index("mode: exam") + 1
    assert refused(path).startswith(f"{path}:{line}: mode: the lab reseau is a draft")
    assert load_session(str(write_session(tmp_path, SESSION + "mode: training\n"))).lab.draft


def test_the_seed_of_an_exam_is_not_a_phrase(tmp_path: Path) -> None:
    path = write_session(tmp_path, SESSION + "mode: exam\n")
    with pytest.raises(InputError, match=r"session\.yaml:\d+: seed: an exam's is not chosen but drawn") as caught:
        load_session(str(path)).require_secret()
    offered = str(caught.value).rpartition(" ")[2]
    seed = load_session(str(path)).file.seed
    path.write_text(path.read_text(encoding="utf-8").replace(seed, offered), encoding="utf-8")
    load_session(str(path)).require_secret()
    load_session(str(write_session(tmp_path, SESSION + "mode: training\n"))).require_secret()
