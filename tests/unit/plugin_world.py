"""A hypervisor and a probe without machines, for the tests of the grading plugin: what they say is in world.json."""

from __future__ import annotations

import io
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

from labs.errors import HypervisorError
from labs.hypervisors.base import ExecResult, HostCapacity, NodeStatus, Power


class FakeHypervisor:
    """Machines described by a file: {"node": {"power", "agent", "asleep", "reboots"}}; a reboot is noted beside it."""

    name = "fake"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def world(self, node: str) -> dict:
        return json.loads((self.folder / "world.json").read_text()).get(node, {})

    def status(self, key):
        return NodeStatus(key, Power(self.world(key.node).get("power", "running")), ready=True, image="4c1be0a7")

    def capacity(self):
        return [HostCapacity("fake", 2, 8192, 4096, 9999, 99, "kvm")]

    def list_nodes(self, session=None):
        return []

    def asleep(self, key, deadline):
        return self.world(key.node).get("asleep", False) and not (self.folder / f"woken-{key.node}").exists()

    def start(self, key, deadline):
        (self.folder / f"woken-{key.node}").touch()

    def wait_agent(self, key, deadline):
        pass

    def execute(self, key, argv, deadline, *, stdin=b""):
        node = self.world(key.node)
        if not node.get("agent", True) or self.asleep(key, deadline):
            raise HypervisorError("agent: silence")
        count = self.folder / f"boots-{key.node}"
        boots = int(count.read_text()) if count.exists() else 0
        command = " ".join(argv)
        if "systemctl reboot" in command and node.get("reboots", True):
            count.write_text(str(boots + 1))
        if "boot_id" in command:
            return ExecResult(0, f"boot-{boots}\n".encode(), b"")
        if "is-system-running" in command:
            return ExecResult(0, b"degraded\n" if boots in node.get("degraded", ()) else b"running\n", b"")
        return ExecResult(0, f"{key.node} said: {argv[-1]}\n".encode(), b"")

    def waited(self, key):
        return time.monotonic() * self.world(key.node).get("kept_waiting", 0.0)

    def reset(self, key, deadline):
        return None

    @contextmanager
    def restarts(self, key, deadline):
        yield lambda: self.world(key.node).get("reset_seen")


class FakeLink:
    """A probe agent that answers every request with its own parameters."""

    def __init__(self, folder: Path) -> None:
        probe = json.loads((folder / "world.json").read_text()).get("probe", {})
        if probe.get("power") == "stopped":
            raise HypervisorError("the probe is not there")
        reader, writer = os.pipe()
        self.stdout = os.fdopen(reader, "rb")
        self.writer = writer
        self.stdin = _Requests(writer, silent=probe.get("silent", False))
        os.write(writer, b'{"id": null, "ok": true, "result": []}\n')

    def close(self) -> None:
        os.close(self.writer)


class _Requests(io.RawIOBase):
    def __init__(self, writer: int, *, silent: bool) -> None:
        self.writer, self.silent = writer, silent

    def write(self, data):
        request = json.loads(bytes(data))
        answer = {"id": request["id"], "ok": True, "result": request["params"], "seconds": 0.01}
        answer["waited"] = request["params"].get("waited_by_others", 0.0)
        if request["probe"] == "arp.who_has":
            answer["result"] = {address: [] for address in request["params"]["addresses"]}
        if request["probe"] == "broken" or self.silent:
            answer = {"id": request["id"], "ok": False, "error": "no such leg", "seconds": 0.01}
        if request["params"].get("late_among"):
            answer = {"id": request["id"], "ok": False, "error": "timeout", "crowd": request["params"]["late_among"]}
        os.write(self.writer, json.dumps(answer).encode() + b"\n")
        return len(data)
