"""Windows machines: how one is made, reached and asked. No Windows answers here, only what its documents say of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import agency
from graders.cp02_workstation import check_settings
from graders.cp09_directory import check_rights
from graders.devices import AnswerError, Windows
from graders.engine.command import POWERSHELL
from graders.engine.snapshot import Snapshot
from graders.expect import Expect, Unmet
from graders.plugin import reboot
from graders.probe_client import ProbeError
from graders.workstation import attempts_early, elsewhere, workstation_of
from graders.workstation.windows import WindowsWorkstation, session_of
from labs import accesssheet, inventory, labcheck, windows
from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, InputError, PlateauError
from labs.execute import Executor
from labs.hypervisors.base import ExecResult, Hypervisor, NodeKey, NodeStatus, Power
from labs.hypervisors.proxmox.agent import is_plain
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.templates import Templates
from labs.hypervisors.qemu.driver import QemuHypervisor
from labs.journal import Journal
from labs.models.lab import Node
from labs.models.profile import Profile
from labs.models.proxmox import ProxmoxProfile
from labs.paths import CATALOGUE
from labs.plan import Action, NodePlan, Plan
from labs.powershell import ARGUMENTS
from labs.sessionfiles import SessionFiles
from tests.unit.lab_data import bench_of
from tests.unit.test_engine_devices import engine, windows_route
from tests.unit.wsman_endpoint import WsmanEndpoint

if TYPE_CHECKING:
    from graders.login import Login

LAB = "annuaire-windows"
BENCH = bench_of(LAB, 0)
DOMAIN_SID = "S-1-5-21-1-2-3"
SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
BEFORE, AFTER = "([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('", "')))"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WINDOWS_PASSWORD", "Secret-du-centre-1")


def data_of(program: str) -> Any:
    """What was put into a program as data."""
    match = re.search(r"FromBase64String\('([^']*)'\)", program)
    assert match
    text = base64.b64decode(match[1]).decode()
    return json.loads(text) if text.startswith("{") else text


# --- the lab ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(20))
def test_passwords_are_such_as_windows_takes(number: int) -> None:
    """Three kinds of characters, and no word of the account's name of three letters or more (password filter)."""
    bench = bench_of(LAB, number)
    people = " ".join(f"{one.first} {one.last}" for one in agency.people(bench))
    names = {"mdp_essai": "Essai Commerce Direction", "mdp_agence": people, "mdp_admin": "Administrator Administrateur"}
    for name, words in names.items():
        secret = str(bench.values[name])
        assert sum(any(c in kind for c in secret) for kind in KINDS) >= 3
        assert not [word for word in words.split() if len(word) > 2 and word.lower() in secret.lower()]
    assert sum(any(c in kind for c in windows.password(bench)) for kind in KINDS) == 4


KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)


def test_each_machine_has_the_release_of_its_system() -> None:
    assert {node.name: node.spec.release for node in BENCH.nodes} == {
        "dc": "2022", "srv": "trixie", "ws": "11", "probe": "trixie"}  # fmt: skip
    assert BENCH.session.lab.templates == ["dc-2022", "ws-11"]
    assert bench_of("annuaire", 0).session.lab.templates == []


def test_files_for_debian_are_refused_on_windows() -> None:
    access = {"user": "plateau", "password_env": "PASSE"}
    with pytest.raises(ValueError, match=r"give windows\.setup instead"):
        Node.model_validate({"name": "n", "role": "n", "title": {"fr": "n"}, "nics": [{"segment": "lan"}],
                             "run": ["true"], "windows": access})  # fmt: skip


ACCESS = 'windows: {release: "2022", setup: dc/carte.ps1.j2, user: plateau, password_env: LAB_WINDOWS_PASSWORD}'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (ACCESS, "device: {type: cisco_ios, user: a}", "is made after a reboot, and the grader does not reboot dc"),
        ("setup: dc/carte", "setup: dc/cartes", "nodes.0.windows.setup: no such file"),
        ("role: membre", "role: membres", "no role 'membres'"),
    ],
)
def test_an_author_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    shutil.copytree(CATALOGUE / LAB, tmp_path / LAB)
    file = tmp_path / LAB / "lab.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        labcheck.check_lab(file)
    assert all(told in line for line in str(caught.value).splitlines())


def test_the_embedded_hypervisor_refuses_in_one_line() -> None:
    specs = [node.spec for node in BENCH.nodes]
    driver = QemuHypervisor(Profile())
    for refused in (lambda: driver.missing(specs), lambda: driver.prepare(specs, lambda *_: None)):
        with pytest.raises(
            EnvironmentLackError, match=r"^dc is cloned from a template dc-2022, .*Proxmox VE"
        ) as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_a_cluster_without_the_template_says_what_to_name() -> None:
    profile = ProxmoxProfile.model_validate({
        "driver": "proxmox", "hosts": ["pve1"], "token": "plateau@pve!plateau", "secret_env": "SECRET",
        "network": {"mode": "bridge", "bridge": "vmbr1"}, "vmids": {"first": 20000, "last": 20009},
        "management": {"bridge": "vmbr0", "network": "10.0.0.0/24", "first": "10.0.0.10"},
    })  # fmt: skip
    told = Templates(profile, cast(Client, None)).remedy("dc", "2022")
    assert "{dc-2022: VMID}" in told
    assert "image build" not in told
    assert "image build dc" in Templates(profile, cast(Client, None)).remedy("dc", "trixie")


# --- the first configuration ------------------------------------------------------------------------------------------


class Room:
    """As much of a hypervisor as a first configuration needs."""

    def __init__(self, status: int = 0) -> None:
        self.status_of_exec, self.stdin = status, b""
        self.done: list[str] = []
        self.ready: list[str] = []

    def execute(self, key: NodeKey, argv: list[str], deadline: Deadline, *, stdin: bytes = b"") -> ExecResult:
        self.done.append(argv[0])
        assert tuple(argv[1:]) == ARGUMENTS
        self.stdin = stdin
        return ExecResult(self.status_of_exec, b"", b"there is no card\r\n")

    def stop(self, key: NodeKey, deadline: Deadline, *, force: bool = False) -> None:
        self.done.append("stop")

    def start(self, key: NodeKey, deadline: Deadline) -> None:
        self.done.append("start")

    def wait_agent(self, key: NodeKey, deadline: Deadline) -> None:
        self.done.append("agent")

    def status(self, key: NodeKey) -> NodeStatus:
        return NodeStatus(key, Power.RUNNING, True, ("127.0.0.1", 22))

    def ensure_segments(self, *_: Any) -> None:
        self.done.append("segments")

    def ensure_node(self, *_: Any) -> None:
        self.done.append("node")

    def mark_ready(self, key: NodeKey) -> None:
        self.ready.append(key.node)

    def console(self, key: NodeKey) -> Any:
        return SimpleNamespace(vnc=None, url=None)


def test_the_script_of_a_machine_carries_its_data_and_the_labs_own() -> None:
    program = windows.script(BENCH, BENCH.node("dc"))
    settings = data_of(program)
    assert settings["name"] == "dc"
    assert settings["cards"] == [{"name": "lan", "mac": BENCH.node("dc").mac("lan").upper().replace(":", "-")}]
    assert (settings["user"], settings["secret"], settings["port"]) == ("plateau", "Secret-du-centre-1", 5986)
    assert settings["secret"] not in program
    assert f"-IPAddress {BENCH.values['lan_dc']} -PrefixLength 24" in program
    assert "@SETTINGS@" not in program


def test_a_machine_starts_again_once_it_is_configured() -> None:
    room = Room()
    windows.configure(cast(Hypervisor, room), BENCH, BENCH.node("ws"), Deadline.after(5))
    assert room.done == ["powershell.exe", "stop", "start", "agent"]
    assert is_plain(room.stdin), "the agent of a Windows takes nothing else"
    assert base64.b64decode(room.stdin).decode() == windows.script(BENCH, BENCH.node("ws"))
    with pytest.raises(PlateauError, match=r"/ws: first configuration failed: there is no card$"):
        windows.configure(cast(Hypervisor, Room(1)), BENCH, BENCH.node("ws"), Deadline.after(5))


def test_without_the_graders_password_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_WINDOWS_PASSWORD")
    with pytest.raises(EnvironmentLackError, match=r"LAB_WINDOWS_PASSWORD is not set; .* plateau on dc"):
        windows.script(BENCH, BENCH.node("dc"))


def test_a_template_that_is_not_there_or_does_not_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CATALOGUE", tmp_path)
    with pytest.raises(InputError, match="no such template"):
        windows.script(BENCH, BENCH.node("dc"))
    (tmp_path / LAB / "files" / "dc").mkdir(parents=True)
    (tmp_path / LAB / "files" / "dc" / "carte.ps1.j2").write_text("{{ lan_dcc }}")
    with pytest.raises(InputError, match="cannot be rendered: 'lan_dcc' is undefined"):
        windows.script(BENCH, BENCH.node("dc"))


def test_up_goes_the_way_of_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    room = Room()
    told: list[str] = []
    monkeypatch.setattr(windows, "wait", lambda _hypervisor, node, _deadline: told.append(node.name))
    session = replace(BENCH.session, path=tmp_path / "session.yaml")
    bench = replace(BENCH, session=session, nodes=(BENCH.node("dc"), BENCH.node("ws")))
    plan = Plan(tuple(NodePlan(node.spec, Action.CREATE) for node in bench.nodes), (), (), 0.0)
    with contextlib.closing(Journal(tmp_path / "journal", "up")) as journal:
        outcome = Executor(session, cast(Hypervisor, room), journal).up([bench], plan)
    assert outcome.errors == {}
    assert sorted(told) == ["dc", "ws"]
    assert room.done.count("powershell.exe") == 2
    assert sorted(room.ready) == ["dc", "ws"]


def test_winrm_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = BENCH.node("ws")
        assert node.model.windows
        port = server.getsockname()[1]
        model = node.model.model_copy(update={"windows": node.model.windows.model_copy(update={"port": port})})
        windows.wait(cast(Hypervisor, Room()), replace(node, model=model), Deadline.after(5))
    with pytest.raises(DeadlineError, match=f"WinRM on port {port}"):
        windows.wait(cast(Hypervisor, Room()), replace(node, model=model), Deadline.after(0.3))


# --- how people and Ansible reach it ----------------------------------------------------------------------------------


def test_the_sheet_says_who_works_there() -> None:
    sheet = accesssheet.markdown(BENCH, cast(Hypervisor, Room())).replace("\u00a0", " ").replace("\u202f", " ")
    assert windows.password(BENCH) in sheet
    assert "Bureau à distance : `127.0.0.1`" in sheet
    assert sheet.count("ssh -p") == 1, "srv"
    assert "La carte `centre` et le compte `plateau` y sont réservés au centre." in sheet
    debian = accesssheet.markdown(bench_of("annuaire", 0), cast(Hypervisor, Room()))
    assert "Windows" not in debian
    assert debian.count("ssh -p") == 3


def test_ansible_takes_the_password_from_the_environment(tmp_path: Path) -> None:
    files = SessionFiles(tmp_path)
    inventory.write(BENCH.session, [BENCH], cast(Hypervisor, Room()), files)
    assert "Secret-du-centre-1" not in files.inventory.read_text()
    told = "user={{ ansible_user }} pass={{ ansible_password }} by={{ ansible_connection }}:{{ ansible_port }}"
    program = Path(sys.executable).with_name("ansible")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    command = [program, "-i", files.inventory, "c0-dc", "-m", "ansible.builtin.debug", "-a", f"msg='{told}'"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "user=plateau pass=Secret-du-centre-1 by=winrm:5986" in answer.stdout
    del environment["LAB_WINDOWS_PASSWORD"]
    without = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "LAB_WINDOWS_PASSWORD is not set; it must hold the password of plateau" in without.stdout + without.stderr


# --- the workstation --------------------------------------------------------------------------------------------------


def opened(account: str, **more: Any) -> dict[str, Any]:
    """What sessions.ps1 answers of a session that opened, as MS-DTYP and the documents of the profile say."""
    sid = f"{DOMAIN_SID}-1105"
    folder = rf"C:\Users\{account}"
    return {"error": 0, "profile": 0, "name": rf"CAYENNE\{account}", "sid": sid, "administrator": False,
            "folder": folder, "full": [SYSTEM, ADMINISTRATORS, sid], "written": "", **more}  # fmt: skip


def refused(error: int) -> dict[str, Any]:
    return {**opened(""), "error": error, "name": "", "sid": "", "folder": "", "full": []}


class Machine:
    """In the place of the PowerShell of a workstation: answers the programs of graders/workstation by their data."""

    def __init__(self) -> None:
        self.people: dict[tuple[str, str], dict[str, Any]] = {}
        self.settings: dict[str, Any] = {}
        self.asked: list[Any] = []

    def __call__(self, command: str, stdin: bytes) -> bytes:
        text = base64.b64decode(stdin).decode()
        nonce = re.search(r"'(\w{16}) ' \+", text)
        assert nonce
        answers = [self.answer(one["run"]) for one in json.loads(json.dumps(data_of_list(text)))]
        told = {"clock": 0.0, "boot": "b", "answers": answers}
        return f"{nonce[1]} {base64.b64encode(json.dumps(told).encode()).decode()}\r\n".encode()

    def answer(self, program: str) -> dict[str, Any]:
        asked = data_of(program)
        self.asked.append(asked)
        if "LogonUserW" in program:
            found = [self.people.get((one["account"], one["password"]), refused(1326)) for one in asked["people"]]
        else:
            found = [self.settings]
        return {"status": 0, "out": json.dumps(found), "error": "", "seconds": 0.1}


def data_of_list(text: str) -> list[dict[str, Any]]:
    match = re.search(r"FromBase64String\('([^']*)'\)", text)
    assert match
    return list(json.loads(base64.b64decode(match[1])))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Machine, WsmanEndpoint]]:
    shell = Machine()
    endpoint = WsmanEndpoint(tmp_path, shell)
    yield shell, endpoint
    endpoint.close()


@pytest.fixture
def station(
    machine: tuple[Machine, WsmanEndpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Machine, WindowsWorkstation]:
    """A workstation behind the real pywinrm, as the engine uses it."""
    shell, endpoint = machine
    live = engine(tmp_path, monkeypatch, POWERSHELL, windows_route(endpoint), Snapshot(tmp_path / "snapshot.jsonl"))
    found = workstation_of(BENCH, cast("Login", None), lambda node: Windows(live, node))
    assert isinstance(found, WindowsWorkstation)
    return shell, found


def test_a_session_opens_with_one_password_and_not_with_the_other(station: Any) -> None:
    shell, workstation = station
    shell.people["essai.commerce", "neuf"] = opened("essai.commerce")
    good, bad = workstation.sessions("essai.commerce", ["neuf", "l'ancien"], Deadline.after(30))
    assert good == {"compte": r"CAYENNE\essai.commerce", "numéro": f"{DOMAIN_SID}-1105",
                    "dossier": r"C:\Users\essai.commerce", "propriétaire": r"CAYENNE\essai.commerce",
                    "écriture": "ecrit"}  # fmt: skip
    assert bad == {"problem": "compte ou mot de passe refusé"}
    assert len(shell.asked) == 1, "one exchange"
    shell.people["essai.commerce", "neuf"] = refused(1909)
    assert workstation.sessions("essai.commerce", ["neuf"], Deadline.after(30)) == [{"problem": "compte verrouillé"}]
    assert shell.asked[0]["domain"] == BENCH.values["netbios"]
    assert [one["password"] for one in shell.asked[0]["people"]] == ["neuf", "l'ancien"]


def test_the_account_of_a_session_is_the_directorys_by_its_sid(station: Any) -> None:
    _, workstation = station
    data = bytes([1, 5]) + (5).to_bytes(6, "big") + b"".join(n.to_bytes(4, "little") for n in (21, 1, 2, 3, 1105))
    entry = {
        "dn": "CN=a",
        "samaccountname": ["essai.commerce"],
        "objectsid": [f"base64:{base64.b64encode(data).decode()}"],
    }
    session = session_of(opened("essai.commerce"))
    assert workstation.strangers(entry, session) == []
    local = session_of(opened("essai.commerce", sid="S-1-5-21-9-9-9-1105"))
    assert workstation.strangers(entry, local) == ["S-1-5-21-9-9-9-1105"]


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"folder": r"C:\Users\TEMP"}, "dossier", ""),
        ({"folder": r"C:\Users\TEMP.CAYENNE.001"}, "dossier", ""),
        ({"full": [SYSTEM, ADMINISTRATORS]}, "propriétaire", f"{SYSTEM}, {ADMINISTRATORS}"),
        ({"written": "UnauthorizedAccessException"}, "écriture", "UnauthorizedAccessException"),
    ],
)
def test_a_folder_that_is_not_the_persons(change: dict[str, Any], field: str, value: str) -> None:
    session = session_of(opened("essai.commerce", **change))
    assert session[field] == value
    assert elsewhere(session["dossier"]) is (field != "dossier")


def test_a_profile_that_was_not_made_and_a_broken_trust_are_told() -> None:
    assert session_of(opened("a", profile=5)) == {"problem": "profil non créé (erreur 5)"}
    assert session_of(refused(1789)) == {"problem": "relation d'approbation rompue"}


@pytest.mark.parametrize("error", [1314, 1450, 5])
def test_an_error_of_ours_is_no_refusal(station: Any, error: int) -> None:
    """Privilege not held, no resources, access denied: says nothing about the candidate."""
    shell, workstation = station
    shell.people["a", "p"] = refused(error)
    with pytest.raises(ProbeError, match=f"neither opened nor refused: error {error}"):
        workstation.sessions("a", ["p"], Deadline.after(30))
    with pytest.raises(ProbeError, match=f"error {error}"):
        workstation.administrators(["a"], "p", Deadline.after(30))


def test_an_answer_that_is_too_short_or_none_is_an_error(station: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, workstation = station
    monkeypatch.setattr(shell, "answer", lambda _: {"status": 0, "out": "[]", "error": "", "seconds": 0.1})
    with pytest.raises(ProbeError, match="2 sessions were asked for on ws, 0 answers came"):
        workstation.sessions("a", ["p", "q"], Deadline.after(30))
    told = {"status": 1, "out": "[]", "error": "Add-Type : error CS0116", "seconds": 0.1}
    monkeypatch.setattr(shell, "answer", lambda _: told)
    with pytest.raises(AnswerError, match="CS0116"):
        workstation.sessions("b", ["p"], Deadline.after(30))


ZONE = {"zone": "SA Eastern Standard Time", "offsets": [-180] * 12, "wanted": [-180] * 12, "locale": "fr-FR"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"zone": "Bahia Standard Time"}, []),  # another name for the same hours
        ({"offsets": [60] * 3 + [120] * 7 + [60] * 2, "zone": "Romance Standard Time"}, ["fuseau horaire"]),
        ({"locale": "en-US"}, ["paramètres régionaux du système"]),
        ({"name": "WS."}, ["nom complet de ws"]),
    ],
)
def test_settings(station: Any, change: dict[str, Any], wrong: list[str]) -> None:
    shell, workstation = station
    shell.settings = {**ZONE, "name": f"WS.{BENCH.values['domaine']}", **change}
    assert [label for label, _, _, ok in workstation.settings() if not ok] == wrong
    assert shell.asked == [BENCH.values["fuseau_windows"]]


@pytest.mark.parametrize("mistake", ["", "everybody", "nobody", "unknown"])
def test_who_is_administrator(station: Any, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, workstation = station
    monkeypatch.setattr(check_settings, "workstation_of", lambda *_: workstation)
    secret = str(BENCH.values["mdp_agence"])
    for who in ("technicien", "commerciale", "assistante"):
        login = agency.person(BENCH, who).login
        rights = mistake == "everybody" or (who == "technicien" and mistake != "nobody")
        if not (mistake == "unknown" and who == "assistante"):
            shell.people[login, secret] = opened(login, administrator=rights)
    expect = Expect()
    check_settings.check_administrators(BENCH, cast("Login", None), cast(Any, None), expect, Deadline.after(30))
    if mistake:
        with pytest.raises(Unmet):
            expect.conclude()
    else:
        expect.conclude()
    assert not any(one["profile"] for one in shell.asked), "no profile is made for that"


def test_nothing_is_started_early_on_a_windows() -> None:
    people = ["a", "b"]
    assert attempts_early(BENCH, people, "p") == []
    assert len(attempts_early(bench_of("annuaire", 0), people, "p")) == 1


# --- the restart ------------------------------------------------------------------------------------------------------


class Restarting:
    """A Windows machine whose agent tells another first process after `shutdown /r`, and later that all is started."""

    def __init__(self) -> None:
        self.starts, self.looks = 0, 0

    def capacity(self) -> list[Any]:
        return [SimpleNamespace(accelerator="kvm")]

    def execute(self, key: NodeKey, argv: tuple[str, ...], deadline: Deadline) -> ExecResult:
        told = b""
        if argv == reboot.WINDOWS.restart:
            self.starts += 1
        elif argv == reboot.WINDOWS.boot_id:
            told = f"{600 + self.starts}-13330000{self.starts}\r\n".encode()
        elif argv == reboot.WINDOWS.settled:
            self.looks += 1
            told = b"starting\r\n" if self.looks < 2 else b"running\r\n"
        return ExecResult(0, told, b"")


def test_a_windows_really_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reboot, "SETTLE_INTERVAL", 0.01)
    machine = Restarting()
    told = reboot.reboot(cast(Hypervisor, machine), [BENCH.node("dc")])
    assert re.match(r"reboot: boot id 600-133300000 -> 601-133300001 in \d s, system running in", told["dc"])
    assert machine.starts == 1
    assert reboot.system_of(BENCH.node("srv")) is reboot.DEBIAN
    assert not [word for word in (*reboot.WINDOWS.boot_id, *reboot.WINDOWS.settled) if '"' in word]


# --- the directory of a Windows controller ----------------------------------------------------------------------------


def test_the_graders_account_is_no_stranger_where_promotion_put_it() -> None:
    def entry(name: str, kind: str, *members: str) -> dict[str, Any]:
        return {"dn": f"CN={name},DC=a", "objectclass": [kind], "samaccountname": [name], "member": list(members)}

    grader, other = entry("plateau", "user"), entry("candidat", "user")
    group = entry("Administrators", "group", grader["dn"], other["dn"])
    directory = agency.Directory([grader, other, group])
    assert check_rights.strangers(directory, group, "Plateau") == ["candidat"]
    assert check_rights.strangers(directory, group) == ["candidat", "plateau"], "in any other group, and on Samba"
