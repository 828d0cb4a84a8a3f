"""The segments of a bench: one switch process, described by `switch.json` in the bench's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.base import NodeSpec, SegmentSpec
from labs.hypervisors.qemu import processes
from labs.paths import ROOT
from labs.sessionfiles import write_private


def ensure(folder: Path, segments: Sequence[SegmentSpec], nodes: Sequence[NodeSpec], deadline: Deadline) -> None:
    """Make the switch of a bench run with these ports; one that runs with others is started again."""
    names = {segment.name for segment in segments}
    ports = []
    for node in nodes:
        for index, nic in enumerate(node.nics):
            used = {nic.segment} if nic.segment else {name for _, name in nic.trunk}
            if not used <= names:
                raise HypervisorError(f"{node.key}: card {index} is on unknown segments {used - names}")
            port = {"socket": f"{node.key.node}/nic{index}.sock"}
            ports.append({**port, "segment": nic.segment} if nic.segment else {**port, "trunk": dict(nic.trunk)})
    content = json.dumps({"ports": ports}, indent=1).encode()
    config = folder / "switch.json"
    pid = processes.pid_of(folder / "switch.pid")
    if pid is not None and config.exists() and config.read_bytes() == content:
        return
    if pid is not None:
        processes.end(pid, deadline, force=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(config, content)
    _spawn(folder, deadline)


def delete(folder: Path, deadline: Deadline) -> None:
    """End the switch and remove its files."""
    pid = processes.pid_of(folder / "switch.pid")
    if pid is not None:
        processes.end(pid, deadline, force=True)
    for name in ("switch.json", "switch.pid", "switch.log"):
        (folder / name).unlink(missing_ok=True)


def _spawn(folder: Path, deadline: Deadline) -> None:
    pid_file = folder / "switch.pid"
    pid_file.unlink(missing_ok=True)
    with (folder / "switch.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labs.hypervisors.qemu.switch", str(pid_file)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    for _ in deadline.ticks(0.02):
        if processes.pid_of(pid_file) is not None:
            process.returncode = 0  # it outlives us on purpose: keep Popen from warning about it
            return
        if process.poll() is not None:
            break
    last = (folder / "switch.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise HypervisorError(f"{folder.name}: the switch did not start: {' '.join(last) or 'no message'}")
