"""Windows machines: how one is made, reached and asked. No Windows answers here, only what its documents say of it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import socket
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import agency, reboot
from graders.cp09_directory import check_rights
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
from tests.unit.windows_lab import BENCH, LAB, data_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WINDOWS_PASSWORD", "Secret-du-centre-1")


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


# --- the restart ------------------------------------------------------------------------------------------------------


class Restarting:
    """A Windows machine whose agent tells another first process after `shutdown /r`, and later that all is started."""

    def __init__(self) -> None:
        self.starts, self.looks = 0, 0

    def capacity(self) -> list[Any]:
        return [SimpleNamespace(accelerator="kvm")]

    @contextlib.contextmanager
    def restarts(self, key: NodeKey, deadline: Deadline) -> Iterator[Callable[[], bool | None]]:
        yield lambda: bool(self.starts)

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
