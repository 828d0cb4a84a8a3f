"""The first configuration of a machine: who it is, who may enter, and the files its lab gives it.

One shell script, run as root through the guest agent, so that it needs neither network nor SSH; run again it
changes nothing.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess

from labs.bench import Bench, BenchNode
from labs.errors import EnvironmentLackError, InputError
from labs.paths import CATALOGUE
from labs.sessionfiles import SessionFiles, ensure_key
from labs.variants import render


def ensure_keys(bench: Bench, files: SessionFiles) -> None:
    """Make the grader's key and the host keys of the bench unless they are there."""
    ensure_key(files.grader_key, f"plateau-grader@{bench.session.name}")
    for node in bench.nodes:
        ensure_key(files.host_key(bench.candidate.id, node.name), f"{bench.candidate.id}-{node.name}")


def script(bench: Bench, node: BenchNode, files: SessionFiles) -> str:
    """The script for one machine. Raises InputError when a template of the lab cannot be rendered."""
    host_key = files.host_key(bench.candidate.id, node.name)
    grader = files.grader_key.with_name("grader.pub").read_text()
    # Shell builtins wherever possible: in an emulated machine each program started costs 50 ms and more.
    lines = [
        "set -eu",
        f"echo {node.name} >/etc/hostname; echo {node.name} >/proc/sys/kernel/hostname",
        _put("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n::1 localhost\n", "0644"),
        _put("/etc/machine-id", _machine_id(str(node.spec.key)) + "\n", "0644"),
        _put("/etc/plateau/authorized_keys", grader, "0600"),
        _put("/etc/ssh/ssh_host_ed25519_key", host_key.read_text(), "0600"),
        _put(
            "/etc/ssh/ssh_host_ed25519_key.pub",
            files.public_host_key(bench.candidate.id, node.name).read_text(),
            "0644",
        ),
    ]
    if node.graded:
        hashed = _password_hash(bench.password)
        lines.append(f"sed -i {shlex.quote(f's|^candidat:[^:]*:|candidat:{hashed}:|')} /etc/shadow")
    lines += [_put(path, content, mode) for path, content, mode in _lab_files(bench, node)]
    # The lab's own commands have the umask of any session, not that of the last file.
    lines += ["umask 022", *node.model.run]
    lines += [
        "if [ -s /run/sshd.pid ]; then read -r pid </run/sshd.pid; kill -HUP $pid; else systemctl restart ssh; fi",
        "sync",
    ]
    return "\n".join(lines) + "\n"


def _lab_files(bench: Bench, node: BenchNode) -> list[tuple[str, str, str]]:
    folder = CATALOGUE / bench.session.lab.name
    rendered = []
    for file in node.model.files:
        path = file.source(folder)
        try:
            text = render(path.read_text(encoding="utf-8"), bench.variables)
        except FileNotFoundError:
            raise InputError(f"{path}: no such template; lab.yaml names it for node {node.name}") from None
        except Exception as problem:  # noqa: BLE001 - a template runs arbitrary expressions: any error is its author's
            raise InputError(f"{path}: cannot be rendered: {problem}") from None
        rendered.append((file.path, text, file.mode))
    return rendered


def _put(path: str, content: str, mode: str) -> str:
    """Write a file; the umask gives its mode from the start, so that a secret is never readable meanwhile."""
    wanted = int(mode, 8)
    quoted = shlex.quote(path)
    line = f"umask {0o777 & ~wanted:03o}; printf %s {shlex.quote(content)} >{quoted}"
    return f"{line}; chmod {mode} {quoted}" if wanted & 0o111 else line


def _machine_id(key: str) -> str:
    return hashlib.sha256(f"machine-id/{key}".encode()).hexdigest()[:32]


def _password_hash(password: str) -> str:
    try:
        answer = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        raise EnvironmentLackError("openssl cannot hash a password; run ./bootstrap, or plateau doctor") from None
    return answer.stdout.strip()
