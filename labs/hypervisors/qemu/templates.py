"""RAM templates: a role image booted once, warmed up and frozen, from which machines are resumed at once.

A template is a folder of the cache: `disk.qcow2` (what the boot changed, over the role image), `ram` (the guest's
memory, mapped copy-on-write by every clone) and `state` (the devices). It fits exactly one image, shape and QEMU.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.qemu import command, disks, processes
from labs.hypervisors.qemu.guest_agent import GuestAgent
from labs.hypervisors.qemu.qmp import Qmp
from labs.hypervisors.qemu.spawn import spawn
from labs.images import RoleImage
from labs.paths import cache_dir

BUILD_SECONDS = 300.0
PLACEHOLDER_MAC = "52:54:00:00:00:{:02x}"

# Programs that grading and Ansible run first are read once, so that their pages are in every clone's memory; sshd runs
# with a throw-away key, which the identity of a clone replaces.
WARM_UP = """\
systemctl is-system-running --wait >/dev/null 2>&1
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key </dev/null
systemctl start ssh.service
python3 -c 'import json, ssl, socket, subprocess, tempfile, shutil, zipfile, logging, ctypes, asyncio'
python3 -c 'import dns.resolver, dns.query' 2>/dev/null
perl -e 1
for i in 1 2; do ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \\
    -o ConnectTimeout=20 nobody@127.0.0.1 true </dev/null >/dev/null 2>&1; done
ip -j address >/dev/null; ip -j route >/dev/null; getent hosts localhost >/dev/null
rm -f /root/.ssh/known_hosts
sync
exit 0
"""


@dataclass(frozen=True)
class Template:
    """A finished template."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def ram(self) -> Path:
        return self.folder / "ram"

    @property
    def state(self) -> Path:
        return self.folder / "state"


def find(image: RoleImage, shape: command.Shape, depot: Path | None) -> Template | None:
    """The template for that image and shape, or None when it has not been made."""
    folder = _folder(image, shape, depot)
    return Template(folder) if (folder / "meta.json").exists() else None


def ensure(image: RoleImage, shape: command.Shape, depot: Path | None, progress: Callable[[str], None]) -> Template:
    """Make the template unless it is there. Raises HypervisorError when the machine does not come up."""
    folder = _folder(image, shape, depot)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find(image, shape, depot)
        if found is not None:
            return found
        work = folder.with_suffix(".tmp")
        _clear(work)
        work.mkdir(mode=0o700)
        try:
            _make(image, shape, depot, work, progress)
            (work / "meta.json").write_text(
                json.dumps({"role": image.role, "release": image.release, "image": image.digest, **asdict(shape)})
            )
            work.rename(folder)
        finally:
            _clear(work)
    return Template(folder)


@functools.cache
def qemu_version() -> str:
    """First line of `qemu-system-x86_64 --version`. Raises HypervisorError when it cannot run."""
    try:
        answer = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise HypervisorError("qemu-system-x86_64 is not installed; run ./bootstrap, or plateau doctor") from None
    return answer.stdout.splitlines()[0]


def _folder(image: RoleImage, shape: command.Shape, depot: Path | None) -> Path:
    inputs = [
        command.DEVICES_VERSION,
        image.digest,
        asdict(shape),
        depot.parent.name if depot else None,
        qemu_version(),
        command.kernel_cmdline(shape),
        WARM_UP,
    ]
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]
    return cache_dir() / "templates" / f"{image.role}-{image.release}-{digest}"


def _make(
    image: RoleImage, shape: command.Shape, depot: Path | None, work: Path, progress: Callable[[str], None]
) -> None:
    deadline = Deadline.after(BUILD_SECONDS)
    disks.create_overlay(work / "disk.qcow2", image.disk)
    arguments = command.base_arguments(
        shape,
        folder=work,
        disk=work / "disk.qcow2",
        kernel=str(image.kernel),
        initrd=str(image.initrd),
        depot=str(depot) if depot else None,
    )
    arguments += command.memory(work / "ram", shape.memory_mb, share=True) + command.management()
    for index in range(shape.nics):
        arguments += command.card(index, PLACEHOLDER_MAC.format(index + 1))
    spawn(arguments, work, deadline)
    progress("boots")
    agent = GuestAgent(work)
    deadline.poll(lambda: _answers(agent, deadline), f"template {image.role}: its guest agent", interval=0.3)
    progress("warms up")
    result = agent.execute(["/bin/sh"], deadline, stdin=WARM_UP.encode())
    if result.exit_status:
        raise HypervisorError(f"template {image.role}: warm-up failed: {result.stderr.decode(errors='replace')[-200:]}")
    with Qmp(work / "qmp.sock", deadline) as qmp:
        progress("is frozen")
        qmp.command("stop")
        qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
        qmp.command("migrate", uri=f"exec:cat>{work / 'state'}")
        deadline.poll(lambda: _migrated(qmp, image.role), f"template {image.role}: its RAM state", interval=0.02)
        qmp.command("quit")
    pid = processes.pid_of(work / "qemu.pid")
    if pid is not None:
        deadline.poll(lambda: processes.gone(pid) or None, f"template {image.role}: the end of QEMU", interval=0.02)
    for leftover in (*work.glob("*.sock"), *work.glob("*.pid"), *work.glob("*.l*")):
        leftover.unlink()


def _answers(agent: GuestAgent, deadline: Deadline) -> bool | None:
    try:
        agent.ping(deadline.sooner(3.0))
    except HypervisorError:
        return None
    return True


def _migrated(qmp: Qmp, role: str) -> bool | None:
    status = qmp.command("query-migrate").get("status")
    if status == "failed":
        raise HypervisorError(f"template {role}: QEMU could not save its state")
    return True if status == "completed" else None


def _clear(work: Path) -> None:
    for pid in processes.owned(work):
        processes.end(pid, Deadline.after(5), force=True)
    if work.exists():
        shutil.rmtree(work)
