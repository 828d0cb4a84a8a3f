"""The dossier: sealed, the same bytes each time, verified by other tools' rules, and any changed byte is named."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import random
import shutil
import zipfile
from pathlib import Path

import pytest
from test_cli import refusal
from test_report_samples import session, write

from graders.dossier import MANIFEST, RECORDS, RESULTS, SEAL, SUMS, DossierError, archive, collect, keys, sources
from graders.dossier.verify import Verification, verify
from graders.report import read, write_all, write_pdfs
from graders.rubric import forms

# Made with minisign 0.11: `minisign -G -W`, then `minisign -S -t commentaire`.
PUBLIC = """\
untrusted comment: minisign public key 8F2DDE3ADF8903B1
RWSxA4nfOt4tjx81L+49VEbLswVtXp5fR5O+io7+8q6/CmVngxFPgo8g
"""
SIGNED = """\
untrusted comment: signature from minisign secret key
RUSxA4nfOt4tj+UFAIUoFUSXOsseVB2zePsWgf164iFdlZHmxJ+C6hAIOyHIs9I65kvF9AQ+vv29lI0PbFOmK36Tm+VqW2d05Q0=
trusted comment: commentaire
BWm8Lt5NJEEcGBPR8Afwx8IZnlXniXytY9DxGNvlx0Qp1wI6uJRPyF302vER2HXI8YxaMqkqcaqp7Je4hEW/DQ==
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> keys.Key:
    return keys.new(tmp_path_factory.mktemp("key") / "centre.key")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session's folder with one run, its documents, marks, snapshots and a subject."""
    folder = tmp_path_factory.mktemp("session")
    run = folder / "results" / "r1"
    (run / "snapshots").mkdir(parents=True)
    write(session(), run)
    sources.keep(run, "reseau", "tssi-2013")
    write_all(run)
    write_pdfs(run, candidates=["c01"])
    for name in ("c01", "c02"):
        (run / "snapshots" / f"{name}.jsonl").write_text('{"rc": 0}\n{"rc": 1}\n', encoding="utf-8")
    (run / "grader-c01.log").write_text("fin\n", encoding="utf-8")
    (folder / "access" / "c01").mkdir(parents=True)
    (folder / "access" / "c01" / "sujet.md").write_text("# Sujet\n", encoding="utf-8")
    (folder / "access" / "c01" / "acces.md").write_text("mot de passe\n", encoding="utf-8")
    said = {"check": "CP07-S4.b", "verdict": "passed", "reason": "Journal central vu.", "evaluator": "JR"}
    said["date"] = datetime.date(2026, 11, 21)
    form = {"candidate": "c01", "session": "limoges-2026", "referential": "tssi-2013", "overrides": [said]}
    forms.save(folder / "marks" / "c01.yaml", form)
    return folder


@pytest.fixture(scope="module")
def sealed(place: Path, key: keys.Key) -> bytes:
    return collect.build(place / "results" / "r1", place, "c01", key)


def look(data: bytes, folder: Path, key: keys.PublicKey | None = None) -> Verification:
    return verify(data, folder, key)


def told(data: bytes, folder: Path, key: keys.PublicKey) -> list[str]:
    """What a verification says against the dossier, refusing it altogether included."""
    try:
        return list(look(data, folder, key).faults)
    except DossierError as problem:
        return [str(problem)]


def repack(data: bytes, **changes: bytes | None) -> bytes:
    files, _ = archive.read(data)
    for name, content in changes.items():
        path = {"records": RECORDS, "results": RESULTS, "manifest": MANIFEST, "sums": SUMS}.get(name, name)
        if content is None:
            del files[path]
        else:
            files[path] = content
    return archive.write(files)


def test_a_dossier_holds_what_is_the_candidate_s_and_nothing_of_the_others(sealed: bytes) -> None:
    files, faults = archive.read(sealed)
    assert not faults
    assert {
        RECORDS,
        RESULTS,
        MANIFEST,
        *SEAL,
        "marks/c01.yaml",
        "subject/sujet.md",
        "run/pdf/c01.pdf",
        "run/grader-c01.log",
        "run/snapshots/c01.jsonl",
        "run/gradescope/c01.json",
        "lab/lab.yaml",
        "referential/tssi-2013.yaml",
    } <= set(files)
    everything = b"".join(content for name, content in files.items() if not name.endswith(".pdf"))
    assert b'"c02"' not in everything
    assert not [name for name in files if "c02" in name]
    assert "Thomas" not in everything.decode("utf-8", "replace")
    assert b"mot de passe" not in files.get("subject/acces.md", b"")
    assert "subject/acces.md" not in files


def test_same_sources_same_bytes(sealed: bytes, place: Path, key: keys.Key) -> None:
    assert collect.build(place / "results" / "r1", place, "c01", key) == sealed


def test_it_verifies_and_the_marks_are_made_again(sealed: bytes, key: keys.Key, tmp_path: Path) -> None:
    found = look(sealed, tmp_path, key.public)
    assert found.faults == ()
    assert (found.trusted, found.key) == (True, key.public.id)
    assert (found.about["candidate"], found.marks["points"]) == ("c01", 18.0)
    assert not look(sealed, tmp_path).trusted


def test_any_changed_byte_is_named(sealed: bytes, key: keys.Key, tmp_path: Path) -> None:
    """Bytes of every file and of the archive itself: what is named is where the byte is."""
    entries = zipfile.ZipFile(io.BytesIO(sealed)).infolist()
    chosen = random.Random(5)
    places = [(e.header_offset + 30 + len(e.filename) + chosen.randrange(e.file_size), e.filename) for e in entries]
    for position, name in places:
        data = bytearray(sealed)
        data[position] ^= 1 << chosen.randrange(8)
        faults = look(bytes(data), tmp_path, key.public).faults
        assert any(fault.startswith(f"{name}:") for fault in faults), (position, name, faults)
    for position in [chosen.randrange(len(sealed)) for _ in range(80)] + list(range(0, 30)) + list(range(-22, 0)):
        data = bytearray(sealed)
        data[position] ^= 1 << chosen.randrange(8)
        assert told(bytes(data), tmp_path, key.public), position


def test_a_changed_line_of_the_records_is_named_with_its_number(sealed: bytes, key: keys.Key, tmp_path: Path) -> None:
    files, _ = archive.read(sealed)
    lines = files[RECORDS].split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        changed = [
            *lines[: number - 1],
            line.replace(b"c01", b"c0l", 1) if number > 1 else line + b" ",
            *lines[number:],
        ]
        faults = look(repack(sealed, records=b"\n".join(changed)), tmp_path, key.public).faults
        assert f"{RECORDS}:{number}: its content was changed" in faults
    dropped = look(repack(sealed, records=b"\n".join(lines[:5] + lines[6:])), tmp_path, key.public).faults
    assert f"{RECORDS}:6: its content was changed" in dropped


def test_marks_cannot_be_forged_even_with_the_chain_made_again(sealed: bytes, tmp_path: Path, key: keys.Key) -> None:
    from graders.dossier import manifest

    files, _ = archive.read(sealed)
    better = files[RESULTS].replace(b'"points": 18.0', b'"points": 20.0')
    assert better != files[RESULTS]
    listed = {n: (better if n == RESULTS else c) for n, c in files.items() if n not in SEAL and n != MANIFEST}
    about = {k: v for k, v in json.loads(files[MANIFEST]).items() if k not in ("format", "files", "head")}
    chained = manifest.text(manifest.make(listed, about)).encode()
    sums = manifest.sums(listed | {MANIFEST: chained}).encode()
    faults = look(repack(sealed, results=better, manifest=chained, sums=sums), tmp_path, key.public).faults
    assert "MANIFEST.sha256.minisig: not the signature of this file by key " + key.public.id in faults
    assert any(fault.startswith(f"{RESULTS}: the marks made again differ in: ") for fault in faults)


def test_another_key_s_seal_is_not_the_centre_s(place: Path, tmp_path: Path, key: keys.Key) -> None:
    stranger = keys.new(tmp_path / "stranger.key")
    forged = collect.build(place / "results" / "r1", place, "c01", stranger)
    (scratch := tmp_path / "s").mkdir()
    assert look(forged, scratch).faults == ()
    faults = look(forged, scratch, key.public).faults
    assert any(fault.startswith("centre.pub: key ") for fault in faults)
    assert any(fault.startswith("MANIFEST.sha256.minisig: not the signature") for fault in faults)
    assert f"statement.dsse.json: not signed by key {key.public.id}" in faults


@pytest.mark.parametrize("gone", ["records", "results", "manifest", "sums", "statement.dsse.json", "lab/lab.yaml"])
def test_a_missing_file_is_named(sealed: bytes, gone: str, key: keys.Key, tmp_path: Path) -> None:
    faults = look(repack(sealed, **{gone: None}), tmp_path, key.public).faults
    assert any("missing" in fault or "cannot be made again" in fault for fault in faults)


def test_an_added_file_is_named(sealed: bytes, key: keys.Key, tmp_path: Path) -> None:
    assert "lab/plus.yaml: not in the manifest" in look(repack(sealed, **{"lab/plus.yaml": b"x"}), tmp_path).faults


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty; copy it again"),
        (b"not a zip at all", "not even a zip archive; give the <candidate>.dossier.zip"),
        (b"\x00" * 5000, "not even a zip archive"),
        (b"PK\x03\x04 cut here", "the end of the archive is missing: the copy was cut short; copy it again"),
        (b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18, "the directory of the archive was changed"),
        (archive.write({"a.txt": b"x"}), "though a zip archive; give what plateau dossier wrote"),
    ],
)
def test_what_is_no_dossier_is_refused(data: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(DossierError, match=f"^not a dossier.*{told}"):
        look(data, tmp_path)
    path = tmp_path / "x.dossier.zip"
    path.write_bytes(data)
    assert told in refusal("verify", path)


def test_verify_tells_the_way_out_of_a_wrong_path(tmp_path: Path) -> None:
    assert "gone.zip: no such file; give a <candidate>.dossier.zip" in refusal("verify", tmp_path / "gone.zip")
    assert "is a folder; give a <candidate>.dossier.zip" in refusal("verify", tmp_path)
    path = tmp_path / "x.zip"
    path.write_bytes(b"x")
    assert "gone.pub: no such file; --key names" in refusal("verify", path, "--key", tmp_path / "gone.pub")
    assert "x.zip: not a minisign public key; `plateau key show`" in refusal("verify", path, "--key", path)


def test_a_compressed_file_is_a_change_and_is_not_unpacked(sealed: bytes, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sealed)) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, b"\0" * 50_000_000 if name == "records.jsonl" else source.read(name))
    faults = look(packed.getvalue(), tmp_path).faults
    assert "records.jsonl: compressed, which no dossier is: this archive was made again" in faults


def test_the_statement_speaks_of_every_file(sealed: bytes, key: keys.Key) -> None:
    from graders.dossier import envelope

    files, _ = archive.read(sealed)
    statement = envelope.open_sealed(files["statement.dsse.json"].decode(), key.public, "s")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert subjects == {name: hashlib.sha256(c).hexdigest() for name, c in files.items() if name not in SEAL}


def test_signatures_of_minisign_are_read() -> None:
    public = keys.read_public(PUBLIC, "k.pub")
    assert keys.check(SIGNED, b"un message\n", public, "m.minisig") == "commentaire"
    with pytest.raises(DossierError, match=r"m\.minisig: not the signature"):
        keys.check(SIGNED, b"un autre\n", public, "m.minisig")
    with pytest.raises(DossierError, match="trusted comment was changed"):
        keys.check(SIGNED.replace("commentaire", "autre"), b"un message\n", public, "m.minisig")


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "centre.key"
    made = keys.new(path)
    assert path.stat().st_mode & 0o077 == 0
    assert keys.load(path).public == made.public
    assert keys.read_public((tmp_path / "a" / "centre.key.pub").read_text(), "p") == made.public
    with pytest.raises(DossierError, match="there is a key already"):
        keys.new(path)
    with pytest.raises(DossierError, match="plateau key new"):
        keys.load(tmp_path / "nothing")
    path.write_text("rien", encoding="utf-8")
    with pytest.raises(DossierError, match="not a private key"):
        keys.load(path)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("pdf/anne-b.pdf", "anne-b"),
        ("pdf/anne-retour.pdf", "anne"),
        ("snapshots/anne.jsonl", "anne"),
        ("2-again-1/records.jsonl", "2"),
        ("grader-1.log", "1"),
        ("2-evidence-1.zip", "2"),
        ("1.jsonl", "1"),
        ("notes-anne.txt", None),
        ("grader-anne-b.log", "anne-b"),
        ("snapshots/joanne.jsonl", None),
        ("versions.json", None),
    ],
)
def test_whose_file(name: str, whose: str | None) -> None:
    assert collect.owner(name, ["anne", "anne-b", "retour", "1", "2"]) == whose


def test_what_it_was_graded_by_is_sealed_not_what_is_there_today(place: Path, key: keys.Key, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(place, folder)
    run = folder / "results" / "r1"
    (run / "sources" / "lab" / "lab.yaml").write_text("# d'alors\n", encoding="utf-8")
    files, _ = archive.read(collect.build(run, folder, "c01", key))
    assert files["lab/lab.yaml"] == b"# d'alors\n"
    assert not [name for name in files if name.startswith("run/sources")]
    shutil.rmtree(run / "sources")
    records = run / RECORDS
    records.write_text(records.read_text(encoding="utf-8").replace('"lab_version": "1.2"', '"lab_version": "0.9"'))
    with pytest.raises(DossierError, match=r"not what it was graded with: lab 0\.9 then, \d"):
        collect.build(run, folder, "c01", key)


def test_evidence_of_an_old_run_is_frozen_though_its_lab_changed(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(place, folder)
    run = folder / "results" / "r1"
    shutil.rmtree(run / "sources")
    records = run / RECORDS
    records.write_text(records.read_text(encoding="utf-8").replace('"lab_version": "1.2"', '"lab_version": "0.9"'))
    files, _ = collect.gather(run, folder, "c01", read(run), explained=False)
    assert "lab/lab.yaml" not in files
    assert RECORDS in files


def test_a_referential_is_sealed_with_what_it_is_based_on() -> None:
    assert {"referential/tai-2008.yaml", "referential/tssi-2013.yaml"} <= set(sources.of("reseau", "tai-2008"))
