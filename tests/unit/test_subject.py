"""The subject and the access sheet: complete, per candidate, safe to open, and silent about the centre's secrets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import cast

import pytest

from labs import accesssheet, subject
from labs.bench import Bench, compute_benches
from labs.deadline import Deadline
from labs.errors import HypervisorError, InputError
from labs.hypervisors.base import Console, Hypervisor, Line, NodeKey, NodeStatus, Power
from labs.models.session import load_session
from labs.page import french, page
from labs.sessionfiles import SessionFiles, ensure_key

SESSION = """
name: essai
title: Session d'essai
lab: reseau
seed: graine-des-essais
candidates:
  - {id: camille, name: "Camille <b>Durand</b>"}
  - {id: dominique, name: Dominique}
"""


def _no_line(_deadline: Deadline) -> Line:
    raise HypervisorError("a sheet opens no console")


class Room:
    """A hypervisor that knows where SSH and consoles are."""

    def status(self, key: NodeKey) -> NodeStatus:
        return NodeStatus(key, Power.RUNNING, True, ("192.0.2.1", 21000 + len(key.node)))

    def console(self, key: NodeKey) -> Console:
        return Console(serial=_no_line, vnc=("192.0.2.1", 5900 + len(key.node)), vnc_password=f"vnc-{key.node}")


@pytest.fixture
def benches(tmp_path: Path) -> list[Bench]:
    (tmp_path / "session.yaml").write_text(SESSION)
    return compute_benches(load_session(str(tmp_path)))


def test_files_of_one_candidate(benches: list[Bench], tmp_path: Path) -> None:
    files = SessionFiles(tmp_path)
    written = subject.write(benches[0], files) + accesssheet.write(benches[0], cast(Hypervisor, Room()), files)
    assert {path.name for path in written} == {
        "sujet.md", "sujet.html", "subject.md", "subject.html", "acces.md", "acces.html"
    }  # fmt: skip
    assert {path.parent for path in written} == {files.access / "camille"}
    assert (files.access / "camille" / "acces.html").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("language", ["fr", "en"])
def test_everything_needed_is_told(benches: list[Bench], language: subject.Language) -> None:
    bench = benches[0]
    text = subject.markdown(bench, language)
    for name in (*bench.session.lab.subject_values, "jeton_dns", "internet_dns", "wan_rtr", "lan_imprimante"):
        assert str(bench.values[name]) in text, name
    assert str(bench.values["jeton_web"]) not in text
    total = sum(float(points) for points in re.findall(r"^\| [^*|]+ \| ([\d.]+) \|$", text, re.MULTILINE))
    assert total == bench.session.lab.points == 100


def test_two_candidates_have_two_subjects(benches: list[Bench]) -> None:
    one, other = (subject.markdown(bench) for bench in benches)
    assert one != other
    assert str(benches[0].values["lan"]) not in other


def test_page_stands_alone_and_runs_nothing(benches: list[Bench]) -> None:
    text = subject.html_page(benches[0])
    assert "<b>Durand" not in text
    assert "&lt;b&gt;Durand" in text
    assert "<svg" in text
    assert subject.FIGURE not in text
    assert not re.search(r"(?:src|href)=|<script|url\(", text)


def test_access_sheet_has_the_candidates_way_in_and_no_other(benches: list[Bench]) -> None:
    text = accesssheet.markdown(benches[0], cast(Hypervisor, Room()))
    assert benches[0].password in text
    assert "ssh -p 21003 candidat@192.0.2.1" in text
    assert "vnc-srv" in text
    for secret in ("probe", "21005", "serial", "grader", "root@", benches[1].password):
        assert secret not in text


def test_a_template_that_fails_names_its_file(
    benches: list[Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "subject.fr.md.j2").write_text("# Titre\n{{ nowhere }}\n")
    monkeypatch.setattr(subject, "lab_folder", lambda _bench: tmp_path)
    with pytest.raises(InputError, match=r"subject\.fr\.md\.j2.*nowhere"):
        subject.markdown(benches[0])


def test_french_typography_leaves_code_alone() -> None:
    assert french("Port : `a : b` ; l'an ?") == "Port\u00a0: `a : b`\u202f; l’an\u202f?"
    assert french("```text\nx : y\n```") == "```text\nx : y\n```"


def test_raw_html_and_dangerous_links_are_inert() -> None:
    text = page("# T\n\n<img src=x onerror=alert(1)>\n\n[a](javascript:alert(1))\n", "fr")
    assert "<img" not in text
    assert "href" not in text


def test_the_sheet_tells_what_the_key_of_a_machine_looks_like(benches: list[Bench], tmp_path: Path) -> None:
    """Or else whoever answers first at its address is taken for it."""
    bench = benches[0]
    files = SessionFiles(tmp_path)
    line = ensure_key(files.host_key(bench.candidate.id, "rtr"), "rtr")
    accesssheet.write(bench, cast(Hypervisor, Room()), files)
    text = (files.access / bench.candidate.id / "acces.md").read_text(encoding="utf-8")
    told = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True).stdout
    assert f"| `rtr` | `{told.split()[1]}` |" in text
    assert text.count("SHA256:") == 1
