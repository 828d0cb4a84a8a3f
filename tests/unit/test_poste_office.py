"""The conversion of documents in the lab poste: what is given, what runs on the workstation, what is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import typst

from graders import pdftext, remote_launch
from graders.cp02_workstation import check_office, remote, remote_office
from graders.expect import Expect, Unmet
from graders.opendocument import Page, document
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from tests.unit.poste_world import BENCH, PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graders.login import Login

RIGHT = """#!/bin/sh
[ -r "$1" ] || exit 1
cp "{there}/$(basename "$1" .odt).pdf" "${{1%.*}}.pdf"
"""


def printed(pages: Sequence[Page]) -> bytes:
    """The PDF of a document, as a suite would make it."""
    quoted = [[f"#{json.dumps(text, ensure_ascii=False)}" for text in page.texts] for page in pages]
    source = "\n#pagebreak()\n".join("\n\n".join(texts) for texts in quoted)
    return bytes(typst.compile(source.encode()))


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that any account may enter, with the PDF of the document that is given."""
    folder = Path(tempfile.mkdtemp())  # not /var/tmp, which other tests watch
    folder.chmod(0o755)
    (folder / "conversions").mkdir(mode=0o755)
    monkeypatch.setattr(remote_office, "PLACE", str(folder / "conversions"))
    name, pages = check_office.named(PROBE)
    (folder / name).with_suffix(".pdf").write_bytes(printed(pages))
    monkeypatch.setattr(check_office, "PROGRAM", str(folder / "en-pdf"))
    if os.geteuid():  # only root runs what another account asks for
        monkeypatch.setattr(check_office, "ACCOUNTS", (Path.home().owner(),))
        monkeypatch.setattr(remote_office, "at_work", lambda _: set())
        monkeypatch.setattr(remote_office, "attempt", lambda *given: remote_launch.attempt(*given[:3]))
    yield folder
    shutil.rmtree(folder)


def verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    """The message of the check, with the program that runs on the workstation run here; empty when it passed."""

    def ask(_login: Login, _module: str, asked: dict[str, Any], _deadline: Deadline) -> Any:
        remote_office.main(json.dumps({**asked, **changes}))
        return json.loads(capsys.readouterr().out)

    monkeypatch.setattr(check_office, "ask", ask)
    expect = Expect()
    try:
        check_office.check_office(BENCH, PROBE, cast("Login", None), expect, Deadline.after(60))
        expect.conclude()
    except Unmet as problem:
        return str(problem)
    return ""


def put(there: Path, program: str, mode: int = 0o755) -> None:
    path = there / "en-pdf"
    path.write_text(program.format(there=there))
    path.chmod(mode)


def test_a_suite_that_converts_passes(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, RIGHT)
    assert verdict(monkeypatch, capsys) == ""
    assert list(Path(remote_office.PLACE).iterdir()) == []


@pytest.mark.parametrize(
    ("program", "mode", "why"),
    [
        ("#!/bin/sh\nexit 0\n", 0o755, "attendu écrit, observé aucun"),
        (RIGHT, 0o644, "script non exécutable"),
        (RIGHT.replace("exit 1", "exit 0"), 0o755, "code de retour pour un document absent"),
        (RIGHT.replace("|| exit 1", "|| {{ touch \"${{1%.*}}.pdf\"; exit 1; }}"), 0o755, "PDF d'un document absent"),
        (RIGHT.replace('"$1" .odt', "$1 .odt"), 0o755, "code de retour pour « Compte rendu d'été"),
        ('#!/bin/sh\n[ -r "$1" ] && cp "$1" "${{1%.*}}.pdf"\n', 0o755, "lisible, observé illisible"),
        (f'{RIGHT}: >"$1"\n', 0o755, "attendu tel quel, observé modifié"),
        (RIGHT.replace("{{1%.*}}", "{{1%%.*}}"), 0o755, "attendu écrit, observé aucun"),
        (f'{RIGHT}truncate -s 5G "${{{{1%.*}}}}.pdf"\n', 0o755, "code de retour pour"),
        (f'{RIGHT}truncate -s 200M "${{{{1%.*}}}}.pdf"\n', 0o755, "octets du PDF"),
        (f'{RIGHT}chmod 000 "${{{{1%.*}}}}.pdf"\n', 0o755, "attendu lisible, observé fermé"),
    ],
    ids=["nothing", "not executable", "absent is a success", "absent gives a PDF", "spaces", "renamed", "emptied",
         "cut at the first full stop", "far too large", "too large", "closed"],
)  # fmt: skip
def test_one_that_does_not_fails(
    program: str, mode: int, why: str, there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, program, mode)
    assert why in verdict(monkeypatch, capsys)


def test_pages_and_texts_that_are_lost_are_told(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, RIGHT)
    name, pages = check_office.named(PROBE)
    pdf = (there / name).with_suffix(".pdf")
    for changed, why in (
        (pages[:1], "pages du PDF"),
        (
            [Page(pages[0].title, pages[0].words), pages[1]],
            "page 1 : attendu tous, observé 4 sur 7 ; en défaut : Poste, Reçu",
        ),
    ):
        pdf.write_bytes(printed(changed))
        assert why in verdict(monkeypatch, capsys)


def test_what_is_late_is_a_mark_on_a_quick_machine_only(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, "#!/bin/sh\nsleep 20\n")
    monkeypatch.setattr(remote_office, "pace", lambda: 0.001)
    assert "pas terminé en 1 s" in verdict(monkeypatch, capsys, seconds=1)
    monkeypatch.setattr(remote_office, "pace", lambda: 0.5)
    with pytest.raises(ProbeError, match=r"takes 0\.500 s"):
        verdict(monkeypatch, capsys, seconds=1)


def test_what_it_leaves_at_work_is_neither_waited_for_nor_left(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, RIGHT.replace("[ -r", "setsid sleep 317 &\n[ -r"))
    began = time.monotonic()
    assert verdict(monkeypatch, capsys) == ""
    assert time.monotonic() - began < 60
    if not os.geteuid():
        assert subprocess.run(["pgrep", "-f", "sleep 317"], check=False).returncode == 1


def test_the_candidates_own_limit_is_no_mark_on_a_slow_machine(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(there, "#!/bin/sh\nexit 124\n")
    monkeypatch.setattr(remote_office, "pace", lambda: 0.5)
    assert "observé 124" in verdict(monkeypatch, capsys)
    monkeypatch.setattr(remote_office, "NEARLY_LATE", 0)
    with pytest.raises(ProbeError, match=r"takes 0\.500 s"):
        verdict(monkeypatch, capsys)


def test_a_document_is_what_the_format_asks_for() -> None:
    made = document([Page("Titre", ("mot",)), Page("Suite & fin", (), (("a", "b"), ("c", "d")))])
    assert made == document([Page("Titre", ("mot",)), Page("Suite & fin", (), (("a", "b"), ("c", "d")))])
    with zipfile.ZipFile(BytesIO(made)) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        content = archive.read("content.xml").decode()
    assert content.count("break-before") == 1
    assert content.count('text:style-name="Saut"') == 1
    assert "Suite &amp; fin" in content
    assert content.count("<table:table-cell") == 4


def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str) -> None:
    """The reader with another limit."""
    source = pdftext.PROGRAM.read_text()
    assert old in source
    (tmp_path / "reader.py").write_text(source.replace(old, new))
    monkeypatch.setattr(pdftext, "PROGRAM", tmp_path / "reader.py")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("MOST_PAGES, MOST_TEXT = 50", "MOST_PAGES, MOST_TEXT = 1", "more than 1 pages"),
        ("texts = [", "while True: pass\n        texts = [", "not read in 1 s of the processor"),
        ("texts = [", "'a' * (1 << 31)\n        texts = [", "MemoryError"),
        ("texts = [", "raise __import__('zlib').error('spoiled')\n        texts = [", "spoiled"),
    ],
)
def test_what_takes_too_much_to_read_is_unreadable(
    old: str, new: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limited(monkeypatch, tmp_path, old, new)
    program = pdftext.PROGRAM.read_text().replace("PROCESSOR_SECONDS = 60", "PROCESSOR_SECONDS = 1")
    pdftext.PROGRAM.write_text(program)
    with pytest.raises(pdftext.PdfError, match=why):
        pdftext.pages(printed([Page("Titre", ()), Page("Suite", ())]))


def test_a_reader_that_fails_is_no_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, tmp_path, "from pypdf import", "from pypdf_absent import")
    with pytest.raises(ProbeError, match="No module named 'pypdf_absent'"):
        pdftext.pages(b"")
    monkeypatch.setattr(pdftext, "PATIENCE", 0)
    with pytest.raises(ProbeError, match="not read in 0 s"):
        pdftext.pages(b"")


def test_the_program_is_whole() -> None:
    source = remote.errand("remote_office", check_office.request(*check_office.named(PROBE), "absent.odt")).program
    assert "def attempt(" in source
    assert "import attempt" not in source
