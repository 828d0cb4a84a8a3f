"""The engine's adapters: real FRR and an IOS grammar through netmiko, a WSMan endpoint through pywinrm; replays."""

import asyncio
import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from graders.devices import AnswerError, Block, Device, Windows, parse
from graders.engine import doors
from graders.engine.bench import BenchEngine
from graders.engine.command import DEVICE, POWERSHELL, SHELL, Command
from graders.engine.device import DeviceLogin, DeviceRoute
from graders.engine.node import Node
from graders.engine.routes import RouteError
from graders.engine.snapshot import MissingError, Snapshot
from graders.engine.windows import WindowsLogin, WindowsRoute, program
from graders.notebook import Notebook
from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, InputError
from labs.models import lab
from labs.sessionfiles import SessionFiles
from tests.unit import ios_device, wsman_endpoint
from tests.unit.frr_world import FrrWorld
from tests.unit.ios_device import IosDevice
from tests.unit.wsman_endpoint import WsmanEndpoint, decoded


@pytest.fixture(scope="module")
def frr(tmp_path_factory):
    world = FrrWorld(tmp_path_factory.mktemp("frr"))
    yield world
    world.close()


@pytest.fixture
def ios(tmp_path):
    device = IosDevice(tmp_path)
    yield device
    device.close()


def ios_login(device, **changed):
    user, password = ios_device.ACCOUNT
    known = {"type": "cisco_ios", "user": user, "known": device.known, "password": password,
             "enable": ios_device.ENABLE}  # fmt: skip
    return DeviceLogin(**{**known, **changed})


def ask(route, *commands, seconds=30, language=DEVICE):
    asked = [one if isinstance(one, Command) else Command(one, language=language) for one in commands]

    async def work():
        try:
            return await route.ask(asked, Deadline.after(seconds))
        finally:
            await route.close()

    return asyncio.run(work())


def engine(tmp_path, monkeypatch, language, route, snapshot, **models):
    """A bench's engine whose one node `n` is behind `route`."""
    monkeypatch.setattr("graders.engine.bench.routes", lambda *_arguments: [route])
    monkeypatch.setattr(BenchEngine, "_planned", lambda *_arguments: [])
    node = SimpleNamespace(model=SimpleNamespace(device=None, windows=None, **models))
    bench = SimpleNamespace(node=lambda _name: node, candidate=SimpleNamespace(id="alice"),
                            session=SimpleNamespace(lab=SimpleNamespace(name="none")))  # fmt: skip
    if language == DEVICE:
        node.model.device = SimpleNamespace(type="cisco_ios")
    notebook = Notebook(snapshot)
    notebook.begin(60, "CP06-S5.a")
    return BenchEngine(object(), bench, SessionFiles(tmp_path), notebook)


def test_real_frr_through_netmiko(frr):
    frr.wait_full()
    login = DeviceLogin("cisco_ios", frr.sshd.user, frr.folder / "known", key=frr.sshd.key)
    route = DeviceRoute(frr.sshd.address, login, "r1")
    neighbours, running, wrong = ask(route, "show ip ospf neighbor json", "show running-config", "frobnicate")
    (found,) = json.loads(neighbours.stdout)["neighbors"]["2.2.2.2"]
    assert found["nbrState"].startswith("Full")
    config = parse(running.stdout.decode())
    assert "ip ospf hello-interval 1" in config.find("interface v0").lines
    assert config.find("router ospf").lines == ["ospf router-id 1.1.1.1"]
    assert (neighbours.status, running.status, wrong.status) == (0, 0, 1)
    assert wrong.stdout.startswith(b"% Unknown command")
    assert route.exchanges == 3


def test_frr_of_a_machine_is_asked_through_its_shell(frr, tmp_path, monkeypatch):
    """`device: {type: frr}`: the same questions over the engine's own route; here its agent is this machine."""
    frr.wait_full()
    asked = []

    def answer(_engine, node, command):
        asked.append((node, command.text))
        text = command.text.replace("vtysh ", f"vtysh --vty_socket {frr.folder}/r1 ")
        text = text.replace("/etc/frr/frr.conf", str(frr.folder / "r1" / "frr.conf"))
        done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, check=False)
        return SimpleNamespace(stdout=done.stdout, status=done.returncode)

    monkeypatch.setattr(BenchEngine, "ask", answer)
    one = engine(tmp_path, monkeypatch, SHELL, None, Snapshot())
    device = Device(one, "rtr")
    assert list(device.json("show ip ospf neighbor json")["neighbors"]) == ["2.2.2.2"]
    assert asked == [("rtr", "vtysh -c 'show ip ospf neighbor json'")]
    subprocess.run(["vtysh", "--vty_socket", str(frr.folder / "r1"), "-c", "configure terminal",
                    "-c", "interface v0", "-c", "description perdu"], check=True)  # fmt: skip
    assert "+ interface v0 / description perdu" in device.unsaved()
    with pytest.raises(AnswerError, match="not JSON"):
        device.json("show version")


def test_ios_grammar(ios):
    version, running, startup, wrong = ask(
        DeviceRoute(ios.address, ios_login(ios), "n"),
        "show version", "show running-config", "show startup-config", "shwo version",
    )  # fmt: skip
    assert version.stdout == b"Cisco IOS Software, IOSv Software\nR1 uptime is 3 minutes\n"
    text = running.stdout.decode()
    assert text.endswith("ip route 10.59.0.0 255.255.0.0 Null0\nend\n")
    assert "R1#\nR1# fin^C\ninterface" in text, "a prompt inside an answer does not end it"
    assert "--More--" not in text
    assert startup.status == 0
    assert (wrong.status, "% Invalid input detected" in wrong.stdout.decode()) == (1, True)
    assert {"terminal length 0", "enable"} <= set(ios.said)
    assert ios_device.ENABLE not in ios.said


def test_pages_are_turned_when_a_device_keeps_paging(ios, monkeypatch):
    monkeypatch.setattr(ios_device, "PAGE", 10)
    monkeypatch.setattr(
        ios_device.Session, "page", property(lambda _self: 10, lambda _self, _value: None), raising=False
    )
    (running,) = ask(DeviceRoute(ios.address, ios_login(ios), "n"), "show running-config")
    assert running.stdout.decode() == ios_device.RUNNING.replace("{more}", ios_device.FILLER)


def test_a_device_that_hangs_or_floods_is_left(ios):
    route = DeviceRoute(ios.address, ios_login(ios), "n")
    began = time.monotonic()
    hung, after = ask(route, Command("show hang", 1, language=DEVICE), "show version")
    assert hung.status is None
    assert after.status == 0, "in a new session"
    assert time.monotonic() - began < 8
    began = time.monotonic()
    with pytest.raises(RouteError, match="show flood"):
        ask(route, "show flood")
    assert time.monotonic() - began < 15


def test_refused_accounts_changed_keys_and_dead_devices_are_one_line(ios, tmp_path):
    with pytest.raises(RouteError, match=r"^n: 127\.0\.0\.1:\d+ refused the account plateau$"):
        ask(DeviceRoute(ios.address, ios_login(ios, password="faux"), "n"), "show version")
    with pytest.raises(RouteError, match="n: command line of"):
        ask(DeviceRoute(ios.address, ios_login(ios, enable="faux"), "n"), "show version")
    other = IosDevice(tmp_path / "other")
    host, port = ios.address()
    line = other.key.export_public_key().decode().strip()
    ios.known.write_text(f"[{host}]:{port} {line}\n")
    for pinned in (True, False):
        with pytest.raises(RouteError, match="host key is not the one in"):
            ask(DeviceRoute(ios.address, ios_login(ios, pinned=pinned), "n"), "show version")
    other.close()
    began = time.monotonic()
    with pytest.raises(RouteError, match="refused"):
        ask(DeviceRoute(other.address, ios_login(ios), "n"), "show version")
    assert time.monotonic() - began < 5


def test_first_host_key_is_kept(ios):
    ask(DeviceRoute(ios.address, ios_login(ios), "n"), "show version")
    assert ios.key.export_public_key().decode().split()[1] in ios.known.read_text()
    ask(DeviceRoute(ios.address, ios_login(ios, pinned=True), "n"), "show version")


def test_a_line_break_is_not_a_second_command(ios):
    with pytest.raises(RouteError, match="not one line"):
        ask(DeviceRoute(ios.address, ios_login(ios), "n"), "show version\nreload")
    assert "reload" not in ios.said


def test_device_is_replayed_without_the_device(ios, tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    live = engine(tmp_path, monkeypatch, DEVICE, DeviceRoute(ios.address, ios_login(ios), "n"), Snapshot(path))
    device = Device(live, "n")
    lost = ["+ interface GigabitEthernet0/0 / description vers le LAN"]
    assert lost[0] in device.unsaved()
    assert not [line for line in device.unsaved() if "Last configuration change" in line]
    sources = {one.source for one in live.notebook.current.evidence}
    assert sources == {"netmiko:n"}
    live.close()
    live.notebook.snapshot.close()
    ios.close()
    again = engine(tmp_path, monkeypatch, DEVICE, None, Snapshot.load(path))
    assert lost[0] in Device(again, "n").unsaved()
    with pytest.raises(MissingError):
        Device(again, "n").show("show ip route")
    ios.close = lambda: None


def test_configuration_is_a_tree():
    tree = parse(
        "interface e0\n ip address 1.2.3.4 255.0.0.0\n!\nrouter bgp 1\n address-family ipv4\n  network 10.0.0.0\n"
    )
    assert ("router bgp 1", "address-family ipv4", "network 10.0.0.0") in tree.paths()
    assert tree.find("router ospf") == Block()


class Answers:
    """In the place of a PowerShell: what each question is answered."""

    def __init__(self, answers, *, last=None):
        self.answers, self.last, self.asked, self.commands = answers, last, [], []

    def __call__(self, command, stdin):
        self.commands.append(command)
        assert decoded(command).endswith("& ([ScriptBlock]::Create($code))")
        text = base64.b64decode(stdin).decode()
        nonce = re.search(r"'(\w{16}) ' \+", text)[1]
        questions = json.loads(base64.b64decode(re.search(r"FromBase64String\('([^']*)'\)", text)[1]))
        self.asked.append([one["run"] for one in questions])
        if self.last is not None:
            return self.last(nonce)
        told = {"clock": time.time(), "boot": "2026-11-23T06:00:00Z",
                "answers": [{"seconds": 0.1, **self.answers[one["run"]]} for one in questions]}  # fmt: skip
        line = base64.b64encode(json.dumps(told).encode()).decode()
        return f"Bienvenue\r\n{nonce} {line}\r\n".encode()


SERVICES = "Get-Service dns, netlogon | Select-Object Name, @{n='Status'; e={[string]$_.Status}}"
FOUND = [{"Name": "dns", "Status": "Running"}, {"Name": "netlogon", "Status": "Arrêté"}]
CANNED = {
    SERVICES: {"status": 0, "out": json.dumps(FOUND, ensure_ascii=False), "error": ""},
    "Get-ADUser zoé": {"status": 1, "out": "[]", "error": "Cannot find an object with identity: 'zoé'"},
    "Start-Sleep 99": {"status": None, "out": "", "error": ""},
}


@pytest.fixture
def windows(tmp_path):
    endpoint = WsmanEndpoint(tmp_path, Answers(CANNED))
    yield endpoint
    endpoint.close()


def windows_route(endpoint, password=wsman_endpoint.ACCOUNT[1], **more):
    return WindowsRoute(
        endpoint.address, WindowsLogin(wsman_endpoint.ACCOUNT[0], password, **{"tls": False, **more}), "dc"
    )


def test_one_powershell_answers_all_questions(windows):
    services, user, late = ask(windows_route(windows), *CANNED, language=POWERSHELL)
    assert json.loads(services.stdout) == FOUND
    assert (user.status, "zoé" in user.stderr.decode()) == (1, True)
    assert late.status is None
    assert windows.execute.asked == [list(CANNED)], "one batch"
    assert windows.plain == 0, "every message was encrypted"
    assert windows.shells == {}, "its shell was closed"


def test_program_carries_questions_as_data():
    hostile = "Get-Item \"x\"'; Remove-Item C:\\ -Recurse; '@NONCE@"
    text = program("0123456789abcdef", [Command(hostile, language=POWERSHELL)]).decode()
    assert "Remove-Item" not in text
    assert "@QUESTIONS@" not in text


def test_over_tls_with_its_own_authority(tmp_path):
    pem = tmp_path / "server.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", tmp_path / "ca.pem"],
                   check=True, capture_output=True)  # fmt: skip
    pem.write_text(pem.read_text() + (tmp_path / "ca.pem").read_text())
    endpoint = WsmanEndpoint(tmp_path, Answers(CANNED), pem)
    for ca in (tmp_path / "ca.pem", None):
        (answer,) = ask(windows_route(endpoint, tls=True, ca=ca), SERVICES, language=POWERSHELL)
        assert answer.status == 0
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", tmp_path / "others.pem")
    with pytest.raises(RouteError, match="certificate"):
        ask(windows_route(endpoint, tls=True, ca=tmp_path / "others.pem"), SERVICES, language=POWERSHELL)
    endpoint.close()


NO_ANSWERS = json.dumps({"clock": 1, "boot": "b", "answers": []}).encode()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (lambda nonce: b"no json at all", "PowerShell did not answer"),
        (lambda nonce: f"{nonce} {base64.b64encode(b'[1]').decode()}".encode(), "something else"),
        (lambda nonce: f"{nonce} ###".encode(), "did not answer"),
        (lambda nonce: f"{nonce} {base64.b64encode(NO_ANSWERS).decode()}"
                       .encode(), "1 questions, 0 answers"),
    ],
)  # fmt: skip
def test_other_answers_are_no_answers(windows, last, words):
    windows.execute.last = last
    with pytest.raises(RouteError, match=words):
        ask(windows_route(windows), SERVICES, language=POWERSHELL)


def test_windows_that_never_ends_is_left(windows, monkeypatch):
    windows.execute.last = lambda nonce: None
    monkeypatch.setattr("graders.engine.windows.CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("graders.engine.windows.SLACK_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(RouteError, match="before the deadline"):
        ask(windows_route(windows), Command(SERVICES, 1, language=POWERSHELL))
    assert time.monotonic() - began < 10
    assert windows.shells == {}


def test_wrong_password_and_no_server_are_one_line(windows):
    with pytest.raises(RouteError, match="refused the account plateau"):
        ask(windows_route(windows, password="faux"), SERVICES, language=POWERSHELL)
    windows.answer = lambda _envelope: "<html/>"
    with pytest.raises(RouteError, match="does not speak WinRM"):
        ask(windows_route(windows), SERVICES, language=POWERSHELL)


def test_windows_is_replayed_without_the_machine(windows, tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    live = engine(tmp_path, monkeypatch, POWERSHELL, windows_route(windows), Snapshot(path))
    assert Windows(live, "n").query(SERVICES) == FOUND
    with pytest.raises(AnswerError, match="Cannot find an object"):
        Windows(live, "n").query("Get-ADUser zoé")
    live.close()
    live.notebook.snapshot.close()
    again = engine(tmp_path, monkeypatch, POWERSHELL, None, Snapshot.load(path))
    before = windows.requests
    assert Windows(again, "n").query(SERVICES) == FOUND
    with pytest.raises(AnswerError, match="Cannot find an object"):
        Windows(again, "n").query("Get-ADUser zoé")
    assert windows.requests == before


def test_lab_says_which_door(tmp_path, monkeypatch):
    files, hypervisor = (
        SessionFiles(tmp_path),
        SimpleNamespace(status=lambda key: SimpleNamespace(ssh=("10.0.0.1", 22))),
    )
    key = SimpleNamespace(candidate="alice", node="n")

    def found(language, **system):
        model = lab.Node(name="n", role="n", title={"fr": "n"}, nics=[{"segment": "lan"}], **system)
        return doors.routes(hypervisor, SimpleNamespace(name="n", model=model, spec=SimpleNamespace(key=key)), files,
                            language, tmp_path)  # fmt: skip

    monkeypatch.setenv("PASSE", "secret")
    device = {"type": "cisco_ios", "user": "plateau", "password_env": "PASSE", "host_key": "ssh-rsa AAAA"}
    assert [one.name for one in found(DEVICE, device=device)] == ["netmiko"]
    assert [one.name for one in found(SHELL, device={"type": "frr"})] == ["ssh", "agent"]
    access = {"user": "plateau", "password_env": "PASSE"}
    assert [one.name for one in found(POWERSHELL, windows=access)] == ["winrm"]
    with pytest.raises(InputError, match="has no device:"):
        found(DEVICE, device={"type": "frr"})
    with pytest.raises(InputError, match="has no windows:"):
        found(POWERSHELL)
    monkeypatch.delenv("PASSE")
    with pytest.raises(EnvironmentLackError, match="PASSE is not set"):
        found(POWERSHELL, windows=access)
    for wrong in ({"device": {"type": "cisco_ios"}}, {"device": {"type": "frr", "user": "x"}},
                  {"device": {"type": "frr"}, "windows": access}):  # fmt: skip
        with pytest.raises(ValidationError):
            found(SHELL, **wrong)


def test_a_node_is_asked_once_whatever_it_is(ios):
    node = Node("n", [DeviceRoute(ios.address, ios_login(ios), "n")], Snapshot())

    async def work():
        for _ in range(3):
            await node.ask(Command("show version", language=DEVICE), Deadline.after(20))
        await node.forget("node:n")

    asyncio.run(work())
    assert ios.said.count("show version") == 1
    assert Path(ios.known).exists()
