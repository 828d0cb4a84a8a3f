"""Probes of protected accesses against real servers: a small proxy, the centre's mail server, an sshd that bans."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from graders.probes import intrusion, mail, proxy
from graders.probes.legs import Legs
from labs.paths import CATALOGUE
from tests.unit.lab_data import bench_of, rendered

ROOT = Path(__file__).resolve().parents[2]
LOGIN = {"user": "agence", "password": "secret"}
OWN_USER = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
OWN_NETWORK = ["unshare", *OWN_USER, "--net", "--mount", "--pid", "--fork", "--kill-child"]
"""A network of its own, where ports 22 and 25 are ours, for root and for anybody else."""


class Proxy(socketserver.StreamRequestHandler):
    """Just enough of a proxy: Basic, one forbidden name, documents of a folder, CONNECT to one port."""

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        headers = {}
        while line := self.rfile.readline().strip():
            key, _, value = line.decode().partition(": ")
            headers[key] = value
        expected = "Basic " + base64.b64encode(b"agence:secret").decode()
        if headers.get("Proxy-Authorization") != expected:
            self.say(407, b"")
        elif "interdit" in target:
            self.say(403, b"no")
        elif method == "CONNECT":
            self.tunnel(int(target.rpartition(":")[2]))
        elif target.endswith("/chunked"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        else:
            name = target.removeprefix("http://").partition("/")[2].replace("/", "!")
            self.say(200, (self.server.site / name).read_bytes())  # type: ignore[attr-defined]

    def say(self, code: int, body: bytes) -> None:
        self.wfile.write(f"HTTP/1.1 {code} x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def tunnel(self, port: int) -> None:
        if port != self.server.allowed:  # type: ignore[attr-defined]
            return self.say(403, b"")
        with socket.create_connection(("127.0.0.1", port)) as far:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            far.sendall(self.connection.recv(4096))
            self.wfile.write(far.recv(4096))
        return None


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allowed = 0
    site = Path()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Proxy) as one:
        one.site = tmp_path / "site"
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield one
        one.shutdown()


class Here(Legs):
    """Legs that are all the network we are in."""

    @contextlib.contextmanager
    def inside(self, leg: str) -> Iterator[None]:
        yield


def test_pages_through_a_proxy(server: Server, tmp_path: Path) -> None:
    marker = base64.b64encode(b"danger").decode()
    files = {"a/b.txt": base64.b64encode(b"some danger here").decode()}
    asks = [
        {"id": "page", "url": "http://www.example/a/b.txt", **LOGIN, "marker": marker},
        {"id": "nobody", "url": "http://www.example/a/b.txt", "marker": marker},
        {"id": "stranger", "url": "http://www.example/a/b.txt", **LOGIN, "password": "x"},
        {"id": "forbidden", "url": "http://interdit.example/", **LOGIN},
        {"id": "chunked", "url": "http://www.example/chunked", **LOGIN},
    ]
    told = proxy.fetch("127.0.0.1", server.server_address[1], asks, files=files, site=str(server.site))
    assert {name: one["status"] for name, one in told.items()} == {
        "page": 200, "nobody": 407, "stranger": 407, "forbidden": 403, "chunked": 200}  # fmt: skip
    assert told["page"]["body"] == "some danger here"
    assert [one["marked"] for one in told.values()] == [True, False, False, False, False]
    assert (told["chunked"]["body"], told["chunked"]["size"]) == ("abcde", 5)
    assert list(server.site.iterdir()) == []


def test_a_proxy_that_is_not_there_or_says_nothing() -> None:
    ask = [{"id": "a", "url": "http://www.example/"}]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert proxy.fetch("127.0.0.1", port, ask, window=0.3)["a"]["reason"] == "timeout"
    told = proxy.fetch("127.0.0.1", port, ask, window=0.3)["a"]
    assert (told["status"], told["reason"]) == (None, "Connection refused")


def test_tunnels_through_a_proxy(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        server.allowed = one.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as two:
        other = two.getsockname()[1]
    asks = [
        {"id": "right", "host": "www.example", "port": server.allowed, **LOGIN},
        {"id": "port", "host": "www.example", "port": other, **LOGIN},
        {"id": "name", "host": "interdit.example", "port": server.allowed, **LOGIN},
        {"id": "nobody", "host": "www.example", "port": server.allowed},
    ]
    listen = [("127.0.0.1", server.allowed), ("127.0.0.1", other)]
    address, port = server.server_address
    told = proxy.tunnel(Here(), origin="lan", beyond="wan", listen=listen, address=str(address), port=port, asks=asks,
                        window=2.0)  # fmt: skip
    assert told == {
        "right": {"status": 200, "through": True},
        "port": {"status": 403, "through": False},
        "name": {"status": 403, "through": False},
        "nobody": {"status": 407, "through": False},
    }


MAIL = """
import base64, json, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from graders.probes import mail
program, folder, address, domain = sys.argv[2:6]
subprocess.run("ip link set lo up; ip address add %s/32 dev lo" % address, shell=True, check=True)
sink = subprocess.Popen([sys.executable, "-I", program, "/proc/self/ns/net", folder])
text = ("From: <a@b.example>\\r\\nTo: <x@y>\\r\\nSubject: =?utf-8?q?n1_=C3=A9t=C3=A9?=\\r\\nDate: @DATE@\\r\\n"
        "MIME-Version: 1.0\\r\\nContent-Type: multipart/mixed; boundary=zz\\r\\n\\r\\n"
        "--zz\\r\\nContent-Type: text/plain; charset=utf-8\\r\\nContent-Transfer-Encoding: base64\\r\\n\\r\\n"
        + base64.b64encode("mot caché\\n.point\\n".encode()).decode() +
        "\\r\\n--zz\\r\\nContent-Type: application/octet-stream\\r\\nContent-Disposition: attachment; filename=f\\r\\n"
        "Content-Transfer-Encoding: base64\\r\\n\\r\\nAAEC\\r\\n--zz--\\r\\n.seul\\r\\n")
data = base64.b64encode(text.encode()).decode()
def letter(name, to):
    return {"id": name, "sender": "a@b.example", "recipient": to, "data": data}
for _ in range(100):
    sent = mail.send(address, 25, [letter("good", "x@" + domain), letter("foreign", "x@ailleurs.example")], window=5)
    if sent["good"]["state"] == "accepted":
        break
    time.sleep(0.1)
closed = mail.send(address, 26, [letter("closed", "x@" + domain)], window=2)
seen = mail.received(["caché", "n1 été"], others=["jamais"], window=5, folder=folder)
began = time.monotonic()
none = mail.received(["jamais"], window=0.5, folder=folder)
sink.kill()
print(json.dumps({"sent": sent, "closed": closed, "seen": seen, "none": none, "waited": time.monotonic() - began}))
"""


def test_mail_is_handed_over_kept_and_found(tmp_path: Path) -> None:
    bench = bench_of("protection", 0)
    program = tmp_path / "messagerie.py"
    program.write_text(rendered(bench, CATALOGUE / "protection/files/probe/messagerie.py.j2"))
    values = [str(bench.values[name]) for name in ("messagerie", "domaine")]
    told = _in_own_network(MAIL, str(ROOT), str(program), str(tmp_path / "mail"), *values)
    assert told["sent"]["good"] == {"state": "accepted", "stage": "data", "code": 250, "reason": "kept"}
    assert told["sent"]["foreign"] == {"state": "refused", "stage": "rcpt", "code": 550, "reason": "not here"}
    assert told["closed"]["closed"]["state"] == "unanswered"
    (copy,) = told["seen"]["caché"]
    assert copy["recipients"] == [f"x@{values[1]}"]
    assert (copy["subject"], copy["text"]) == ("n1 été", "mot caché\n.point\n")
    assert copy["attachments"] == ["ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc"]
    assert told["seen"]["n1 été"] == [copy]
    assert told["none"] == {"jamais": []}
    assert told["waited"] >= 0.5


def test_a_server_that_never_speaks_does_not_hold_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = []
    hand_over = mail._hand_over
    monkeypatch.setattr(mail, "_hand_over", lambda *asked: patience.append(asked[-1]) or hand_over(*asked))
    letters = [{"id": name, "sender": "a@b.example", "recipient": "x@y.test", "data": ""} for name in "abcd"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = mail.send("127.0.0.1", silent.getsockname()[1], letters, window=0.4)
    assert {one["state"] for one in told.values()} == {"unanswered"}
    assert patience == [0.4, 0.4, 0.1, 0.1]


def test_mail_that_came_before_is_not_looked_at(tmp_path: Path) -> None:
    message = {"from": "a@x.test", "to": ["b@x.test"], "data": "Subject: banni\r\n\r\n10.9.9.220\r\n"}
    for seconds in (100, 200):
        (tmp_path / f"{seconds}000000000.json").write_text(json.dumps(message))

    def count(since: float) -> int:
        return len(mail.received(["10.9.9.220"], window=0.0, since=since, folder=str(tmp_path))["10.9.9.220"])

    assert [count(0.0), count(150.0), count(250.0)] == [2, 1, 0]
    both = mail.received(["10.9.9.220"], window=0.0, folder=str(tmp_path))["10.9.9.220"]
    assert [one["at"] for one in both] == [100.0, 200.0]


SSH = """
import collections, json, os, re, subprocess, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from graders.probes import intrusion
from graders.probes.legs import Legs
folder, behaviour = Path(sys.argv[2]), sys.argv[3]
subprocess.run('''set -e
    mount -t tmpfs tmpfs /run; mkdir -p /run/sshd
    ip link set lo up; ip link add d0 type bridge; ip link set d0 up
    ip address add 10.9.9.250/24 dev d0; ip address add 10.9.8.10/32 dev lo
    nft 'table ip t { set banned { type ipv4_addr; flags interval, timeout; }
         chain c { type filter hook input priority 0; tcp dport 22 ip saddr @banned reject; }
    }'
    ssh-keygen -q -t ed25519 -N "" -f %s/host''' % folder, shell=True, check=True)
(folder / "config").write_text("ListenAddress 10.9.8.10\\nHostKey %s/host\\nUsePAM no\\nPidFile none\\n"
                               "PasswordAuthentication yes\\nStrictModes no\\nPermitRootLogin yes\\n" % folder)
sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE, text=True)
def watch():
    count, times = collections.Counter(), collections.defaultdict(list)
    for line in sshd.stderr:
        found = re.search("Failed password for root from ([0-9.]+)", line)
        if found:
            times[found[1]].append(time.monotonic())
            count[found[1]] = sum(behaviour != "forgetful" or times[found[1]][-1] - one < 3 for one in times[found[1]])
            if count[found[1]] == 4 and behaviour != "nothing":
                mask = "/24" if behaviour == "network" else ""
                subprocess.run(["nft", "add element ip t banned { %s%s timeout 8s }" % (found[1], mask)])
threading.Thread(target=watch, daemon=True).start()
intrusion.PAUSE = 0.5
while not intrusion.greeted("10.9.8.10", "", window=1.0):
    assert sshd.poll() is None
    time.sleep(0.1)
told = intrusion.trial(Legs("/proc/self/ns/"), origin="net", network="10.9.9.0/24", pool=["10.9.9.220", "10.9.9.221"],
                       address="10.9.8.10", failures=4, ban_window=5.0, watch=20.0, pause=4.0,
                       used=str(folder / "used"))
left = subprocess.run(["ip", "-br", "-4", "address", "show", "dev", "d0"], capture_output=True, text=True).stdout
sshd.kill()
print(json.dumps({**told, "left": left.split()[2:]}))
"""


@pytest.mark.parametrize("behaviour", ["address", "network", "nothing", "forgetful"])
def test_an_intruder_is_banned_and_released(tmp_path: Path, behaviour: str) -> None:
    told = _in_own_network(SSH, str(ROOT), str(tmp_path), behaviour)
    assert told["clean"]
    assert told["left"] == ["10.9.9.250/24"]
    assert (told["below"]["refused"], told["below"]["banned"]) == (3, None)
    assert told["intruder"]["refused"] == 4
    if behaviour in {"nothing", "forgetful"}:
        assert told["intruder"]["banned"] is None
        assert told["released"] is None
        return
    assert told["intruder"]["banned"] < 3
    assert told["others"]["below"] is (behaviour == "address")
    assert 6 < told["released"] < 20


def test_addresses_are_taken_in_turn(tmp_path: Path) -> None:
    used, pool = tmp_path / "run" / "used.json", ["a", "b", "c", "d", "e"]
    taken = [intrusion._fresh(pool, 2, used) for _ in range(4)]
    assert taken == [["a", "b"], ["c", "d"], ["e", "a"], ["b", "c"]]
    used.write_text("nonsense")
    assert intrusion._fresh(pool, 1, used) == ["a"]


@pytest.mark.parametrize(
    ("greeting", "answers"),
    [(b"SSH-2.0-OpenSSH_10.0\r\n", True), (b"hello\r\nSSH-2.0-x\r\n", True), (b"Not allowed at this time\r\n", False)],
)
def test_what_is_a_greeting(greeting: bytes, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            link.sendall(greeting)
            link.close()

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr(intrusion, "SSH_PORT", server.getsockname()[1])
        assert intrusion.greeted("127.0.0.1", "", window=2.0) is answers


def _in_own_network(program: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run([*OWN_NETWORK, sys.executable, "-c", program, *arguments], capture_output=True, text=True,
                          check=False, timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found
