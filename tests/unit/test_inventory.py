"""The inventory as Ansible itself reads it, and the known hosts that go with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from labs import inventory
from labs.bench import Bench, compute_benches
from labs.hypervisors.base import Hypervisor, NodeKey, NodeStatus, Power
from labs.models.session import Session, load_session
from labs.sessionfiles import SessionFiles, ensure_key

SESSION = """
name: essai
title: Essai
lab: reseau
seed: graine-des-essais
candidates:
  - {id: camille, name: "{{ lookup('pipe', 'id') }}"}
  - {id: srv, name: Homonyme}
"""


class Endpoints:
    """As much of a hypervisor as the inventory reads: where SSH is."""

    def __init__(self, absent: str = "") -> None:
        self.absent = absent
        self.known: dict[NodeKey, int] = {}

    def status(self, key: NodeKey) -> NodeStatus:
        if key.node == self.absent:
            return NodeStatus(key, Power.ABSENT, False)
        port = self.known.setdefault(key, 21000 + len(self.known))
        return NodeStatus(key, Power.RUNNING, True, ("127.0.0.1", port))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "session.yaml").write_text(SESSION)
    return load_session(str(folder))


@pytest.fixture
def written(session: Session) -> tuple[list[Bench], SessionFiles]:
    benches, files = compute_benches(session), SessionFiles(session.folder)
    for bench in benches:
        for node in bench.nodes:
            ensure_key(files.host_key(bench.candidate.id, node.name), "host")
    inventory.write(session, benches, cast(Hypervisor, Endpoints()), files)
    return benches, files


def read_by_ansible(files: SessionFiles) -> dict[str, Any]:
    program = Path(sys.executable).with_name("ansible-inventory")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    answer = subprocess.run(
        [program, "-i", files.inventory, "--list"], capture_output=True, text=True, check=True, env=environment
    )
    assert "WARNING" not in answer.stderr
    return cast(dict[str, Any], json.loads(answer.stdout))


def test_ansible_reads_groups_and_values(written: tuple[list[Bench], SessionFiles]) -> None:
    benches, files = written
    seen = read_by_ansible(files)
    assert seen["rtr"]["hosts"] == ["camille-rtr", "srv-rtr"]
    assert seen["centre"]["hosts"] == ["camille-probe", "srv-probe"]
    assert sorted(seen["candidats"]["hosts"])[:3] == ["camille-rtr", "camille-srv", "camille-ws"]
    assert set(seen["camille"]["hosts"]) == {f"camille-{name}" for name in ("rtr", "srv", "ws", "probe")}
    assert set(seen["candidat_srv"]["hosts"]) == {f"srv-{name}" for name in ("rtr", "srv", "ws", "probe")}
    host = seen["_meta"]["hostvars"]["camille-ws"]
    bench = benches[0]
    assert host["machines"] == bench.variables["machines"]
    assert {name: host[name] for name in bench.values} == bench.values
    assert (host["node"], host["role"], host["ansible_user"]) == ("ws", "ws", "root")
    assert "uid=" not in json.dumps(host)


def test_known_hosts_are_ours(written: tuple[list[Bench], SessionFiles]) -> None:
    _, files = written
    lines = files.known_hosts.read_text().splitlines()
    assert len(lines) == 8
    public = files.host_key("camille", "rtr").with_name("camille.rtr.pub").read_text().split()
    assert lines[0].split() == ["[127.0.0.1]:21000", *public[:2]]
    found = subprocess.run(
        ["ssh-keygen", "-F", "[127.0.0.1]:21003", "-f", files.known_hosts], capture_output=True, check=False
    )
    assert found.returncode == 0


def test_same_input_same_file_and_private(session: Session, written: tuple[list[Bench], SessionFiles]) -> None:
    benches, files = written
    before = files.inventory.read_bytes()
    inventory.write(session, benches, cast(Hypervisor, Endpoints()), files)
    assert files.inventory.read_bytes() == before
    assert files.inventory.stat().st_mode & 0o077 == 0


def test_a_machine_without_address_is_left_out(session: Session, written: tuple[list[Bench], SessionFiles]) -> None:
    benches, files = written
    inventory.write(session, benches[:1], cast(Hypervisor, Endpoints(absent="ws")), files)
    seen = read_by_ansible(files)
    assert set(seen["_meta"]["hostvars"]) == {"camille-rtr", "camille-srv", "camille-probe"}
