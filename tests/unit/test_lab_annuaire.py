"""The lab annuaire: what its checks conclude from what they saw, and its files."""

from __future__ import annotations

import ast
import base64
import errno
import os
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import agency
from graders.cp09_directory import check_objects, check_policy, check_rights
from graders.cp09_directory.check_controller import clock_offset
from graders.cp09_directory.trial import Trial
from graders.probe_client import ProbeError
from graders.probes import smb
from graders.workstation import Attempt, debian, plain
from graders.workstation.debian import DebianWorkstation
from labs.deadline import Deadline
from labs.paths import PLAYBOOKS
from labs.variants import template_environment
from tests.unit.lab_data import bench_of
from tests.unit.shell_machine import Shell

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient


BENCH = bench_of("annuaire", 0)
BASE = str(BENCH.values["base_dn"])
AGENCY = f"OU=Agence,{BASE}"


def sid(*parts: int) -> str:
    data = bytes([1, len(parts)]) + (5).to_bytes(6, "big") + struct.pack(f"<{len(parts)}I", *parts)
    return f"base64:{base64.b64encode(data).decode()}"


def user(login: str, unit: str = "Commerce", **more: Any) -> dict[str, Any]:
    entry = {"dn": f"CN={login},OU={unit},{AGENCY}", "objectclass": ["user"], "samaccountname": [login]}
    return {**entry, **{name: [value] for name, value in more.items()}}


def group(name: str, *members: str, rid: int = 1000) -> dict[str, Any]:
    dn = f"CN={name},CN=Users,{BASE}"
    return {"dn": dn, "objectclass": ["group"], "samaccountname": [name], "member": list(members),
            "objectsid": [sid(21, 1, 2, 3, rid)]}  # fmt: skip


@pytest.mark.parametrize("number", range(20))
def test_people_of_any_candidate_are_distinct_and_passwords_satisfy_the_rules(number: int) -> None:
    bench = bench_of("annuaire", number)
    logins = [one.login for one in agency.people(bench)]
    assert len(set(logins)) == 6
    assert all(login.isascii() and len(login) <= 20 for login in logins)
    assert len(str(bench.values["netbios"])) <= 15
    for name in ("mdp_admin", "mdp_agence", "mdp_essai"):
        word = str(bench.values[name])
        assert len(word) > int(bench.values["mdp_longueur"])
        assert any(c.isupper() for c in word)
        assert any(c.isdigit() for c in word)


def test_files_of_the_solution_are_programs() -> None:
    environment = template_environment(trim_blocks=True)
    seen = 0
    for path in sorted(PLAYBOOKS.glob("roles/annuaire_*/tree/**/*")):
        if not path.is_file():
            continue
        text = environment.from_string(path.read_text()).render(BENCH.variables)
        if text.startswith("#!/bin/sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)
            seen += 1
        elif ".py" in path.name or text.startswith("#!/usr/bin/python3"):
            ast.parse(text)
            seen += 1
    assert seen == 10


def test_the_clock_is_judged_from_both_ends_of_the_question() -> None:
    assert clock_offset("19700101000100.0Z", 60.2, 60.4) == 0
    assert clock_offset("19700101000100.0Z", 59.9, 65.0) == 0
    assert clock_offset("19700101000200.0Z", 60.0, 61.0) == 59.0
    assert clock_offset("19700101000000.0Z", 60.0, 61.0) == 59.0
    assert clock_offset("", 60.0, 61.0) is None


def test_an_account_is_compared_with_the_table() -> None:
    one = agency.person(BENCH, "directrice")
    principal = agency.bind_name(BENCH, one.login)
    good = user(one.login, "Direction", givenname=one.first, sn=one.last, userprincipalname=principal,
                useraccountcontrol="512")  # fmt: skip
    agency_dn = AGENCY.lower()
    assert check_objects.differences(one, good, agency_dn, principal) == []
    assert check_objects.differences(one, None, agency_dn, principal) == ["compte absent"]
    changes: list[dict[str, Any]] = [
        {"givenname": ["Helene"]},
        {"sn": []},
        {"useraccountcontrol": ["66048"]},
        {"userprincipalname": ["x"]},
        {"dn": f"CN=x,OU=Technique,{AGENCY}"},
    ]
    for change in changes:
        assert len(check_objects.differences(one, {**good, **change}, agency_dn, principal)) == 1, change


def test_a_comma_in_a_name_does_not_move_the_account() -> None:
    assert agency.parent(r"CN=Noël\, Léa,OU=Commerce,DC=a") == "OU=Commerce,DC=a"
    assert agency.parent("DC=a") == ""


def test_group_bits_are_read_as_the_directory_writes_them() -> None:
    assert check_objects._scope({"grouptype": ["-2147483646"]}) == "globale, sécurité"
    assert check_objects._scope({"grouptype": ["-2147483644"]}) == "domaine local, sécurité"
    assert check_objects._scope({"grouptype": ["2"]}) == "globale, distribution"
    assert check_objects._scope({"grouptype": ["-2147483640"]}) == "universelle, sécurité"


def test_who_is_privileged_through_other_groups() -> None:
    boss = user("Administrateur", objectsid=sid(21, 1, 2, 3, 500))
    helper = user("aide", objectsid=sid(21, 1, 2, 3, 1105))
    helpers = group("GG_Assistance", helper["dn"], rid=1200)
    admins = group("Admins du domaine", boss["dn"], rid=512)
    directory = agency.Directory([boss, helper, helpers, admins])
    assert directory.by_rid(512) is admins
    assert check_rights.strangers(directory, admins) == []
    admins["member"].append(helpers["dn"])
    helpers["member"].append(admins["dn"])
    assert check_rights.strangers(directory, admins) == ["aide"], "and a loop ends"
    hidden = group("Admins du schéma", "CN=inconnu,DC=x", rid=518)
    assert check_rights.strangers(directory, hidden) == ["CN=inconnu,DC=x"]
    emptied = group("Administrateurs de l'entreprise", rid=519)
    assert check_rights.strangers(directory, emptied) == [], "nobody at all is nobody else"
    operators = {"dn": "CN=x", "objectclass": ["group"], "objectsid": [sid(32, 548)]}
    assert agency.Directory([admins, operators]).builtin(548) == operators


def test_who_is_privileged_by_primary_group() -> None:
    """`member` does not name them; the domain's users, put into the administrators, are all of them."""
    sly = user("malin", primarygroupid="512")
    everybody = group("Utilisateurs du domaine", rid=513)
    usual = user("usuelle", primarygroupid="513")
    admins = group("Admins du domaine", rid=512)
    directory = agency.Directory([sly, usual, everybody, admins])
    assert check_rights.strangers(directory, admins) == ["malin"]
    admins["member"] = [everybody["dn"]]
    assert check_rights.strangers(directory, admins) == ["malin", "usuelle"]


def test_a_name_is_the_same_with_its_domain_or_in_capitals() -> None:
    names = ("essai.commerce", "NEVERS\\essai.commerce", "Essai.Commerce@nevers.test")
    assert {plain(name) for name in names} == {"essai.commerce"}
    someone = user("Lea.Dupre")
    directory = agency.Directory([someone, group("gg_Direction", someone["dn"])])
    assert directory.members(directory.account("GG_Direction") or {}) == {"lea.dupre"}


def test_whose_primary_group_it_is_is_a_member_too() -> None:
    """`member` does not name them: neither the person who is asked for, nor the one who should not be there."""
    lea, max_ = user("lea", primarygroupid="1200"), user("max")
    directory = agency.Directory([lea, max_, group("GG_Commerce", max_["dn"], rid=1200)])
    assert directory.members(directory.account("GG_Commerce") or {}) == {"lea", "max"}


@pytest.mark.parametrize(("value", "age"), [("-36288000000000", 36288000000000), ("0", 0), (str(-(2**63)), 0)])
def test_how_long_the_passwords_of_a_domain_last(value: str, age: int) -> None:
    entries = [{"dn": BASE, "maxpwdage": [value]}]
    probe = cast("ProbeClient", SimpleNamespace(call=lambda *_, **__: {"code": 0, "entries": entries, "reason": ""}))
    assert check_objects.longest_age(BENCH, probe) == age
    hidden = cast(
        "ProbeClient", SimpleNamespace(call=lambda *_, **__: {"code": 50, "entries": [], "reason": "no right"})
    )
    with pytest.raises(ProbeError, match="no right"):
        check_objects.longest_age(BENCH, hidden)


def test_a_session_that_is_not_set_up_is_not_a_right_that_is_refused() -> None:
    """libsmbclient may tell the one as EPERM; the other is EACCES, as a wrong password is."""
    assert [smb.name_of(OSError(number, "")) for number in (errno.EPERM, errno.EACCES, errno.ETIMEDOUT)] == [
        smb.STRANGER, smb.REFUSED, smb.LATE]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "read", "right"),
    [
        (("granted", ""), ("granted", "mot"), check_rights.WRITE),
        (("refused", ""), ("granted", "mot"), check_rights.READ),
        (("refused", ""), ("refused", ""), check_rights.NOTHING),
        (("logon refused", ""), ("logon refused", ""), check_rights.NOTHING),
    ],
)
def test_the_right_that_was_shown(written: tuple[str, str], read: tuple[str, str], right: str) -> None:
    told = [{"state": state, "text": words} for state, words in (written, read)]
    assert check_rights.granted(told[0], told[1], "mot") == right


def test_a_server_that_does_not_answer_has_refused_nothing() -> None:
    silent = {"state": "ECONNREFUSED", "text": ""}
    assert check_rights.granted(silent, silent, "mot") not in {
        check_rights.WRITE,
        check_rights.READ,
        check_rights.NOTHING,
    }
    assert check_rights.granted({"state": "granted", "text": ""}, {"state": "ENOENT", "text": ""}, "mot") != "lecture"


def test_a_session_is_read_from_what_it_printed() -> None:
    opened = debian.session_of("Mot de passe : \nessai.commerce\n11104\n/home/essai.commerce\nessai.commerce\necrit\n")
    assert opened == {"compte": "essai.commerce", "numéro": "11104", "dossier": "/home/essai.commerce",
                      "propriétaire": "essai.commerce", "écriture": "ecrit"}  # fmt: skip
    glued = debian.session_of("Password: essai.commerce\n11104\n/\nroot\n")
    assert (glued["compte"], glued["dossier"], "écriture" in glued) == ("essai.commerce", "/", False)
    assert "problem" in debian.session_of("Mot de passe : su : Échec d'authentification\n")
    assert debian.session_of("") == {"problem": "rien"}


def test_trial_passwords_are_what_their_label_says() -> None:
    for word in ("n0123456789ab", "nffffffffffff"):
        for length in range(9, 14):
            password = check_policy.exact(word, length)
            assert len(password) == length
            assert any(c.isupper() for c in password)
            assert any(c.isdigit() for c in password)
        assert check_policy.simple(word).isalpha()
        assert check_policy.simple(word).islower()
        assert len(check_policy.simple(word)) == 24
    assert check_policy.in_minutes("-18000000000") == 30
    assert check_policy.in_minutes("") == ""


def test_sessions_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = cast("Login", Shell(tmp_path))
    said = 'read mot; if [ "$mot" = bon ]; then echo x; echo 11; echo /home/x; echo x; echo ecrit; else echo refus; fi'
    monkeypatch.setattr(debian, "OPEN", "printf '%s\\n' {password} | { " + said + "; } >{file} 2>&1 &")
    opened, refused = DebianWorkstation(BENCH, machine).sessions("essai", ["bon", "l'autre; exit"], Deadline.after(20))
    assert (opened["numéro"], opened["écriture"]) == ("11", "ecrit")
    assert refused["problem"].startswith("refus")


def test_a_session_that_hangs_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = cast("Login", Shell(tmp_path))
    hangs = debian.OPEN.replace("timeout 100 runuser -u nobody -- su -l {account} -c", "timeout 0.2 sh -c 'sleep 9'")
    monkeypatch.setattr(debian, "OPEN", hangs)
    with pytest.raises(ProbeError, match="neither opened nor refused"):
        DebianWorkstation(BENCH, machine).sessions("essai", ["bon"], Deadline.after(20))


THERE = cast("Login", lambda _node: SimpleNamespace(run=lambda *_: SimpleNamespace(rc=0)))
"""A machine where whatever is asked succeeds."""


@pytest.mark.parametrize(
    ("words", "known", "became"),
    [
        ("connu 0", "oui", "oui"),
        ("connu 0 sans-mot-de-passe", "oui", "sans mot de passe"),
        ("connu statut-1", "oui", "non"),
        ("connu local statut-1", "compte local", "non"),
        ("statut-1 statut-1", "non", "non"),
        ("", "non", "non"),
    ],
)
def test_who_becomes_administrator_of_a_debian(
    words: str, known: str, became: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "run_errand", lambda *_: f"autre connu 0\nlea.dupre {words}\n")
    found = DebianWorkstation(BENCH, THERE).administrators(["lea.dupre"], "mot", Deadline.after(5))
    assert found == {"lea.dupre": Attempt(known, became)}
    monkeypatch.setattr(debian, "run_errand", lambda *_: "lea.dupre connu statut-124\n")
    with pytest.raises(ProbeError, match=r"sudo by lea\.dupre on ws had not ended"):
        DebianWorkstation(BENCH, THERE).administrators(["lea.dupre"], "mot", Deadline.after(5))


RUNUSER = """#!/bin/sh
echo >>{place}/"$2"
case "$2 $(wc -l <{place}/"$2")" in
  tardif\\ 3 | tardif\\ 4) [ "$5" = -k ] && [ "$6" = -S ] && echo 0 ;;
  etranger*) echo "etranger is not in the sudoers file." >&2; exit 1 ;;
  *) echo "Sorry, try again. sudo: 1 incorrect password attempt" >&2; exit 1 ;;
esac
"""


def test_a_password_that_a_busy_controller_refuses_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, place = tmp_path / "outils", tmp_path / "controle"
    for folder in (tools, place):
        folder.mkdir()
    for name, source in (("runuser", RUNUSER.format(place=tmp_path)), ("id", "#!/bin/sh\n")):
        (tools / name).write_text(source)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(debian, "PAUSE", 0)
    asked = ["tardif", "etranger", "refuse"]
    found = DebianWorkstation(BENCH, cast("Login", Shell(place))).administrators(asked, "mot", Deadline.after(30))
    assert {who: one.became for who, one in found.items()} == {"tardif": "oui", "etranger": "non", "refuse": "non"}
    assert {who: (tmp_path / who).read_text().count("\n") for who in asked} == {"tardif": 4, "etranger": 1, "refuse": 3}


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (["fuseau", f"ws.{BENCH.values['domaine']}", "fr_FR.UTF-8"], []),
        (["fuseau", f"WS.{BENCH.values['domaine']}", "fr_FR.utf8"], []),
        ([f"ws.{BENCH.values['domaine']}", "fr_FR.UTF-8"], ["fuseau horaire"]),
        (["fuseau", "ws", "C.UTF-8"], ["nom complet de ws", "langue"]),
        ([], ["fuseau horaire", "nom complet de ws", "langue"]),
    ],
)
def test_settings_of_a_debian(lines: list[str], wrong: list[str]) -> None:
    told = SimpleNamespace(run=lambda *_: SimpleNamespace(stdout="\n".join(lines)))
    rows = DebianWorkstation(BENCH, cast("Login", lambda _node: told)).settings()
    assert [label for label, _, _, ok in rows if not ok] == wrong


class Domain:
    """A probe whose directory holds one password an account, and answers changes with `code`."""

    def __init__(self, code: int | None = 0) -> None:
        self.code, self.passwords = code, {"essai.commerce": str(BENCH.values["mdp_essai"])}
        self.members: list[str] = []
        self.locked = "133000000000000000"

    def nonce(self, purpose: str) -> str:
        return f"n{abs(hash(purpose)):012x}"[:13]

    def call(self, probe: str, leg: str, **asked: Any) -> Any:
        if probe == "kerberos.obtain":
            right = self.passwords[asked["user"]] == asked["password"]
            return {"state": "granted" if right else "wrong password", "reason": "", "services": {}}
        if asked["user"].startswith("Administrator@"):
            return {"code": 49, "reason": "a French server calls it otherwise", "entries": []}
        if probe == "ldap.search":
            entry = {"dn": asked["base"], "member": self.members, "lockouttime": [self.locked]}
            return {"code": 0, "reason": "", "entries": [entry]}
        if self.code == 0:
            self._change(asked["dn"], asked["values"], asked.get("how"))
        return {"code": self.code, "reason": "told"}

    def _change(self, dn: str, values: dict[str, str], how: str | None) -> None:
        self.locked = values.get("lockoutTime", self.locked)
        if "unicodePwd" in values:
            self.passwords[dn] = values["unicodePwd"]
        if "member" in values:
            {"add": self.members.append, "delete": self.members.remove}[str(how)](values["member"])


def test_what_a_trial_changes_is_put_back_once() -> None:
    domain, undos = Domain(), []
    trial = Trial(BENCH, cast("ProbeClient", domain), lambda what, act: undos.append((what, act)))
    account = {"dn": "essai.commerce", "samaccountname": ["essai.commerce"]}
    assert trial.answer(trial.give(account, "un")) == "acceptée"
    assert domain.locked == "0", "a lock of the candidate's own trial does not count"
    assert trial.answer(trial.reset(account, "deux", "aide@a", "secret")) == "acceptée"
    assert trial.ticket("essai.commerce", "deux") == "obtenu"
    assert trial.ticket("essai.commerce", "x") == "refusé"
    assert [what for what, _ in undos] == ["mot de passe de essai.commerce"]
    undos[0][1]()
    assert domain.passwords["essai.commerce"] == BENCH.values["mdp_essai"]
    trial.give(account, "trois")
    domain.code = 50
    assert trial.answer(trial.reset(account, "x", "aide@a", "secret")) == "refusée"
    with pytest.raises(ProbeError, match="could not be put back: told"):
        undos[0][1]()
    domain.code = None
    with pytest.raises(ProbeError, match="the directory does not answer: told"):
        trial.reset(account, "x", "aide@a", "secret")


def test_who_is_put_into_a_group_is_taken_out_again() -> None:
    domain, undos = Domain(), []
    trial = Trial(BENCH, cast("ProbeClient", domain), lambda what, act: undos.append((what, act)))
    account, helpers = user("essai.commerce"), group("GG_Assistance")
    assert trial.answer(trial.enrol(account, helpers)) == "acceptée"
    assert domain.members == [account["dn"]]
    domain.code = 50
    with pytest.raises(ProbeError, match="could not be taken out of"):
        undos[0][1]()
    domain.code = 0
    undos[0][1]()
    assert domain.members == []
    domain.members = [account["dn"]]
    assert trial.answer(trial.enrol(account, helpers)) == "acceptée"
    undos[-1][1]()
    assert domain.members == [account["dn"]], "whom the candidate put there stays"
    assert [what for what, _ in undos] == ["essai.commerce dans GG_Assistance"]


def test_the_next_one_reads_where_somebody_does_not_get_in() -> None:
    """One account with another password is one mistake, not a directory that cannot be read."""
    asked: list[str] = []

    def call(_probe: str, _leg: str, **params: Any) -> Any:
        asked.append(params["user"].partition("@")[0])
        good = len(set(asked)) > 2
        return {"code": 0 if good else 49, "reason": "", "entries": [user("lea")] if good else []}

    probe = cast("ProbeClient", SimpleNamespace(call=call))
    directory, problem = agency.read_directory(BENCH, probe)
    assert (problem, directory.account("lea")) == ("", user("lea"))
    assert asked == [agency.person(BENCH, who).login for who in agency.READERS[:3]]
    assert set(agency.READERS) == set(agency.STAFF)


class Rules:
    """A directory whose account has rules of its own, or not; only `reader` is shown those."""

    def __init__(self, own: bool, reader: str = "Administrateur@") -> None:
        self.own, self.reader = own, reader

    def call(self, probe: str, leg: str, **asked: Any) -> Any:
        entry: dict[str, Any] = {"dn": asked["base"]}
        if asked["attributes"] == ["lockoutDuration"]:
            return {"code": 0, "entries": [{**entry, "lockoutduration": ["-9000000000"]}]}
        if not asked["user"].startswith(self.reader):
            return {"code": 49, "entries": []}
        if self.own and asked["attributes"] == ["msDS-ResultantPSO"]:
            entry["msds-resultantpso"] = ["CN=verrou,CN=Password Settings Container"]
        if asked["base"].startswith("CN=verrou"):
            entry["msds-lockoutduration"] = ["-18000000000"]
        return {"code": 0, "entries": [entry]}


@pytest.mark.parametrize(("rules", "minutes"), [(Rules(False), 15), (Rules(True), 30), (Rules(True, "personne"), 15)])
def test_rules_made_for_some_accounts_count_before_the_domains(rules: Rules, minutes: int) -> None:
    probe = cast("ProbeClient", rules)
    trial = Trial(BENCH, probe, lambda *_: None)
    told = check_policy.lockout_duration(BENCH, probe, trial, {"dn": "CN=essai.direction"})
    assert check_policy.in_minutes(told) == minutes


def test_a_state_that_is_hidden_is_no_state() -> None:
    """A hardened directory does not show userAccountControl to ordinary people."""
    assert check_objects.state_of(user("lea", useraccountcontrol="514")) & agency.DISABLED
    assert check_objects.state_of(None) == 0
    with pytest.raises(ProbeError, match="userAccountControl of lea is not shown"):
        check_objects.state_of(user("lea"))
