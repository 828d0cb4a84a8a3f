"""What the probe plays in the lab supervision: the programs themselves, on loopback and in namespaces."""

import json
import smtplib
import socket
import subprocess
import sys
import threading
import time

import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.zone
import pytest

from graders.probes import secondary
from graders.probes.dns import transfer
from labs.paths import CATALOGUE
from tests.unit.lab_data import bench_of, rendered
from tests.unit.probes_world import NetWorld

FILES = CATALOGUE / "supervision" / "files" / "probe"
SETNS = """
import ctypes, os
if not hasattr(os, "setns"):
    os.setns, os.CLONE_NEWNET = ctypes.CDLL(None).setns, 0x40000000
"""


def program(folder, name, plan, netns="/run/netns/"):
    """The program as a file that finds its plan, its socket and the legs in `folder`."""
    (folder / f"plateau-{name}.json").write_text(json.dumps(plan))
    text = rendered(bench_of("supervision", 0), FILES / f"{name}.py.j2")
    for path, here in (("/usr/local/lib/", f"{folder}/"), ("/run/plateau/", f"{folder}/"), ("/run/netns/", netns)):
        text = text.replace(path, here)
    path = folder / f"{name}.py"
    path.write_text(SETNS + text)
    return [sys.executable, "-I", str(path)]


def listening(address, port):
    """Wait until somebody listens there."""
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture
def free_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


@pytest.fixture
def mail(tmp_path, free_port):
    plan = {"leg": "", "addresses": ["127.0.0.1"], "port": free_port, "host": "mail.a.test", "domain": "a.test",
            "journal": str(tmp_path / "courrier.jsonl")}  # fmt: skip
    with subprocess.Popen(program(tmp_path, "courrier", plan)) as process:
        listening("127.0.0.1", free_port)
        yield free_port, tmp_path / "courrier.jsonl"
        process.kill()


def test_messages_for_the_domain_are_written_down(mail):
    port, journal = mail
    with smtplib.SMTP("127.0.0.1", port, "mon") as link:
        link.sendmail("s@a.test", ["Astreinte@a.test"], "Subject: nas-3 DOWN\r\n\r\n..dots\r\nEnd\r\n")
    (one,) = map(json.loads, journal.read_text().splitlines())
    assert one["to"] == ["astreinte@a.test"]
    assert one["data"] == "Subject: nas-3 DOWN\r\n\r\n..dots\r\nEnd\r\n"
    assert abs(one["at"] - time.monotonic()) < 5


def test_messages_for_others_are_refused(mail):
    port, journal = mail
    with smtplib.SMTP("127.0.0.1", port, "mon") as link, pytest.raises(smtplib.SMTPRecipientsRefused):
        link.sendmail("s@a.test", ["somebody@elsewhere.test"], "Subject: x\r\n\r\n")
    assert not journal.exists()


@pytest.fixture
def primary(tmp_path, free_port):
    plan = {
        "leg": "", "addresses": ["127.0.0.1"], "port": free_port, "zone": "a.test", "primary": "ns1.a.test.",
        "records": [["a.test", "NS", "ns1.a.test."], ["ns1.a.test", "A", "192.0.2.1"]],
        "key": {"name": "k", "secret": "c2VjcmV0"}, "from": "127.0.0.1", "secondary": "127.0.0.2",
        "control": str(tmp_path / "primaire.sock"),
    }  # fmt: skip
    with subprocess.Popen(program(tmp_path, "primaire", plan)) as process:
        listening("127.0.0.1", free_port)
        yield free_port, plan
        process.kill()


def test_the_zone_is_given_to_who_holds_the_key(primary):
    port, _ = primary
    keys = dns.tsigkeyring.from_text({"k": "c2VjcmV0"})
    zone = dns.zone.from_xfr(dns.query.xfr("127.0.0.1", "a.test", port=port, keyring=keys, keyname="k",
                                           keyalgorithm="hmac-sha256", lifetime=5))  # fmt: skip
    assert zone.find_rdataset("ns1", "A")[0].address == "192.0.2.1"
    unsigned = dns.query.tcp(dns.message.make_query("a.test", "AXFR"), "127.0.0.1", port=port, timeout=5)
    assert (unsigned.rcode(), unsigned.answer) == (dns.rcode.REFUSED, [])
    forged = dns.message.make_query("a.test", "AXFR")
    forged.use_tsig(dns.tsigkeyring.from_text({"k": "YXV0cmU="}), keyname="k", algorithm="hmac-sha256")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        dns.query.send_tcp(link, forged)
        size = int.from_bytes(link.recv(2), "big")
        told = dns.message.from_wire(link.recv(size), keyring=False)
    assert (told.rcode(), told.answer) == (dns.rcode.NOTAUTH, [])


def test_a_transfer_is_asked_for_with_a_key_and_from_an_address(primary):
    port, _ = primary
    asked = {"server": "127.0.0.1", "zone": "a.test", "port": port}
    refused = {"answered": True, "rcode": "REFUSED", "records": 0}
    assert transfer(**asked) == refused
    assert transfer(**asked, key=("k", "c2VjcmV0"), source="127.0.0.3") == {**refused, "rcode": "NOERROR", "records": 3}
    forged = transfer(**asked, key=("k", "YXV0cmU="))
    assert (forged["answered"], forged["records"]) == (True, 0)
    assert transfer(**asked, source="192.0.2.99")["answered"] is False, "not an address of this machine"


def test_a_secondary_that_was_not_there_is_told_once_more(primary):
    port, plan = primary
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.2", port))
        link.settimeout(10)
        serial = secondary.remind(control=plan["control"])
        wire, peer = link.recvfrom(512)
        asked = dns.message.from_wire(wire)
        link.sendto(dns.message.make_response(asked).to_wire(), peer)
    assert asked.opcode() == dns.opcode.NOTIFY
    told = dns.query.udp(dns.message.make_query("a.test", "SOA"), "127.0.0.1", port=port, timeout=5)
    assert told.answer[0][0].serial == serial, "nothing changed"


def test_a_secondary_is_told_and_the_primary_falls_silent(primary):
    port, plan = primary
    heard = []

    def notified():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.bind(("127.0.0.2", port))
            link.settimeout(10)
            for _ in range(2):
                wire, peer = link.recvfrom(512)
                asked = dns.message.from_wire(wire, keyring=dns.tsigkeyring.from_text({"k": "c2VjcmV0"}))
                heard.append((asked.opcode(), asked.had_tsig))
                answer = dns.message.make_response(asked)
                if not asked.had_tsig:  # one that wants the signature
                    answer.set_rcode(dns.rcode.REFUSED)
                link.sendto(answer.to_wire(), peer)

    listener = threading.Thread(target=notified)
    listener.start()
    asked = dns.message.make_query("n1.a.test", "TXT")
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(plan["control"])
        lines = link.makefile("rb")
        before = secondary._order(link, lines, {"silent": False})
        serial = secondary._order(link, lines, {"records": [["n1", "TXT", "word"]]})
        assert serial > before
        told = dns.query.udp(asked, "127.0.0.1", port=port, timeout=5)
        assert told.answer[0][0].to_text() == '"word"'
        listener.join(10)
        assert heard == [(4, False), (4, True)], "NOTIFY, without and then with the signature"
        secondary._order(link, lines, {"silent": True})
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(asked, "127.0.0.1", port=port, timeout=0.5)
        lines.close()
    end = time.monotonic() + 5
    while True:
        try:
            told = dns.query.udp(asked, "127.0.0.1", port=port, timeout=0.5)
        except dns.exception.Timeout:
            assert time.monotonic() < end
            continue
        if told.rcode() == dns.rcode.NXDOMAIN:
            return
        assert time.monotonic() < end


MONITOR = """
import socket, smtplib, sys, time, urllib.request
name, url, server, mode = sys.argv[1:5]
also = ", cam-4" if mode == "list" else ""
was = True
while True:
    try:
        urllib.request.urlopen(url, timeout=1).read()
        good = True
    except OSError:
        good = False
    if good != was and (not good or mode != "no-end"):
        told = "DOWN" if not good or mode == "same" else "UP"
        with smtplib.SMTP(server, 25, "mon") as link:
            link.sendmail("mon@a.test", ["astreinte@a.test"], f"Subject: {name}{also} is {told}\\r\\n\\r\\n.")
    was = good
    time.sleep(0.3)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Equipment in the leg of the servers, the mail server in that of the Internet, a monitoring server on `srv`."""
    built = NetWorld(tmp_path_factory.mktemp("monitored"))
    try:
        servers = built.v("serveurs").partition("/")[0].rpartition(".")[0]
        built.run("serveurs", f"ip address add {servers}.70/24 dev eth2")
        plans = {
            "courrier": {"leg": "wan", "addresses": [built.v("internet_dns")], "port": 25, "host": "mail.a.test",
                         "domain": "a.test", "journal": f"{built.folder}/courrier.jsonl"},
            "equipements": [{"name": "nas-3", "leg": "serveurs", "card": "eth2", "address": f"{servers}.70/24",
                             "port": 5000, "kind": "http"}],
        }  # fmt: skip
        for name, plan in plans.items():
            command = program(built.folder, name, plan, netns=f"{built.folder}/netns/")
            built.processes.append(subprocess.Popen([*built._user, *command]))
        for leg, port in (("wan", 25), ("serveurs", 5000)):
            built.listening(leg, f"sport = :{port}")
        built.run("srv", f"ip link set eth1 up; ip address add {servers}.10/24 dev eth1")
        built.run("srv", f"ip route add default via {servers}.1")
        built.run("rtr", f"ip link set eth2 up; ip address add {servers}.1/24 dev eth2")
        built.run("rtr", f"ip link set eth3 up; ip address add {built.v('wan_rtr')}/29 dev eth3")
        built.run("rtr", f"ip route add default via {built.v('wan_fournisseur')}")
        built.run("rtr", "sysctl -qw net.ipv4.ip_forward=1; nft add table ip n; "
                  "nft add chain ip n o '{ type nat hook postrouting priority srcnat; }'; "
                  "nft add rule ip n o oifname eth3 masquerade")  # fmt: skip
        built.servers = servers
        yield built
    finally:
        built.close()


@pytest.mark.parametrize(
    ("mode", "alerted", "ended"),
    [("right", True, True), ("no-end", True, False), ("same", True, False), ("", False, False), ("list", False, False)],
)
def test_polls_and_messages_of_an_outage(world, mode, alerted, ended):
    from graders.cp06_tcpip.check_monitoring import judge

    client, began = world.probe(), len(world.processes)
    address = f"{world.servers}.70"
    if mode:
        command = [
            sys.executable,
            "-I",
            "-c",
            MONITOR,
            "nas-3",
            f"http://{address}:5000/",
            world.v("internet_dns"),
            mode,
        ]
        world.spawn("srv", *command)
    asked = {
        "services": [{"id": "nas-3", "leg": "serveurs", "address": address, "port": 5000,
                      "sources": [f"{world.servers}.10"]},
                     {"id": "cam-4", "leg": "wan", "address": world.v("internet_dns"), "port": 25, "sources": []}],
        "outages": {"nas-3": "off"}, "recipient": "astreinte@a.test",
        "mail": {"leg": "wan", "address": world.v("internet_dns")}, "watch": 1.5, "limit": 6.0,
    }  # fmt: skip
    places = {"control": f"{world.folder}/equipements.sock", "mails": f"{world.folder}/courrier.jsonl"}
    try:
        told = client.call("monitoring.trial", timeout=30, **asked, **places)
    finally:
        client.close()
        for process in world.processes[began:]:
            process.kill()
    rows = judge(asked, told, "imp-9")
    assert bool(told["polls"]["nas-3"]) is bool(mode)
    assert [row[3] for row in rows] == ([alerted, ended, True] if alerted else [False, True])
    assert f"{address}/24" in world.run("serveurs", "ip -br address show eth2"), "it is back in its place"


def test_an_outage_ends_with_whoever_asked_for_it(world):
    control = f"{world.folder}/equipements.sock"
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(control)
        link.sendall(b'{"nas-3": "stopped"}\n')
        assert link.recv(8) == b"ok\n"
        assert not world.run("serveurs", "ss -Hltn 'sport = :5000'")
    world.listening("serveurs", "sport = :5000")
