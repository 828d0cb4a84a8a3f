"""The lab protection as data: its files, and what its checks make of answers."""

from __future__ import annotations

import email
import email.policy
import hashlib
import io
import ipaddress
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from graders import samples
from graders.cp07_protection import check_intrusion, post, web
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, nft_complaints, rendered

FILES = CATALOGUE / "protection" / "files"


class Words:
    """The words of a grading, as ProbeClient gives them."""

    def nonce(self, purpose: str) -> str:
        return "n" + hashlib.sha256(purpose.encode()).hexdigest()[:12]


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("protection", number)
    networks = {name: ipaddress.ip_network(str(bench.values[name])) for name in ("lan", "serveurs", "wan")}
    assert not any(a.overlaps(b) for a in networks.values() for b in networks.values() if a is not b)
    for (_, segment), address in addresses(bench).items():
        assert ipaddress.ip_address(address) in networks[segment]
    reserved = check_intrusion._trial(bench)["pool"]
    assert str(bench.values["lan_controle"]) not in reserved
    assert str(bench.values["lan_poste"]) not in reserved


@pytest.mark.parametrize(
    "path", [FILES / "rtr/nftables.conf.j2", PLAYBOOKS / "roles/protection_rtr/tree/etc/nftables.conf.j2"]
)
def test_rulesets_are_accepted(path: Path) -> None:
    assert nft_complaints(rendered(bench_of("protection", 1), path)) == ""


def test_the_probes_files_are_what_their_readers_accept() -> None:
    plan = json.loads(rendered(bench_of("protection", 0), FILES / "probe" / "internet.json.j2"))
    assert {one["card"] for one in plan["legs"].values()} == {"eth1", "eth2", "eth3"}
    assert list(plan["internet"]["hosts"]) == ["mail.fournisseur.example"]


def test_the_base_knows_both_samples_and_the_site_offers_them() -> None:
    bench = bench_of("protection", 2)
    lines = rendered(bench, FILES / "srv" / "agence.ndb.j2").split()
    known = [bytes.fromhex(line.split(":")[3]) for line in lines]
    assert known == [samples.EICAR, str(bench.values["echantillon"]).encode()]
    assert rendered(bench, FILES / "probe" / "eicar.com.j2").encode() == samples.EICAR
    assert known[1] in rendered(bench, FILES / "probe" / "echantillon.txt.j2").encode()


def test_dangerous_files_have_harmless_twins_of_the_same_size() -> None:
    bench = bench_of("protection", 3)
    core = (samples.EICAR, str(bench.values["echantillon"]).encode())
    files = samples.files(bench, "nword")
    assert [one.dangerous for one in files] == [False, True] * 6 + [False]
    assert len({one.name for one in files}) == len(files)
    for good, bad in zip(files[0:12:2], files[1:12:2], strict=True):
        assert abs(len(good.content) - len(bad.content)) <= 2  # archives of other words differ by a byte or two
        assert any(one in _unpacked(bad.content) for one in core)
        assert not any(one in _unpacked(good.content) for one in core)
        assert bad.marker
        assert bad.marker in bad.content
        assert bad.marker not in good.content
    assert files == samples.files(bench, "nword")
    assert files != samples.files(bench, "nother")


def test_forbidden_and_allowed_names_differ_by_their_domain_only() -> None:
    bench = bench_of("protection", 4)
    listed = [str(bench.values[name]) for name in web.FORBIDDEN]

    def is_listed(url: str) -> bool:
        host = url.removeprefix("http://").partition("/")[0].lower()
        return any(host == one or host.endswith(f".{one}") for one in listed)

    forbidden, allowed = web.forbidden_pages(bench, "nword"), web.allowed_pages(bench, "nword")
    assert all(is_listed(url) for _, url in forbidden)
    assert not any(is_listed(url) for _, url in allowed)
    assert all(any(one in url.lower() for one in listed) for _, url in forbidden)
    assert len({label for label, _ in [*forbidden, *allowed]}) == len(forbidden) + len(allowed)


@pytest.fixture
def letters() -> list[post.Letter]:
    return post.letters(bench_of("protection", 5), Words())  # type: ignore[arg-type]


def test_letters_of_the_restart_are_not_those_before_it(letters: list[post.Letter]) -> None:
    later = post.letters(bench_of("protection", 5), Words(), "after the restart")  # type: ignore[arg-type]
    assert {one.word for one in letters}.isdisjoint(one.word for one in later)


def test_letters_are_whole_messages(letters: list[post.Letter]) -> None:
    again = post.letters(bench_of("protection", 5), Words())  # type: ignore[arg-type]
    assert [one.data for one in letters] == [one.data for one in again]
    for one in letters:
        assert b"\r\n" in one.data
        assert b"\n" not in one.data.replace(b"\r\n", b"")
        assert one.data.count(post.DATE.encode()) == 1
        message = email.message_from_bytes(one.data, policy=email.policy.default)
        found = [part.get_payload(decode=True) for part in message.walk() if part.get_filename()]
        assert found == [joined.content for joined in one.attachments]
    assert not letters[0].dangerous
    assert not letters[-1].dangerous
    assert sum(one.dangerous for one in letters) == 4


def _copy(letter: post.Letter, **more: Any) -> dict[str, Any]:
    found = [one.sha256 for one in letter.attachments]
    return {"recipients": ["accueil@x.test"], "text": letter.body, "attachments": found, **more}


def test_a_letter_is_delivered_to_its_recipient_and_unchanged(letters: list[post.Letter]) -> None:
    ordinary, joined = letters[0], letters[1]
    assert ordinary.delivered([_copy(ordinary)], "Accueil@X.test")
    assert ordinary.delivered([_copy(ordinary, recipients=["autre@x.test"])], "accueil@x.test") is None
    assert ordinary.unchanged(_copy(ordinary, text=ordinary.body.replace("\n", "\r\n")))
    assert not ordinary.unchanged(_copy(ordinary, text=ordinary.body + "Message contrôlé."))
    assert joined.unchanged(_copy(joined))
    assert not joined.unchanged(_copy(joined, attachments=[]))


def test_what_is_left_of_a_dangerous_letter_decides(letters: list[post.Letter]) -> None:
    virus = next(one for one in letters if one.dangerous and one.attachments)
    spam = next(one for one in letters if one.dangerous and not one.attachments)
    assert virus.delivered([_copy(virus)], "accueil@x.test")
    assert virus.delivered([_copy(virus, attachments=[])], "accueil@x.test") is None
    assert spam.delivered([_copy(spam, subject="[SPAM]")], "accueil@x.test")
    assert spam.delivered([_copy(spam, text="Un message a été retenu.")], "accueil@x.test") is None


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())
