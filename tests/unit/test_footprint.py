"""What the engine leaves on a graded machine: nothing. A real sshd, whose writes go to a layer of their own."""

import subprocess

import pytest

from graders.engine import signs
from graders.engine.backend import engine_host
from graders.engine.command import Command
from graders.engine.loop import Loop
from graders.engine.node import Node
from graders.engine.routes import AgentRoute, SshRoute
from graders.engine.snapshot import Snapshot
from labs.deadline import Deadline
from labs.hypervisors.base import ExecResult
from tests.sshd import Sshd

FOLDERS = ("etc", "var", "opt", "srv", "usr", "root", "home")


def layered(folder):
    """A machine on whose disk nothing was written yet."""
    layers = "/mnt"
    lines = [f"mount -t tmpfs layers {layers}"]
    for name in FOLDERS:
        place = f"{layers}/{name}"
        lines.append(f"mkdir {place} {place}/new {place}/work")
        lines.append(f"mount -t overlay over -o lowerdir=/{name},upperdir={place}/new,workdir={place}/work /{name}")
    lines += ["mount -t tmpfs memory /dev/shm", "mount -t tmpfs memory /run", "mkdir -p /run/sshd"]
    return Sshd(folder / "sshd", prepare="\n".join(lines))


@pytest.fixture
def machine(tmp_path):
    one = layered(tmp_path)
    yield one
    one.close()


def inside(machine, command, stdin=b""):
    """Run a command in the machine's namespaces, by no route of the engine's."""
    (child,) = subprocess.run(["pgrep", "-P", str(machine.process.pid)], capture_output=True, text=True,
                              check=True).stdout.split()[:1]  # fmt: skip
    enter = ["nsenter", "-t", child, "-m", "-p"]
    return subprocess.run([*enter, "sh", "-c", command], input=stdin, capture_output=True, check=True).stdout


def footprint(machine):
    """Every path that was written, changed or deleted since the machine began."""
    written = inside(machine, "find /mnt/*/new -mindepth 1; find /dev/shm /run -mindepth 1 ! -path /run/sshd")
    return sorted(written.decode().split())


def running(machine):
    """Names of its processes, with the one that asks."""
    return sorted(inside(machine, "exec cat /proc/[0-9]*/comm").decode().split())


def routes(machine):
    def execute(argv, deadline, stdin):
        entered = ["nsenter", "-t", str(child), "-m", "-p"]
        done = subprocess.run([*entered, *argv], input=stdin, capture_output=True, timeout=60, check=False)
        return ExecResult(done.returncode, done.stdout, done.stderr)

    child = subprocess.run(["pgrep", "-P", str(machine.process.pid)], capture_output=True, text=True,
                           check=True).stdout.split()[0]  # fmt: skip
    ssh = SshRoute(machine.address, machine.user, machine.key, machine.host_key, "n")
    return {"ssh": ssh, "agent": AgentRoute(execute, "n")}


def ask_everything(route):
    """What checks ask, by every module of testinfra that the engine supports, and what ends badly."""
    loop, node = Loop(), Node("n", [route], Snapshot())
    host = engine_host("n", lambda one: loop.run(node.ask(one, Deadline.after(60))))
    found = [
        host.file("/etc/passwd").sha256sum, host.package("coreutils").version, host.service("ssh").is_enabled,
        host.socket("tcp://22").is_listening, host.user("root").shell, host.group("root").gid,
        host.sysctl("kernel.ostype"), host.interface("lo").addresses, host.run("id -u").rc,
    ]  # fmt: skip
    for text, seconds in (("sleep 60", 1), ("yes", 5), ("(sleep 30 &) >/dev/null 2>&1", 5)):
        loop.run(node.ask(Command(text, seconds), Deadline.after(60)))
    signs.look("n", node.hello, lambda one: loop.run(node.ask(one, Deadline.after(60))))
    loop.run(node.forget(""))
    loop.close()
    return found


@pytest.mark.parametrize("name", ["ssh", "agent"])
def test_nothing_is_written_and_nothing_runs_on(machine, name):
    before = footprint(machine)
    first, second = ask_everything(routes(machine)[name]), ask_everything(routes(machine)[name])
    assert first == second, "asked twice, answered the same"
    assert footprint(machine) == before == []
    Deadline.after(10).poll(lambda: running(machine) == ["cat", "sshd"] or None, "the end of what the engine started")


def test_a_write_is_seen(machine):
    """The test above can fail: each kind of trace shows."""
    inside(machine, "touch /etc/a; chmod 600 /etc/fstab; rm /usr/bin/yes; mkdir /root/b; touch /dev/shm/c")
    assert footprint(machine) == ["/dev/shm/c", "/mnt/etc/new/a", "/mnt/etc/new/fstab", "/mnt/root/new/b",
                                  "/mnt/usr/new/bin", "/mnt/usr/new/bin/yes"]  # fmt: skip
