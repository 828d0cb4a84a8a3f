"""A real sshd of the test's own: private port, own keys, in namespaces where the machine's files can be changed.

Works as root, and without it as the user who runs the tests: no test is ever skipped.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from labs.sessionfiles import ensure_key

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
MaxSessions 50
PrintMotd no
Subsystem sftp internal-sftp
{more}
"""


class Sshd:
    """One graded host. `prepare` is a shell text that runs before sshd, in its mount namespace.

    `home` is where the machine's user has its start-up files, different from the tester's.
    """

    def __init__(self, folder: Path, prepare: str = "", more: str = "") -> None:
        self.folder, self.user = folder, getpass.getuser()
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.host_line = ensure_key(folder / "host", "host")
        self.host_key = folder / "host.pub"
        self.key = folder / "grader"
        (folder / "authorized").write_text(ensure_key(self.key, "grader") + "\n")
        self.port = free_port()
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder, more=more))
        own = Path("~").expanduser()
        script = f"""
            set -e
            mount --make-rprivate /
            mount --bind {shlex.quote(str(self.home))} {shlex.quote(str(own))}
            {prepare}
            mkdir -p /run/sshd 2>/dev/null || true
            exec /usr/sbin/sshd -D -e -f {shlex.quote(str(folder))}/sshd_config
        """
        enter = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
        if os.geteuid() != 0:
            enter = ["unshare", "-c", "-m", "-p", "-f", "--mount-proc", "--kill-child", "--keep-caps"]
        self._log = (folder / "sshd.log").open("wb")
        self.process = subprocess.Popen(
            [*enter, "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            start_new_session=True,
        )  # fmt: skip
        wait_listening(self.port, self.process, folder / "sshd.log")

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def ssh_config(self, ports: dict[str, int] | None = None) -> Path:
        """For plain testinfra: the host is called `node`, or as `ports` says, each behind a port of its own."""
        path, known = self.folder / "ssh_config", self.folder / "known_hosts"
        hosts = ports or {"node": self.port}
        known.write_text("".join(f"[127.0.0.1]:{port} {self.host_line}\n" for port in hosts.values()))
        path.write_text("".join(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {self.user}\n  IdentityFile {self.key}\n"
            f"  UserKnownHostsFile {known}\n  IdentitiesOnly yes\n" for name, port in hosts.items()
        ))  # fmt: skip
        return path

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)
