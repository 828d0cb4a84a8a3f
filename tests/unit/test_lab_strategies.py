"""The lab strategies as data, what its programs do, and what its checks conclude from what they saw."""

from __future__ import annotations

import ast
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.agency import person
from graders.cp09_directory import check_rules, rules
from graders.cp09_directory.rules import BY_HAND, GREETED, REFUSED, RULED_COMMAND, SILENT, TOO_SOON, UNKNOWN, Effects
from graders.expect import CURRENT, Expect, Unmet
from graders.probe_client import ProbeError
from graders.probes import ldap
from labs.deadline import Deadline
from labs.paths import PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, rendered

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from graders.reboot import Restart

BENCH = bench_of("strategies", 0)
BASE = str(BENCH.values["base_dn"])
HOME, SCRATCH = f"OU=Postes,OU=Agence,{BASE}", f"OU=Centre,OU=Agence,{BASE}"
NAMED, OTHER = person(BENCH, "assistante").login, person(BENCH, "commerciale").login


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("strategies", number)
    lan = ipaddress.ip_network(str(bench.values["lan"]))
    taken = {str(bench.values[name]) for name in ("lan_dc", "lan_poste", "lan_controle")}
    assert len(taken) == 3
    assert all(ipaddress.ip_address(one) in lan for one in taken | set(addresses(bench).values()))
    value = {name: int(str(bench.values[name])) for name in bench.values if name.endswith(("longueur", "essais"))}
    assert value["mdp_longueur"] + 1 < value["direction_longueur"]
    assert value["direction_essais"] + 1 < value["verrou_essais"]
    assert len(str(bench.values["mdp_essai"])) >= value["direction_longueur"]
    assert str(bench.values["message"]).isascii(), "it goes through a registry value, a manifest and a console"


def test_files_of_the_playbooks_are_programs() -> None:
    seen = 0
    for path in sorted(PLAYBOOKS.glob("roles/strategies_*/tree/**/*")):
        if not path.is_file():
            continue
        text = rendered(BENCH, path)
        if text.startswith("#!/bin/sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        elif text.startswith("#!/usr/bin/python3"):
            ast.parse(text)
        elif ".json" in path.suffixes:
            assert all(one["class"] == "MACHINE" for values in json.loads(text).values() for one in values)
        else:
            continue
        seen += 1
    assert seen == 4


# --- what people try on ws ---

RUNUSER = """#!/bin/sh
nom=$2; shift 4  # -u NOM -- sudo
sans=non autre=non
echo "For security reasons, the password you type will not be visible." >&2  # the lecture of somebody's first time
for mot; do
  case $mot in -n) sans=oui ;; id | *-voisin) autre=oui ;; esac
done
if [ $sans = oui ]; then echo "sudo: a password is required" >&2; exit 1; fi
read -r mot_de_passe
[ "$mot_de_passe" = '{password}' ] && ! rmdir {place}/muet 2>/dev/null ||
  {{ echo "sudo: 1 incorrect password attempt" >&2; exit 1; }}
case $nom:$autre in
  {named}:non) echo poste=ws ;;
  {named}:oui) echo "Sorry, user $nom is not allowed to execute '/usr/bin/id -u' as root on ws." >&2; exit 1 ;;
  *) echo "$nom is not in the sudoers file." >&2; exit 1 ;;
esac
"""
SCRIPT = """#!/bin/sh
printf 'Linux ws\\r\\n%s\\r\\nDerniere connexion\\r\\n' '{message}'
"""


class Here:
    """A machine that is this one, where runuser and script(1) are programs of the test."""

    def __init__(self, place: Path) -> None:
        self.place = place
        values = {
            "place": place,
            "named": NAMED,
            "password": BENCH.values["mdp_agence"],
            "message": BENCH.values["message"],
        }
        for name, text in {"runuser": RUNUSER, "script": SCRIPT}.items():
            (place / name).write_text(text.format(**values))
            (place / name).chmod(0o755)

    def run(self, program: str) -> str:
        path = f"{self.place}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh"], input=program, env={"PATH": path}, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here(tmp_path)
    monkeypatch.setattr(rules, "PAUSE", 0)
    (tmp_path / "releve-materiel").touch()
    monkeypatch.setattr(rules, "COMMAND", str(tmp_path / "releve-materiel"))
    monkeypatch.setattr(
        rules, "run_errand", lambda _login, errand, _deadline: here.run(errand.program).partition(errand.ending)[0]
    )
    return here


def look(**more: Any) -> Effects:
    who = dict.fromkeys(rules.ALL_KINDS, ("assistante", "commerciale"))
    return rules.effects_on_ws(BENCH, cast("Login", None), who, Deadline.after(60), **more)


def test_each_try_is_told_by_its_own_words(tried: Here) -> None:
    seen = look(greeting=True)
    assert seen.tries == {
        (NAMED, "regle"): "accordée", (NAMED, "sans"): REFUSED, (NAMED, "autre"): REFUSED, (NAMED, "voisine"): REFUSED,
        (OTHER, "regle"): REFUSED, (OTHER, "sans"): REFUSED, (OTHER, "autre"): REFUSED, (OTHER, "voisine"): REFUSED,
    }  # fmt: skip
    assert seen.greeting == GREETED
    assert look().greeting == SILENT
    assert not (tried.place / "releve-materiel-voisin").exists(), "what was put there for the trial is gone"


def test_a_message_that_the_console_shows_to_everybody_is_shown_too_soon() -> None:
    shown = "ouverture de session\nLinux ws\nBonjour\n"
    assert rules.told(f"{shown}avant le nom\nDebian GNU/Linux 13\n", "Bonjour").greeting == GREETED
    assert rules.told(f"{shown}avant le nom\nBonjour\nDebian\n", "Bonjour").greeting == TOO_SOON


def test_a_password_that_is_not_taken_is_no_refusal_and_is_given_again(tried: Here) -> None:
    (tried.place / "muet").mkdir()
    seen = look(tries=1)
    assert list(seen.tries.values()).count(UNKNOWN) == 1
    (tried.place / "muet").mkdir()
    assert UNKNOWN not in look(tries=3).tries.values()


def test_what_did_not_end_is_no_verdict() -> None:
    for row in (f"{NAMED} regle 124 ", f"{OTHER} autre 124 "):
        with pytest.raises(ProbeError, match="100 s"):
            rules.told(f"{row}\nouverture de session\n", "Bonjour")
    with pytest.raises(ProbeError, match="console"):
        rules.told("ouverture de session\nLinux ws\nstatut-124\n", "Bonjour")
    seen = rules.told("a.b regle 1 releve-materiel: not found\nouverture de session\nBon\r\njour\n", "Bon jour")
    assert seen.of("a.b", "regle") == "échec (releve-materiel: not found)"
    assert seen.of("a.b", "autre") == "non essayée"
    assert seen.greeting == GREETED


# --- a message that a policy gives ---


def again(here: Here, monkeypatch: pytest.MonkeyPatch, held: str, does: str) -> str:
    """What is concluded on a machine whose file holds that, and whose samba-gpupdate does that."""
    motd = here.place / "motd"
    motd.write_text(held)
    monkeypatch.setattr(rules, "MOTD", str(motd))
    programs = {"samba-gpupdate": does.format(motd=motd), "script": f"cat {motd}"}
    for name, text in programs.items():
        (here.place / name).write_text(f"#!/bin/sh\n{text}\n")
        (here.place / name).chmod(0o755)
    return rules.greeted_again(BENCH, cast("Login", None), Deadline.after(60))


MESSAGE = str(BENCH.values["message"])


@pytest.mark.parametrize(
    ("does", "told", "holds"),
    [
        (f"echo '{MESSAGE}' >{{motd}}", GREETED, f"{MESSAGE}\n"),
        ("true", BY_HAND, "typed by hand"),
        ("echo 'Another message' >{motd}", BY_HAND, "Another message\n"),
    ],
    ids=["by the policy", "by hand", "another policy"],
)
def test_a_message_comes_back_when_a_policy_gives_it(
    does: str, told: str, holds: str, tried: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert again(tried, monkeypatch, "typed by hand", does) == told
    assert (tried.place / "motd").read_text() == holds


@pytest.mark.parametrize("does", ["exit 1", "echo \"Failed downloading gpt cache from 'dc' using SMB\""])
def test_policies_that_cannot_be_applied_are_no_verdict(
    does: str, tried: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProbeError, match="samba-gpupdate on ws"):
        again(tried, monkeypatch, MESSAGE, does)
    assert (tried.place / "motd").read_text() == MESSAGE


# --- a right that follows the computer ---


class Branch:
    """A directory with the computer ws, and what ws does when it starts."""

    def __init__(self, ruled: str = HOME, local: bool = False, applies: bool = True, stuck: bool = False) -> None:
        self.place, self.ruled, self.local, self.applies, self.stuck = HOME, ruled, local, applies, stuck
        self.right, self.lost, self.scratch = True, False, True

    def call(self, probe: str, *_: Any, **asked: Any) -> Any:
        if probe == "ldap.search":
            there = asked.get("scope") != "base" or asked["base"] == f"CN=WS,{self.place}"
            entries = [{"dn": f"CN=WS,{self.place}", "samaccountname": ["WS$"]}] if there else []
            entries += (
                [{"dn": SCRATCH, "objectclass": ["organizationalUnit"]}]
                if self.scratch and asked.get("scope") != "base"
                else []
            )
            return {"code": 0 if there else 32, "reason": "", "entries": entries}
        assert probe == "ldap.move"
        assert asked["dn"] == f"CN=WS,{self.place}"
        if self.stuck:
            return {"code": 50, "reason": "Insufficient access (50)"}
        self.place = asked["parent"]
        return {"code": 0, "reason": ""}

    def restart(self, node: str) -> None:
        assert node == "ws"
        if self.lost:
            raise ProbeError("ws was restarted and did not come back")
        if self.applies and not self.place.endswith(self.ruled):
            self.right = self.local

    def asked_again(self, *_: Any) -> str:
        self.right = self.right or self.place.endswith(self.ruled)
        return ""

    def look(self, *_: Any, **__: Any) -> Effects:
        return Effects({(NAMED, RULED_COMMAND): "accordée" if self.right else REFUSED}, SILENT)


@contextmanager
def judged(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Expect, list[Any]]]:
    """The check of the scope, with waits of no time at all; and what it leaves to be undone."""
    for name, act in {"recovered": branch.look, "waited_for": branch.look, "run_errand": branch.asked_again}.items():
        monkeypatch.setattr(check_rules, name, act)
    expect, undos = Expect(), []
    token = CURRENT.set(expect)
    try:
        yield expect, undos
    finally:
        CURRENT.reset(token)


def scope(branch: Branch, expect: Expect, undos: list[Any]) -> None:
    check_rules.check_scope(
        BENCH, cast("ProbeClient", branch), cast("Login", None), cast("Restart", branch.restart), expect,
        Deadline.after(0), lambda _what, act: undos.append(act),
    )  # fmt: skip


def test_a_right_of_the_unit_goes_with_the_computer_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch()
    with judged(branch, monkeypatch) as (expect, undos):
        scope(branch, expect, undos)
        expect.conclude()
        assert (branch.place, branch.right) == (SCRATCH, False)
        undos[0]()
        assert (branch.place, branch.right) == (HOME, True)


@pytest.mark.parametrize(
    "branch",
    [Branch(local=True), Branch(ruled=f"OU=Agence,{BASE}"), Branch(ruled=BASE), Branch(applies=False)],
    ids=["written by hand", "linked to the branch", "linked to the domain", "applied by hand"],
)
def test_a_right_that_does_not_follow_the_unit(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    with judged(branch, monkeypatch) as (expect, undos):
        scope(branch, expect, undos)
        with pytest.raises(Unmet, match="hors de l'unité : attendu refusée, observé accordée"):
            expect.conclude()
        undos[0]()
        assert (branch.place, branch.right) == (HOME, True)


def test_a_controller_that_is_starting_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch()
    answers = iter([{"code": None, "reason": "Can't contact LDAP server (-1)", "entries": []}])
    known = branch.call
    monkeypatch.setattr(branch, "call", lambda *a, **asked: next(answers, None) or known(*a, **asked))
    with judged(branch, monkeypatch) as (expect, undos):
        scope(branch, expect, undos)
        expect.conclude()
        undos[0]()


def test_without_the_centre_s_unit_there_is_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch()
    with judged(branch, monkeypatch) as (expect, undos):
        branch.scratch = False
        with pytest.raises(Unmet, match="unité Centre"):
            scope(branch, expect, undos)
    assert (branch.place, undos) == (HOME, [])


def test_a_machine_that_does_not_answer_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    granted = Effects({(NAMED, RULED_COMMAND): "accordée"}, SILENT)
    answers = iter([ProbeError("100 s"), Effects({(NAMED, RULED_COMMAND): REFUSED}, SILENT), granted])

    def look(*_: Any, **__: Any) -> Effects:
        answer = next(answers)
        if isinstance(answer, ProbeError):
            raise answer
        return answer

    monkeypatch.setattr(rules, "effects_on_ws", look)
    monkeypatch.setattr(rules, "converge", lambda _deadline, observe, ok, **_: next(filter(ok, iter(observe, None))))
    given = rules.recovered(BENCH, cast("Login", None), ("assistante",), Deadline.after(60))
    assert given == granted


def test_what_cannot_be_given_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch()
    with judged(branch, monkeypatch) as (expect, undos):
        scope(branch, expect, undos)
        branch.ruled = "OU=Nulle part"
        with pytest.raises(ProbeError, match="has not got the command back"):
            undos[0]()


def test_a_machine_that_is_lost_leaves_the_computer_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch()
    with judged(branch, monkeypatch) as (expect, undos):
        branch.lost = True
        with pytest.raises(ProbeError, match="did not come back"):
            scope(branch, expect, undos)
        undos[0]()
        assert branch.place == HOME


def test_a_directory_that_refuses_the_move_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Branch(stuck=True)
    with judged(branch, monkeypatch) as (expect, undos):
        with pytest.raises(ProbeError, match="Insufficient access"):
            scope(branch, expect, undos)
        undos[0]()
        assert (branch.place, branch.right) == (HOME, True)


def test_an_entry_keeps_its_name_when_it_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ldap, "_tool", lambda *told: asked.append(told[-1]) or (0, "", ""))
    told = ldap.move("10.1.2.3", "CN=Durand\\, Léa,OU=A,DC=t", "OU=B,DC=t", user="a", password="b")
    assert told == {"code": 0, "reason": ""}
    lines = dict(line.split(": ", 1) for line in asked[0].splitlines())
    assert ldap._decoded(lines["newrdn:"]) == "CN=Durand\\, Léa"
    assert ldap._decoded(lines["newsuperior:"]) == "OU=B,DC=t"
    assert lines["changetype"] == "modrdn"
