"""The engine on a real sshd: the runner, the snapshot, testinfra's host, two routes, a plan in one exchange."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from graders.engine import plan, wire
from graders.engine.backend import engine_host
from graders.engine.command import KEPT_BYTES, Answer, Command, is_trusted
from graders.engine.loop import Loop
from graders.engine.node import Node, collect_all
from graders.engine.routes import AgentRoute, RouteError, SshRoute
from graders.engine.snapshot import MissingError, Observation, Snapshot
from labs.deadline import Deadline
from labs.errors import HypervisorError, PlateauError
from labs.hypervisors.base import ExecResult
from tests.sshd import Sshd, free_port


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    one = Sshd(tmp_path_factory.mktemp("sshd"))
    yield one
    one.close()


def ssh_route(sshd):
    return SshRoute(sshd.address, sshd.user, sshd.key, sshd.host_key, "node")


def execute(argv, deadline, stdin):
    """A guest agent that runs here."""
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=deadline.remaining, check=False)
    return ExecResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["ssh", "agent"])
def route(request, sshd):
    return ssh_route(sshd) if request.param == "ssh" else AgentRoute(execute, "node")


def ask(route, *commands, seconds=30):
    async def work():
        try:
            return await route.ask(commands, Deadline.after(seconds))
        finally:
            await route.close()

    return asyncio.run(work())


def test_every_kind_of_command(route):
    commands = [
        Command("echo bonjour; echo tant pis >&2; exit 3"),
        Command("stat -c %a /etc/passwd", trusted=True),
        Command("printf 'a\\n\nb\\\\'"),
        Command("cat"),
        Command("printf '\\000\\377\\033[31m'"),
        Command("kill -9 $$"),
        Command("echo ${HOME} ${PATH} ${LC_ALL} ${BASH_ENV-none}"),
        Command("echo 'é%d \\b'"),
    ]
    found = ask(route, *commands)
    assert [one.status for one in found] == [3, 0, 0, 0, 0, 137, 0, 0]
    assert (found[0].stdout, found[0].stderr) == (b"bonjour\n", b"tant pis\n")
    assert found[1].stdout == b"644\n"
    assert found[2].stdout == b"a\n\nb\\"
    assert found[3].stdout == b"", "nothing to read on standard input"
    assert found[4].stdout == b"\0\xff\x1b[31m"
    assert found[6].stdout == b"/root /usr/sbin:/usr/bin:/sbin:/bin C.UTF-8 none\n"
    assert route.exchanges == 1


def test_late_commands_are_killed_with_what_they_started(route, tmp_path):
    mark = tmp_path / "alive"
    command = Command(f"(sleep 2; touch {mark}) & sleep 60", seconds=1)
    began = time.monotonic()
    late, after = ask(route, command, Command("echo next"))
    assert late.status is None
    assert after.stdout == b"next\n"
    assert time.monotonic() - began < 5
    time.sleep(1.5)
    assert not mark.exists(), "its children died with it"


def test_what_a_command_leaves_behind_is_killed(route, tmp_path):
    mark = tmp_path / "alive"
    ask(route, Command(f"(sleep 1; touch {mark}) >/dev/null 2>&1 &"))
    time.sleep(1.5)
    assert not mark.exists()


def test_floods_are_cut(route):
    began = time.monotonic()
    flood, errors, after = ask(route, Command("yes"), Command("yes >&2"), Command("echo next"))
    assert len(flood.stdout) == len(errors.stderr) == KEPT_BYTES
    assert flood.truncated
    assert not after.truncated
    assert after.stdout == b"next\n"
    assert time.monotonic() - began < 10


def test_many_commands_are_one_exchange(sshd, tmp_path):
    snapshot = Snapshot(tmp_path / "one.jsonl")
    node = Node("n", [ssh_route(sshd)], snapshot)
    commands = [Command(f"echo {number}") for number in range(150)]

    async def work():
        await node.collect(commands, Deadline.after(60))
        first = node.exchanges
        await node.collect([*commands, Command("echo more")], Deadline.after(60))
        await node.forget("node:n")
        return first

    assert asyncio.run(work()) == 1
    snapshot.close()
    again = Snapshot.load(tmp_path / "one.jsonl")
    assert Answer.from_data(again.take("", "node:n", "sh: echo 149").answer).stdout == b"149\n"


def test_wrong_host_key_is_refused(sshd, tmp_path):
    other = Sshd(tmp_path / "other")
    other.close()
    route = SshRoute(sshd.address, sshd.user, sshd.key, other.host_key, "node")
    with pytest.raises(RouteError, match=r"[Hh]ost key"):
        ask(route, Command("echo no"))


def test_second_route_answers_when_the_first_is_dead(tmp_path, sshd):
    dead = SshRoute(lambda: ("127.0.0.1", free_port()), "root", sshd.key, sshd.host_key, "node")
    node = Node("n", [dead, AgentRoute(execute, "node")], Snapshot())
    answer = asyncio.run(node.ask(Command("echo here"), Deadline.after(10)))
    assert (answer.stdout, answer.route) == (b"here\n", "agent")


def test_a_dead_node_is_waited_for_once():
    def silent(argv, deadline, stdin):
        time.sleep(0.5)
        raise HypervisorError("silence")

    node = Node("n", [AgentRoute(silent, "node")], Snapshot())
    began = time.monotonic()
    for number in range(20):
        with pytest.raises(RouteError, match="silence"):
            asyncio.run(node.ask(Command(f"echo {number}"), Deadline.after(10)))
    assert time.monotonic() - began < 2


def test_nodes_are_collected_side_by_side(sshd):
    nodes = [Node(str(number), [ssh_route(sshd)], Snapshot()) for number in range(4)]
    began = time.monotonic()

    async def work():
        await collect_all([(node, [Command("sleep 1; echo done")]) for node in nodes], 30)
        for node in nodes:
            await node.forget("")
            assert not node.problems

    asyncio.run(work())
    assert time.monotonic() - began < 3.5


def test_testinfra_reads_through_the_engine(sshd):
    loop, node = Loop(), Node("n", [ssh_route(sshd)], Snapshot())
    host = engine_host("n", lambda command: loop.run(node.ask(command, Deadline.after(30))))
    assert host.file("/etc/passwd").mode == 0o644
    assert host.user("root").uid == 0
    assert not host.package("nothing-of-the-kind").is_installed
    assert host.socket(f"tcp://127.0.0.1:{sshd.port}").is_listening
    loop.run(node.forget(""))
    loop.close()


def test_snapshot_replays_in_order_and_notices_changes(tmp_path):
    path = tmp_path / "s.jsonl"
    snapshot = Snapshot(path)
    for check, answer in (("A", 1), ("A", 2), ("B", 3), ("", 4)):
        snapshot.record(Observation(check, "probe:lan", "ping", answer))
    snapshot.record(Observation("", "node:n", "sh: id", Answer(0, b"\xff\0", b"e").to_data()))
    snapshot.close()
    again = Snapshot.load(path)
    seen = [again.take("A", "probe:lan", "ping").answer for _ in range(3)]
    assert seen == [1, 2, 2]
    assert again.take("B", "probe:lan", "ping").answer == 3
    assert again.take("C", "probe:lan", "ping").answer == 4
    assert Answer.from_data(again.take("C", "node:n", "sh: id").answer).stdout == b"\xff\0"
    with pytest.raises(MissingError):
        again.take("A", "probe:wan", "ping")
    data = Answer(0, b"honest").to_data() | {"stdout": "forged"}
    with pytest.raises(ValueError, match="changed after"):
        Answer.from_data(data)
    path.write_text('{"snapshot": 1}\nnothing\n')
    with pytest.raises(PlateauError, match=r"s\.jsonl:2"):
        Snapshot.load(path)


@pytest.mark.parametrize(
    "noise",
    [
        b"x" * 70000,
        b"P nonce 9 1.0 boot\n",
        b"P nonce 1 soon boot\n",
        b"P nonce 1 1.0 boot\nB other 0\n",
        b"P nonce 1 1.0 boot\nB nonce 1\n0 0 0.0 0.1 99999999999 0\n",
        b"P nonce 1 1.0 boot\nB nonce -1\nB",
        b"P nonce 1 1.0 boot\nB nonce 1\n0 zero 0 0 0 0\n",
        b"P nonce 1 1.0 boot\nB nonce 1\n0 0 0 0 -5 0\n",
        b"P nonce 1 1.0 boot\n" + b"y" * 70000,
    ],
)
def test_noise_is_refused(noise):
    reader = wire.Reader("nonce", "ssh")
    with pytest.raises(wire.NoisyError):  # noqa: PT012 - which of the two raises depends on the noise
        reader.feed(noise)
        reader.feed(b"\n")


def test_answers_come_in_any_pieces():
    stream = b"banner\nP nonce 1 12.5 b-o-o-t\nB nonce 2\n0 0 1.0 1.5 2 1\n1 killed 2.0 3.0 0 0\nabcB nonce 0\n"
    for size in (1, 3, 1000):
        reader = wire.Reader("nonce", "ssh")
        found = []
        for start in range(0, len(stream), size):
            found += reader.feed(stream[start : start + size])
        assert found == [(0, Answer(0, b"ab", b"c", 0.5, "ssh")), (1, Answer(None, b"", b"", 1.0, "ssh"))]
        assert reader.greeting == wire.Greeting(12.5, "b-o-o-t")


def test_plan_serves_another_candidate(tmp_path):
    mine = {"domaine": "alpha.test", "port": 8081, "petit": 5}
    asked = {"srv": [Command("getent hosts www.alpha.test"), Command("stat -c %a /srv/8081", trusted=True)]}
    plan.save(tmp_path, asked, mine)
    again = plan.load(tmp_path, {"domaine": "beta.test", "port": 9090, "petit": 5})
    assert set(again["srv"]) == {Command("getent hosts www.beta.test"), Command("stat -c %a /srv/9090", trusted=True)}
    assert plan.load(tmp_path / "none", {}) == {}


@pytest.mark.parametrize("text", ["stat -c %a /x; id", "cat $(id)", "stat `id`", "cat <(id)", "test -e /x && id",
                                  "sh -c id", "cat /x\nid", "", "stat 'unclosed", "cat *"])  # fmt: skip
def test_only_plain_commands_are_trusted(text):
    assert not is_trusted(text)


def test_nothing_is_left_on_the_node(route):
    before = set(Path("/dev/shm").iterdir())
    ask(route, Command("true"))
    assert set(Path("/dev/shm").iterdir()) <= before
