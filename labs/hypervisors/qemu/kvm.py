"""Whether KVM really runs guests here: the product's own kernel must print a line under it.

Opening /dev/kvm and creating a processor succeed even on machines where no guest ever runs, so only a guest that
spoke is believed. The answer is kept per boot of this machine, QEMU version and kernel.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from labs.hypervisors.qemu.templates import qemu_version
from labs.images.initramfs import Cpio
from labs.paths import cache_dir
from labs.sessionfiles import write_private

PROBE_SECONDS = 8.0
MARKER = "PLATEAU-GUEST-RAN"
_INIT = f"#!/bin/busybox sh\n/bin/busybox echo {MARKER}\n/bin/busybox poweroff -f\n"


def usable(kernel: Path) -> bool:
    """Whether a guest with this kernel runs under KVM; takes up to 8 s once per boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    inputs = json.dumps([boot, qemu_version(), str(kernel), kernel.stat().st_mtime_ns])
    digest = hashlib.sha256(inputs.encode()).hexdigest()
    answer_file = cache_dir() / "kvm-probe.json"
    try:
        answer = json.loads(answer_file.read_text())
    except (OSError, ValueError):
        answer = {}
    if answer.get("digest") != digest:
        answer = {"digest": digest, "usable": guest_speaks(kernel, "kvm", "host")}
        answer_file.parent.mkdir(parents=True, exist_ok=True)
        write_private(answer_file, json.dumps(answer).encode())
    return bool(answer["usable"])


def guest_speaks(kernel: Path, accelerator: str, cpu: str, seconds: float = PROBE_SECONDS) -> bool:
    """Boot the kernel with a busybox that prints a marker; False when it has not ended within `seconds`."""
    with tempfile.TemporaryDirectory(prefix="plateau-probe-") as folder:
        initrd = Path(folder) / "initrd"
        busybox = shutil.which("busybox")
        if busybox is None:
            return False
        archive = Cpio()
        archive.folder("bin")
        archive.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
        archive.file("init", _INIT.encode(), 0o755)
        initrd.write_bytes(archive.finish())
        command = [
            *("qemu-system-x86_64", "-machine", "pc", "-accel", accelerator, "-cpu", cpu, "-m", "256M"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
            *("-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 quiet panic=-1"),
        ]
        try:
            result = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return MARKER.encode() in result.stdout
