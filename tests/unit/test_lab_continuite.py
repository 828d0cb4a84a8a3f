"""The lab continuite as data, and what its checks of two controllers conclude from what they saw."""

from __future__ import annotations

import ast
import contextlib
import ipaddress
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.cp09_directory import check_relief, check_second, check_sysvol
from graders.cp09_directory.pair import ADDRESSES, NEW, OLD, Pair, other
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.paths import PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, rendered

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient

BENCH = bench_of("continuite", 0)
BASE = str(BENCH.values["base_dn"])


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("continuite", number)
    lan = ipaddress.ip_network(str(bench.values["lan"]))
    taken = {
        str(bench.values[name])
        for name in ("lan_dc", "lan_dc2", "lan_poste", "lan_controle", "lan_intranet", "lan_courrier")
    }
    assert len(taken) == 6
    assert all(ipaddress.ip_address(one) in lan for one in taken | set(addresses(bench).values()))


def test_files_of_the_playbooks_are_programs() -> None:
    seen = 0
    for path in sorted(PLAYBOOKS.glob("roles/continuite_*/tree/**/*")):
        if not path.is_file():
            continue
        text = rendered(BENCH, path)
        if text.startswith("#!"):
            shell = text.splitlines()[0].rpartition("/")[2]
            subprocess.run([shell, "-n"], input=text, text=True, check=True)
            seen += 1
        elif ".py" in path.suffixes:
            ast.parse(text)
            seen += 1
    assert seen > 8


# --- the two controllers ---


class Domain:
    """A probe in front of two controllers: each holds objects of its own, which follow when `follows` says so."""

    def __init__(self, follows: bool = True, silent: str = "") -> None:
        self.objects: dict[str, dict[str, str]] = {name: {} for name in ADDRESSES}
        self.follows, self.silent = follows, silent

    def nonce(self, purpose: str) -> str:
        return "n" + "".join(f"{ord(one):x}" for one in purpose)

    def call(self, probe: str, *_: Any, address: str, **asked: Any) -> Any:
        name = next(one for one, value in ADDRESSES.items() if BENCH.values[value] == address)
        if name == self.silent:
            return {"code": None, "reason": "Can't contact LDAP server (-1)", "entries": []}
        if probe == "ldap.search":
            return self.search(name, asked["base"])
        there = [name, other(name)] if self.follows else [name]
        for one in there:
            if probe == "ldap.delete":
                found = self.objects[one].pop(asked["dn"], None)
                if one == name and found is None:
                    return {"code": 32, "reason": "No such object (32)"}
            else:
                self.objects[one][asked["dn"]] = asked["values"]["description"]
        return {"code": 0, "reason": ""}

    def search(self, name: str, base: str) -> Any:
        if not base:
            return {"code": 0, "reason": "", "entries": [{"dn": "", "defaultnamingcontext": [BASE.lower()]}]}
        if base not in self.objects[name]:
            return {"code": 32, "reason": "No such object (32)", "entries": []}
        return {"code": 0, "reason": "", "entries": [{"dn": base, "description": [self.objects[name][base]]}]}


def replicated(domain: Domain) -> tuple[Expect, list[Any]]:
    """The check of replication, with waits of no time at all; and what it leaves to be undone."""
    expect, undos = Expect(), []
    pair = Pair(BENCH, cast("ProbeClient", domain))
    check_second.replicate(expect, pair, lambda _what, act: undos.append(act), lambda: Deadline.after(0), "bientôt")
    return expect, undos


def test_objects_that_live_and_die_on_both_sides() -> None:
    domain = Domain()
    expect, undos = replicated(domain)
    expect.conclude()
    assert len(expect.comparisons) == 12
    for act in undos:
        act()
    assert domain.objects == {OLD: {}, NEW: {}}


def test_objects_that_stay_where_they_were_made() -> None:
    domain = Domain(follows=False)
    expect, undos = Expect(), []
    pair = Pair(BENCH, cast("ProbeClient", domain))
    with pytest.raises(Unmet, match="vu de dc2"):
        check_second.replicate(expect, pair, lambda _w, act: undos.append(act), lambda: Deadline.after(0), "bientôt")
    assert len(undos) == 2
    for act in undos:
        act()
    assert domain.objects == {OLD: {}, NEW: {}}


def test_an_object_that_may_be_left_is_no_mark() -> None:
    domain = Domain()
    pair = Pair(BENCH, cast("ProbeClient", domain))
    domain.silent = OLD
    with pytest.raises(ProbeError, match="could not be deleted on dc"):
        pair.forget("CN=a")
    pair.forget("CN=a", [NEW])


def test_a_controller_that_is_silent_is_seen_so() -> None:
    pair = Pair(BENCH, cast("ProbeClient", Domain(silent=NEW)))
    expect = Expect()
    with pytest.raises(Unmet, match=r"racine de l'annuaire de dc2, en LDAPS.*Can't contact"):
        check_second.expect_root(expect, pair, NEW, Deadline.after(0))
    assert pair.described(NEW, "CN=a").startswith("Can't contact")
    assert pair.described(OLD, "CN=a") == "rien"
    check_second.expect_root(Expect(), pair, OLD, Deadline.after(0))


@pytest.mark.parametrize(
    ("dn", "holder"),
    [
        ("CN=NTDS Settings,CN=DC2,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=a", "dc2"),
        ("CN=NTDS Settings,CN=DC,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=a", "dc"),
        ("", "personne"),
        ("CN=Gone", "CN=Gone"),
    ],
)
def test_who_holds_a_role(dn: str, holder: str) -> None:
    assert check_relief.holder_of(dn) == holder


def answers(missing: str = "", extra: str = "") -> list[dict[str, Any]]:
    """What a good name server says, without the records of one service, or with one more address."""
    found = []
    for name, kind in check_second.names(BENCH, OLD)["questions"]:
        data = []
        if kind == "A":
            data = [str(BENCH.values[ADDRESSES[name.partition(".")[0]]]), *([extra] if extra else [])]
        elif not (missing and name.startswith(missing)):
            port = (check_second.SERVICES | check_second.OF_THE_SITE)[name.removesuffix(f".{BENCH.values['domaine']}")]
            data = [f"0 100 {port} {one}.{BENCH.values['domaine']}" for one in (NEW.upper(), OLD)]
        found.append({"answered": True, "answers": [{"type": kind, "data": one} for one in data]})
    return found


@pytest.mark.parametrize(
    ("told", "good"),
    [(answers(), True), (answers(missing="_gc."), False), (answers(missing="_ldap._tcp.Default"), False),
     (answers(extra="10.0.2.15"), False)],
)  # fmt: skip
def test_records_lead_to_both(told: list[dict[str, Any]], good: bool) -> None:
    probe = cast("ProbeClient", SimpleNamespace(call=lambda *_, **__: told))
    expect = Expect()
    check_second.check_records(BENCH, probe, expect)
    with contextlib.nullcontext() if good else pytest.raises(Unmet):
        expect.conclude()


# --- SYSVOL ---


class Shares:
    """Two controllers' files: what is written on dc2 is on dc when `copied`."""

    def __init__(self, copied: bool = True, deleted: bool = True, extra: str = "") -> None:
        word = f"rem {BENCH.values['jeton_script']}"
        files = {"scripts/ouverture.cmd": word, **{f"Policies/{{{one}}}/GPT.INI": one for one in "ABC"}}
        self.files = {OLD: dict(files), NEW: dict(files)}
        if extra:
            self.files[OLD][extra] = "?"
        self.copied, self.deleted = copied, deleted

    def nonce(self, purpose: str) -> str:
        return "n" + "".join(f"{ord(one):x}" for one in purpose)[-12:]

    def call(self, _probe: str, *_: Any, address: str, acts: list[list[str]], **__: Any) -> Any:
        name = next(one for one, value in ADDRESSES.items() if BENCH.values[value] == address)
        return [self.act(name, *one) for one in acts]

    def act(self, name: str, who: str, verb: str, path: str, text: str) -> dict[str, str]:
        files, path = self.files[name], path.replace("netlogon/", "scripts/")
        if verb == "tree":
            return {"state": "granted", "text": "\n".join(f"{data} {one}" for one, data in sorted(files.items()))}
        if verb == "write":
            if who != "Administrator":
                return {"state": "refused", "text": ""}
            for one in [name, OLD] if self.copied else [name]:
                self.files[one][path] = text
            return {"state": "granted", "text": ""}
        if path not in files:
            return {"state": "ENOENT", "text": "No such file"}
        if verb == "delete":
            for one in [name, OLD] if self.deleted else [name]:
                self.files[one].pop(path, None)
            return {"state": "granted", "text": ""}
        return {"state": "granted", "text": files[path]}


@pytest.mark.parametrize(
    ("shares", "words"),
    [(Shares(), None), (Shares(copied=False), "lu par une personne"), (Shares(deleted=False), "ce fichier sur dc"),
     (Shares(extra="scripts/vieux.cmd"), "fichiers de dc qui ne sont pas les mêmes")],
)  # fmt: skip
def test_sysvol_that_follows_or_not(shares: Shares, words: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_sysvol, "COPY_SECONDS", 0.0)
    monkeypatch.setattr(check_sysvol, "MARGIN_SECONDS", 0.0)
    expect, undos = Expect(), []
    arguments = (BENCH, cast("ProbeClient", shares), expect, Deadline.after(5), lambda _what, act: undos.append(act))
    with pytest.raises(Unmet, match=words) if words else contextlib.nullcontext():
        check_sysvol.check_sysvol(*arguments)
        expect.conclude()
    for act in undos:
        act()
    assert not [one for files in shares.files.values() for one in files if "controle" in one]


# --- the backup ---


def test_the_workstation_that_looks_for_a_controller_is_waited_for() -> None:
    def late(*_: Any) -> Any:
        raise ProbeError("neither opened nor refused")

    station = cast("Any", SimpleNamespace(sessions=late))
    assert check_relief.session(station, "p", Deadline.after(1)) is check_relief.LATE
    login = cast("Login", lambda _node: SimpleNamespace(run=lambda *_: SimpleNamespace(stdout="10.0.0.1\n")))
    assert check_relief.look_up(login, "intranet.a", ["10.0.0.1"], Deadline.after(0)) == ["10.0.0.1"]
    assert check_relief.look_up(login, "intranet.a", ["10.0.0.2"], Deadline.after(0)) == ["10.0.0.1"]


def test_files_below_a_share_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    from graders.probes import smb

    tree = {"smb://a/s": [("d", 7), ("x", 8)], "smb://a/s/d": [("y", 8)]}
    context = SimpleNamespace(
        opendir=lambda url: SimpleNamespace(
            getdents=lambda: [SimpleNamespace(name=name, smbc_type=kind) for name, kind in [(".", 7), *tree[url]]]
        ),
        open=lambda url, _flags: SimpleNamespace(read=lambda _size: url.encode(), close=lambda: None),
    )
    lines = smb._tree(context, "smb://a/s", "").splitlines()
    assert check_sysvol.paths(set(lines)) == {"d/y", "x"}
    assert len({line.partition(" ")[0] for line in lines}) == 2
    monkeypatch.setattr(smb, "MOST", 1)
    with pytest.raises(ValueError, match="more than 1"):
        smb._tree(context, "smb://a/s", "")


def test_entries_are_made_and_taken_away_over_ldap(monkeypatch: pytest.MonkeyPatch) -> None:
    from graders.probes import ldap

    asked: list[str] = []
    monkeypatch.setattr(ldap, "_tool", lambda *told: asked.append(told[-1]) or (0, "", ""))
    told = ldap.add("10.1.2.3", "CN=é", {"objectClass": "user", "unicodePwd": "x"}, user="a", password="b")
    assert told == {"code": 0, "reason": ""}
    assert asked[0].splitlines()[1] == "changetype: add"
    assert "unicodePwd:: IgB4ACIA" in asked[0]
    ldap.delete("10.1.2.3", "CN=é", user="a", password="b")
    assert asked[1].splitlines() == ["dn:: Q049w6k=", "changetype: delete"]
