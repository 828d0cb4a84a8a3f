"""Machines that lie, flood or do not answer: no false pass, bounded time and memory, and the jury is told."""

import asyncio
import os
import resource
import socket
import stat
import threading
import time

import pytest

from graders.engine import signs
from graders.engine.backend import engine_host
from graders.engine.command import KEPT_BYTES, Command
from graders.engine.loop import Loop
from graders.engine.node import Node
from graders.engine.routes import AgentRoute, Hello, RouteError, SshRoute
from graders.engine.snapshot import Snapshot
from labs.deadline import Deadline
from labs.errors import HypervisorError
from tests.sshd import Sshd

FORGED = {
    "ss": """echo 'State Recv-Q Send-Q Local Address:Port Peer Address:Port'
        for p in 25 143 3389; do echo "LISTEN 0 100 0.0.0.0:$p 0.0.0.0:*"; echo "LISTEN 0 100 [::]:$p [::]:*"; done""",
    "systemctl": "case $1 in is-active) echo active;; is-enabled) echo enabled;; esac; exit 0",
    "dpkg-query": "echo install ok installed 3.7.11-0+deb12u1",
    "id": "echo 'uid=113(xrdp) gid=120(xrdp) groups=120(xrdp)'",
    "getent": 'echo "$2:x:113:120::/run/$2:/usr/sbin/nologin"',
}
CLAIMS = {
    "postfix runs": lambda host: host.service("postfix").is_running,
    "dovecot runs": lambda host: host.service("dovecot").is_running,
    "xrdp runs": lambda host: host.service("xrdp").is_running,
    "postfix starts": lambda host: host.service("postfix").is_enabled,
    "xrdp starts": lambda host: host.service("xrdp").is_enabled,
    "25 listens": lambda host: host.socket("tcp://25").is_listening,
    "143 listens": lambda host: host.socket("tcp://143").is_listening,
    "3389 listens": lambda host: host.socket("tcp://3389").is_listening,
    "postfix installed": lambda host: host.package("postfix").is_installed,
    "dovecot installed": lambda host: host.package("dovecot-imapd").is_installed,
    "xrdp installed": lambda host: host.package("xrdp").is_installed,
    "xrdp exists": lambda host: host.user("xrdp").exists,
}
FALSE = (AssertionError, RouteError, RuntimeError, ValueError)


class Bench:
    """A node with its testinfra host, what the jury is told, and no more than `seconds` for each question."""

    def __init__(self, routes, seconds=20):
        self.loop, self.told = Loop(), []
        self.node = Node("n", routes, Snapshot())
        self.host = engine_host("n", lambda one: self.ask(one, seconds), self.told.append)

    def ask(self, command, seconds=20):
        return self.loop.run(self.node.ask(command, Deadline.after(seconds)))

    def signs(self):
        hello = self.node.hello
        return signs.look("n", hello, self.ask)

    def close(self):
        self.loop.run(self.node.forget(""))
        self.loop.close()


def route(sshd):
    return SshRoute(sshd.address, sshd.user, sshd.key, sshd.host_key, "n")


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(prepare="", home=None, more="", **options):
        folder = tmp_path / f"m{len(made)}"
        (folder / "home").mkdir(parents=True)
        for name, text in (home or {}).items():
            (folder / "home" / name).write_text(text)
        sshd = Sshd(folder, prepare, more)
        bench = Bench([route(sshd)], **options)
        made.extend([bench, sshd])
        return bench

    yield make
    for one in made:
        one.close()


def forge(folder):
    """Wrappers of one or two lines, as a candidate writes them."""
    folder.mkdir()
    for name, text in FORGED.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def falsely_passed(host):
    passed = []
    for name, claim in CLAIMS.items():
        try:
            if claim(host):
                passed.append(name)
        except FALSE:
            continue
    return passed


def bind(folder):
    """Shell text that puts the forged tools in place of the real ones."""
    return "\n".join(f'mount --bind {folder}/{name} "$(readlink -f "$(command -v {name})")"' for name in FORGED)


def test_tools_forged_by_path(machine, tmp_path):
    bin_ = forge(tmp_path / "bin")
    bench = machine(home={".bashrc": f"PATH={bin_}:$PATH\n", ".profile": f"PATH={bin_}:$PATH\n"},
                    more=f"SetEnv PATH={bin_}:/usr/bin:/bin BASH_ENV={bin_}/ss ENV={bin_}/ss")  # fmt: skip
    assert falsely_passed(bench.host) == []


def test_tools_forged_by_replacement(machine, tmp_path):
    bench = machine(bind(forge(tmp_path / "bin")))
    assert falsely_passed(bench.host) == []
    told = " ".join(bench.told)
    for tool in ("ss montre", "systemctl dit", "dpkg-query dit"):
        assert tool in told, told
    shown = " ".join(bench.signs())
    for tool in ("ss", "systemctl", "dpkg-query", "id", "getent"):
        assert f"bin/{tool}" in shown, shown


def test_bashrc_that_defines_functions(machine):
    functions = "\n".join(f"{name}() {{ {text}\n}}" for name, text in FORGED.items() if name != "dpkg-query")
    bench = machine(home={".bashrc": functions})
    assert falsely_passed(bench.host) == []


def test_bashrc_that_floods(machine):
    bench = machine(home={".bashrc": "yes\n"}, seconds=10)
    began = time.monotonic()
    with pytest.raises(RouteError):
        bench.ask(Command("id"), 10)
    assert time.monotonic() - began < 13
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 600 * 1024


def test_bashrc_that_never_ends(machine):
    bench = machine(home={".bashrc": "sleep 1000\n"})
    began = time.monotonic()
    with pytest.raises(RouteError, match="no answer"):
        bench.ask(Command("id"), 4)
    assert time.monotonic() - began < 8


def test_bashrc_that_exits(machine):
    with pytest.raises(RouteError):
        machine(home={".bashrc": "exit 0\n"}).ask(Command("id"), 10)


def test_talkative_start_up_files_change_nothing(machine):
    bench = machine(home={".bashrc": "echo 'P forged 1 1.0 boot'; echo 'B forged 0'\n"})
    assert bench.host.run("echo right").stdout == "right\n"


def test_preloaded_library_is_told(machine, tmp_path):
    (tmp_path / "preload").write_text("/usr/lib/nothing-of-the-kind.so\n")
    copy = tmp_path / "etc"
    bench = machine(f"cp -a /etc/. {copy}; cp {tmp_path}/preload {copy}/ld.so.preload; mount --bind {copy} /etc")
    bench.ask(Command("true"))
    assert any("ld.so.preload" in one for one in bench.signs())
    assert bench.host.file("/etc/ld.so.preload").exists


def test_what_every_python_program_runs_first_is_told(machine, tmp_path):
    copy = tmp_path / "etc"
    bench = machine(
        f"cp -a /etc/. {copy}; echo 'import os' >>$(ls {copy}/python3*/sitecustomize.py); mount --bind {copy} /etc"
    )
    bench.ask(Command("true"))
    assert any("sitecustomize.py" in one for one in bench.signs())


def test_an_honest_machine_shows_no_sign(machine):
    bench = machine()
    bench.ask(Command("true"))
    assert bench.signs() == []


def test_clock_a_year_off_is_told():
    hello = Hello(-365 * 86400.0, "boot")

    def quiet(_command):
        from graders.engine.command import Answer

        return Answer(0)

    assert "horloge" in signs.look("n", hello, quiet)[0]


def test_routes_that_disagree_are_told():
    assert "même système" in signs.routes_disagree("n", Hello(0, "one"), Hello(0, "other"))
    assert signs.routes_disagree("n", Hello(0, "one"), Hello(5, "one")) is None


def test_kernel_module_from_outside_is_told():
    from graders.engine.command import Answer

    answers = {signs.TAINT: Answer(0, b"12288\n")}
    assert "module" in signs.look("n", None, lambda one: answers.get(one, Answer(0)))[0]


def serve(talk):
    """A TCP port where `talk(connection)` speaks to whoever comes."""
    server = socket.create_server(("127.0.0.1", 0))

    def loop():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=quietly, args=(talk, connection), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return server


def quietly(talk, connection):
    with connection:
        try:
            talk(connection)
        except OSError:
            return


def flood(connection):
    while True:
        connection.sendall(b"x" * 65536)


def lines(connection):
    while True:
        connection.sendall(b"welcome\r\n" * 1000)


@pytest.mark.parametrize(
    "talk",
    [flood, lines, lambda one: time.sleep(60), lambda one: one.sendall(b"SSH-2.0-x\r\n") or time.sleep(60),
     lambda one: one.sendall(b"SSH-1.5-old\r\n"), lambda one: one.sendall(b"HTTP/1.1 400 no\r\n\r\n"),
     lambda one: one.sendall(b"SSH-2.0-x\r\n" + os.urandom(5000)), lambda one: None],
    ids=["flood", "banner lines", "silent", "stops after banner", "old version", "http", "garbage", "hangs up"],
)  # fmt: skip
def test_ssh_servers_that_are_none(talk, machine):
    good = machine()
    true = good.node.routes[0]
    with serve(talk) as server:
        bench = Bench([SshRoute(server.getsockname, true._user, true._key, true._host_key, "n")])
        began = time.monotonic()
        with pytest.raises(RouteError):
            bench.ask(Command("id"), 6)
        assert time.monotonic() - began < 8
        bench.close()


def test_full_disk(machine):
    bench = machine("mount -t tmpfs -o size=64k none /dev/shm")
    began = time.monotonic()
    with pytest.raises(RouteError):
        bench.ask(Command("id"), 10)
    assert time.monotonic() - began < 12


def test_shared_memory_that_runs_nothing(machine):
    bench = machine("mount -t tmpfs -o noexec none /dev/shm")
    assert bench.host.run("echo elsewhere").stdout == "elsewhere\n"


def test_many_processes(machine):
    bench = machine()
    bomb = Command("f() { i=0; while [ $i -lt 300 ]; do sleep 300 & i=$((i+1)); done; wait; }; f", seconds=2)
    began = time.monotonic()
    with pytest.raises(KeyError):
        {}[bench.ask(bomb).status]
    assert time.monotonic() - began < 10
    assert bench.host.run("echo still here").stdout == "still here\n"
    # All are killed at once; the last ones may take a moment to go. An answer is kept, so each question is another.
    for number, _ in enumerate(Deadline.after(20).ticks(1.0)):
        left = bench.host.run(f"ps ax -o args= | grep -c '^sleep 300$' # {number}").stdout.strip()
        if left == "0":
            break
    assert left == "0", "none of them is left"


def test_runner_that_is_killed(machine):
    bench = machine()
    with pytest.raises(RouteError):
        bench.ask(Command("kill -9 -1"), 10)


def test_removed_grader_key(machine):
    bench = machine()
    keys = bench.node.routes[0]._key.parent / "authorized"
    keys.write_text("")
    with pytest.raises(RouteError, match=r"[Pp]ermission denied"):
        bench.ask(Command("id"), 10)


def test_stopped_guest_agent_and_closed_ssh():
    def silent(argv, deadline, stdin):
        raise HypervisorError("guest agent: silence")

    bench = Bench([AgentRoute(silent, "n")])
    assert falsely_passed(bench.host) == []
    bench.close()


def test_agent_that_answers_nonsense():
    from labs.hypervisors.base import ExecResult

    for said in (b"", b"yes\n" * 100000, b"P x 1 1 b\n"):
        bench = Bench([AgentRoute(lambda argv, deadline, stdin, said=said: ExecResult(0, said, b""), "n")])
        with pytest.raises(RouteError):
            bench.ask(Command("id"), 5)
        bench.close()


@pytest.mark.parametrize(
    "output",
    ["printf '\\000\\001'", "printf '\\033]0;title\\007\\033[2J'", "printf '\\342\\200\\256evil'",
     "printf '\\377\\376'", "echo '<script>alert(1)</script>'", "head -c 1000000000 /dev/zero",
     "yes '<b>' | tr -d '\\n'"],
    ids=["nul", "ansi", "bidi", "not utf-8", "html", "1 GB line", "endless line"],
)  # fmt: skip
def test_hostile_outputs_are_bounded_text(machine, output):
    bench = machine()
    began = time.monotonic()
    result = bench.host.run(output)
    assert len(result.stdout_bytes) <= KEPT_BYTES
    assert isinstance(result.stdout, str)
    assert time.monotonic() - began < 10


def test_a_node_that_hangs_does_not_stop_the_others(machine):
    from graders.engine.node import collect_all

    good, bad = machine(), machine(home={".bashrc": "sleep 1000\n"})
    work = [(good.node, [Command("id")]), (bad.node, [Command("id")])]
    began = time.monotonic()

    async def both():
        await collect_all(work, 5)
        assert Command("id") in good.node.answers
        await good.node.forget("")
        await bad.node.forget("")

    asyncio.run(both())
    assert time.monotonic() - began < 9
