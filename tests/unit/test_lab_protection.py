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
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import samples
from graders.cp07_protection import check_intrusion, check_proxy, outage, post, web
from graders.cp07_protection.outage import Outage
from graders.expect import Expect
from graders.probe_client import ProbeError
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, nft_complaints, rendered

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

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
    ends = [{part.get_filename(".").rpartition(".")[2] for part in email.message_from_bytes(one.data).walk()}
            for one in letters]  # fmt: skip
    dangerous = set[str]().union(*(end for end, one in zip(ends, letters, strict=True) if one.dangerous))
    assert dangerous <= ends[1], "whoever refuses by the name refuses what is clean"
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
    assert spam.delivered([_copy(spam, recipients=["quarantaine@x.test"])], "accueil@x.test"), "the head office has it"


class Machine:
    """Answers what an outage asks of srv; `listens` after so many looks, or never."""

    def __init__(self, units: str, *, stops: bool = True, listens: bool = True) -> None:
        self.units, self.stops, self.listens = units, stops, listens
        self.done: list[str] = []

    def __call__(self, _node: str) -> Machine:
        return self

    def check_output(self, _command: str, _name: str) -> str:
        return self.units

    def run(self, command: str, *_args: str) -> SimpleNamespace:
        if "systemctl" in command and "is-active" not in command:
            self.done.append(command.partition("systemctl ")[2])
        if command.startswith("pidof"):
            return SimpleNamespace(rc=1 if self.stops else 0)
        return SimpleNamespace(rc=0 if self.listens or "systemctl" in command else 1)


def test_the_antivirus_is_stopped_with_what_would_start_it_again_and_comes_back() -> None:
    machine, undos = Machine("clamav-daemon.service\nclamav-daemon.socket\n"), []
    outage = Outage(cast("Login", machine), "clamd")
    assert outage
    outage.begin(lambda what, act: undos.append((what, act)))
    outage.end()
    assert machine.done == ["stop clamav-daemon.socket clamav-daemon.service",
                            "start --no-block clamav-daemon.socket clamav-daemon.service"]  # fmt: skip
    assert [what for what, _ in undos] == ["arrêt de clamd sur srv"]
    assert not Outage(cast("Login", Machine("")), "c-icap"), "nothing to put out of order"


def test_an_antivirus_that_goes_on_or_does_not_come_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "START_SECONDS", 0.1)
    with pytest.raises(ProbeError, match="could not be stopped"):
        Outage(cast("Login", Machine("a.service", stops=False)), "clamd").begin(lambda *_: None)
    with pytest.raises(ProbeError, match="does not listen"):
        Outage(cast("Login", Machine("a.service", listens=False)), "clamd").end()


class Ports:
    """A probe for which srv has these open ports, some of which serve like an open proxy."""

    def __init__(self, bench: Bench, ports: list[int], *served: int) -> None:
        self.bench, self.ports, self.served, self.asked = bench, ports, served, set[int]()

    def nonce(self, purpose: str) -> str:
        return purpose.replace(" ", "")

    def call(self, name: str, *_: Any, **params: Any) -> Any:
        if name == "scan.tcp_ports":
            return {"open": self.ports, "complete": True, "sent": 65535}
        self.asked.add(params["port"])
        body = json.dumps({"client": self.bench.values["wan_rtr"] if params["port"] in self.served else "?"})
        return {ask["id"]: {"status": 200, "body": body, "reason": ""} for ask in params["asks"]}


@pytest.mark.parametrize(("served", "good"), [((), True), ((3129,), False)])
def test_another_port_of_srv_must_not_lead_to_the_web(served: tuple[int, ...], good: bool) -> None:
    bench, expect = bench_of("protection", 0), Expect()
    right = int(bench.values["port_mandataire"])
    probe = Ports(bench, [22, 25, 3129, right], *served)
    check_proxy._compare_other_ports(bench, cast("ProbeClient", probe), expect)
    assert probe.asked == {25, 3129}
    assert [one.ok for one in expect.comparisons] == [good]


class Ways(Words):
    """A probe for which tunnels of these kinds open, and mail goes so far."""

    def __init__(self, *opened: str, accepted: bool = True, kept: bool = True) -> None:
        self.opened, self.accepted, self.kept = opened, accepted, kept

    def call(self, name: str, *_: Any, **asked: Any) -> Any:
        if name == "proxy.tunnel":
            opens = {one["id"]: one["port"] == 443 or asked["beyond"] in self.opened for one in asked["asks"]}
            return {place: {"through": through} for place, through in opens.items()}
        if name == "mail.send":
            return {one["id"]: {"state": "accepted" if self.accepted else "unanswered"} for one in asked["messages"]}
        assert name == "mail.received"
        return {word: [{}] if self.kept else [] for word in asked["words"]}


@pytest.mark.parametrize(("opened", "wrong"), [((), 0), (("serveurs",), 2), (("wan",), 5)])
def test_a_tunnel_to_another_port_is_seen_wherever_it_leads(opened: tuple[str, ...], wrong: int) -> None:
    """The router may be what stops those to the Internet."""
    bench, expect = bench_of("protection", 0), Expect()
    check_proxy._compare_tunnels(bench, cast("ProbeClient", Ways(*opened)), expect, "www.a.example")
    assert len([one for one in expect.comparisons if not one.ok]) == wrong


@pytest.mark.parametrize("broken", [{"accepted": False}, {"kept": False}])
def test_nobody_is_judged_by_a_mail_server_of_ours_that_takes_nothing(broken: dict[str, bool]) -> None:
    bench = bench_of("protection", 0)
    post.require(bench, cast("ProbeClient", Ways()))
    with pytest.raises(ProbeError, match="takes nothing"):
        post.require(bench, cast("ProbeClient", Ways(**broken)))


@pytest.mark.parametrize(("came", "good"), [(2.0, True), (85.0, True), (120.0, False), (None, False)])
def test_an_alert_comes_within_a_minute_of_the_ban(came: float | None, good: bool) -> None:
    bench, expect = bench_of("protection", 0), Expect()
    told = {"began": 0.0, "below": {"address": "10.0.0.220"}, "intruder": {"address": "10.0.0.221", "since": 100.0}}
    alert = [] if came is None else [{"at": 100.0 + came, "recipients": [str(bench.values["adresse_alertes"])]}]

    class Alerted(Ways):
        def call(self, name: str, *_: Any, **asked: Any) -> Any:
            if name == "intrusion.trial":
                return told
            return {"10.0.0.221": alert, "10.0.0.220": []} if "since" in asked else super().call(name, **asked)

    check_intrusion.check_alert(bench, cast("ProbeClient", Alerted()), expect)
    assert [one.ok for one in expect.comparisons] == [good, True]


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())
