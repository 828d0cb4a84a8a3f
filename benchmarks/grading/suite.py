"""150 checks as lab authors write them for testinfra; some are true of this machine, some are not."""

from __future__ import annotations

import pytest

FILES = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/fstab",
         "/etc/os-release", "/etc/nsswitch.conf", "/etc/absent.conf", "/root", "/usr", "/usr/bin/env"]  # fmt: skip
PACKAGES = ["openssh-server", "openssh-client", "bash", "coreutils", "apt", "dpkg", "busybox-static", "libc6",
            "tar", "grep", "postfix", "dovecot-imapd", "bind9", "nginx", "apache2", "isc-dhcp-server", "samba", "slapd",
            "squid", "xrdp"]  # fmt: skip
SERVICES = ["ssh", "cron", "nginx", "postfix", "bind9", "nftables", "systemd-networkd", "dbus", "slapd", "xrdp"]
SOCKETS = ["tcp://22", "tcp://0.0.0.0:22", "tcp://127.0.0.1:22", "tcp://:::22", "tcp://25", "tcp://0.0.0.0:25",
           "tcp://53", "udp://53", "udp://67", "tcp://80", "tcp://127.0.0.1:631", "udp://0.0.0.0:123",
           "unix:///run/systemd/private", "tcp://443", "tcp://3389"]  # fmt: skip
USERS = ["root", "daemon", "www-data", "sshd", "candidat", "nobody"]
GROUPS = ["root", "sudo", "www-data", "adm", "users", "candidats"]
COMMANDS = ["uname -r", "hostname", "id -u", "date +%%Y", "ip route show", "ip -br link", "df -P /", "mount", "ps -e",
            "nproc", "cat /proc/loadavg", "getent hosts localhost", "ls /etc/apt", "env", "umask"]  # fmt: skip
SYSCTLS = ["net.ipv4.ip_forward", "kernel.hostname", "vm.swappiness", "net.ipv4.conf.all.rp_filter", "fs.file-max",
           "kernel.pid_max", "net.ipv4.tcp_syncookies", "net.ipv4.conf.all.forwarding", "kernel.ostype",
           "net.core.somaxconn"]  # fmt: skip


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("what", ["exists", "mode", "user", "size"])
def test_file(host, path, what):
    file = host.file(path)
    assert {"exists": lambda: file.exists, "mode": lambda: file.mode & 0o022 == 0, "user": lambda: file.user == "root",
            "size": lambda: file.size > 0}[what]()  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_package(host, name):
    assert host.package(name).is_installed


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("what", ["is_running", "is_enabled"])
def test_service(host, name, what):
    assert getattr(host.service(name), what)


@pytest.mark.parametrize("spec", SOCKETS)
def test_socket(host, spec):
    assert host.socket(spec).is_listening


@pytest.mark.parametrize("name", USERS)
def test_user(host, name):
    user = host.user(name)
    assert user.exists
    assert user.shell != "/bin/bash" or name == "root"


@pytest.mark.parametrize("name", GROUPS)
def test_group(host, name):
    assert host.group(name).exists


@pytest.mark.parametrize("command", COMMANDS)
def test_command(host, command):
    assert host.run(command.replace("%%", "%")).succeeded


@pytest.mark.parametrize("name", SYSCTLS)
def test_sysctl(host, name):
    assert host.sysctl(name) not in {0, ""}


@pytest.mark.parametrize("name", ["lo", "eth9"])
def test_interface(host, name):
    assert host.interface(name).exists


@pytest.mark.parametrize("port", [80, 8080, 443])
def test_http_from_the_host(host, port):
    assert host.run("curl -s -o /dev/null --max-time 2 http://127.0.0.1:%s/", str(port)).succeeded


@pytest.mark.parametrize("line", ["root:x:0:0", "candidat:", "daemon:x:1:1", "nobody:", "games:"])
def test_content(host, line):
    assert host.file("/etc/passwd").contains(f"^{line}")
