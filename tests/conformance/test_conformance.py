"""The engine gives what plain testinfra over paramiko gives on a real machine, for what is there and what is not."""

import pytest
import testinfra

from graders.engine.backend import engine_host
from graders.engine.loop import Loop
from graders.engine.node import Node
from graders.engine.routes import SshRoute
from graders.engine.snapshot import Snapshot
from labs.deadline import Deadline
from tests.sshd import Sshd

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # testinfra's paramiko warns of the host key
FILES = ["/etc/passwd", "/etc/shadow", "/etc", "/bin", "/usr/bin/env", "/dev/null", "/absent", "{w}/link", "{w}/broken",
         "{w}/fifo", "{w}/socket", "{w}/a file; with $(odd) 'name'", "{w}/empty", "{w}/latin", "{w}/setuid",
         "{w}/nobody"]  # fmt: skip
FILE = {
    **{name: lambda file, name=name: getattr(file, name) for name in (
        "exists", "is_file", "is_directory", "is_executable", "is_pipe", "is_socket", "is_symlink", "linked_to", "user",
        "uid", "group", "gid", "mode", "md5sum", "sha256sum", "content", "content_string", "mtime", "size")},
    "contains root": lambda file: file.contains("^root:"),
    "contains nothing": lambda file: file.contains("no such line"),
    "listdir": lambda file: file.listdir(),
}  # fmt: skip
BINARY = {"/usr/bin/env", "{w}/setuid"}
READING = {"content", "content_string", "md5sum", "sha256sum", "contains root", "contains nothing"}
USERS = ["root", "daemon", "nobody", "no-such-user", "www-data"]
USER = ["exists", "name", "uid", "gid", "group", "gids", "groups", "home", "shell", "password", "gecos",
        "password_max_days", "password_min_days", "expiration_date"]  # fmt: skip
GROUPS = ["root", "sudo", "no-such-group", "nogroup"]
PACKAGES = ["openssh-server", "bash", "libc6", "no-such-package", "xrdp"]
SERVICES = ["ssh", "sshd", "no-such-service", "cron", "dbus", "nftables", "getty@tty1", "multi-user.target"]
SERVICE = ["exists", "is_running", "is_enabled", "is_masked", "systemd_properties"]
SYSCTLS = ["kernel.hostname", "net.ipv4.ip_forward", "net.ipv4.tcp_rmem", "kernel.ostype", "no.such.key"]
INTERFACES = ["lo", "eth0", "no-such-card"]
INTERFACE = ["exists", "addresses", "link", "routes"]
COMMANDS = ["true", "false", "exit 7", "echo out; echo err >&2", "printf '%s|' a 'b c'", "no-such-command",
            "cat /absent", "echo $((1 + 2)) `echo three` $(echo four)", "echo é",
            "printf 'no newline'", "printf 'a\\n\\n'",
            "cat <<E\nhere\nE", "for i in 1 2; do echo $i; done | tail -n 1", "test -e /etc/passwd && echo there",
            "id -u", "stat -c '%a %U' /etc/passwd", "cat /etc/hostname"]  # fmt: skip


def comparable(path, what):
    """Plain testinfra waits for ever on a pipe to which nobody writes, and raises on bytes that are no text."""
    return what not in READING if "fifo" in path else not (path in BINARY and what == "content_string")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    work = folder / "work"
    work.mkdir()
    sshd = Sshd(folder / "sshd", f"cd {work}; ln -s /etc/passwd link; ln -s nowhere broken; mkfifo fifo; : >empty; "
                """echo x >"a file; with \\$(odd) 'name'"; printf 'caf\\\\351' >latin; cp /bin/true setuid; """
                "chmod 4755 setuid; echo x >nobody; chown 65534:65534 nobody 2>/dev/null || true; "
                "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('socket')\"; cd /")  # fmt: skip
    loop, node = Loop(), Node("n", [SshRoute(sshd.address, sshd.user, sshd.key, sshd.host_key, "n")], Snapshot())
    told = []
    ours = engine_host("n", lambda command: loop.run(node.ask(command, Deadline.after(60))), told.append)
    plain = testinfra.get_host("paramiko://node", ssh_config=str(sshd.ssh_config()))
    yield ours, plain, str(work), sshd.port
    assert told == [], "an honest machine is not suspected"
    loop.run(node.forget(""))
    loop.close()
    plain.backend.client.close()
    sshd.close()


def same(hosts, read):
    """Both give the same value, or fail in the same way."""
    outcomes = []
    for host in hosts[:2]:
        try:
            outcomes.append(("value", read(host)))
        except Exception as problem:  # noqa: BLE001 - whatever testinfra raises is part of what is compared
            outcomes.append(("raises", type(problem).__name__))
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


@pytest.mark.parametrize(("path", "what"), [(path, what) for path in FILES for what in FILE if comparable(path, what)])
def test_file(hosts, path, what):
    same(hosts, lambda host: FILE[what](host.file(path.format(w=hosts[2]))))


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("what", USER)
def test_user(hosts, name, what):
    same(hosts, lambda host: getattr(host.user(name), what))


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("what", ["exists", "gid", "members"])
def test_group(hosts, name, what):
    same(hosts, lambda host: getattr(host.group(name), what))


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("what", ["is_installed", "version", "release"])
def test_package(hosts, name, what):
    same(hosts, lambda host: getattr(host.package(name), what))


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("what", SERVICE)
def test_service(hosts, name, what):
    same(hosts, lambda host: getattr(host.service(name), what))


@pytest.mark.parametrize("spec", ["tcp://{p}", "tcp://127.0.0.1:{p}", "tcp://0.0.0.0:{p}", "tcp://:::{p}", "tcp://1",
                                  "udp://1", "udp://0.0.0.0:1", "unix:///absent",
                                  "unix:///run/systemd/private"])  # fmt: skip
def test_socket(hosts, spec):
    same(hosts, lambda host: host.socket(spec.format(p=hosts[3])).is_listening)


def test_own_socket_is_seen(hosts):
    assert same(hosts, lambda host: host.socket(f"tcp://127.0.0.1:{hosts[3]}").is_listening) == ("value", True)
    kind, listening = same(hosts, lambda host: sorted(
        one for one in host.socket.get_listening_sockets() if not one.startswith("unix:///tmp")))  # fmt: skip
    assert kind == "value"
    assert f"tcp://127.0.0.1:{hosts[3]}" in listening


@pytest.mark.parametrize("name", SYSCTLS)
def test_sysctl(hosts, name):
    same(hosts, lambda host: host.sysctl(name))


@pytest.mark.parametrize("name", INTERFACES)
@pytest.mark.parametrize("what", INTERFACE)
def test_interface(hosts, name, what):
    def read(host):
        found = getattr(host.interface(name), what)
        return found() if callable(found) else found

    same(hosts, read)


@pytest.mark.parametrize("command", COMMANDS)
def test_run(hosts, command):
    def read(host):
        result = host.run(command)
        errors = result.stderr if "no-such" not in command and "/absent" not in command else "said by another shell"
        return result.rc, result.stdout, errors, result.succeeded, result.failed

    same(hosts, read)


def test_check_output_and_exists(hosts):
    same(hosts, lambda host: host.check_output("echo %s", "a b; 'c'"))
    same(hosts, lambda host: host.check_output("false"))
    for name in ("ss", "no-such-command", "ip", "test"):
        same(hosts, lambda host, name=name: host.exists(name))
        same(hosts, lambda host, name=name: host.find_command(name))
    same(hosts, lambda host: (host.system_info.type, host.system_info.distribution, host.system_info.release))


def test_where_it_differs_on_purpose(hosts):
    ours, plain = hosts[:2]
    with pytest.raises(UnicodeDecodeError):
        _ = plain.file("/usr/bin/env").content_string
    assert "ELF" in ours.file("/usr/bin/env").content_string, "bytes that are no text must not stop the grader"
    assert (ours.run("kill -TERM $$").rc, plain.run("kill -TERM $$").rc) == (143, -1), "as a shell counts, not paramiko"
    assert ours.run("echo 'a\\\\b'").stdout == "a\\b\n", "sh runs it, not the login shell"
    assert plain.run("echo 'a\\\\b'").stdout == "a\\\\b\n"
