"""Consoles of a cluster: the serial line in a real terminal, the screen at a local port, each behind its ticket."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.base import BenchKey, NicSpec, NodeKey, NodeSpec, SegmentSpec
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.terminal import serve_screen
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster

KEY = NodeKey("consoles-0000", "camille", "ws")
SPEC = NodeSpec(KEY, "ws", "trixie", 384, 1, (NicSpec("52:54:00:00:00:01", "lan"),))
PROGRAM = """
import sys
from pathlib import Path
from labs.errors import PlateauError
from labs.hypervisors.base import NodeKey
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.models.proxmox import ProxmoxProfile
from labs.terminal import bridge
profile = ProxmoxProfile.model_validate_json(Path(sys.argv[1]).read_text())
try:
    bridge(ProxmoxHypervisor(profile).console(NodeKey(*sys.argv[2:])).serial)
except PlateauError as problem:
    sys.exit(f"refused: {problem}")
print("left")
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Path]]:
    folder = tmp_path_factory.mktemp("pve")
    with cluster(folder, Wanted()) as made:
        yield made, folder / "profile.json"


@pytest.fixture
def place(shared: tuple[Place, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    place = shared[0]
    driver = ProxmoxHypervisor(place.profile)
    driver.ensure_segments([SegmentSpec(KEY.bench, "lan")], [SPEC], soon())
    driver.ensure_node(SPEC, soon())
    place.proxy.consoles.sizes.clear()
    yield place
    place.proxy.consoles.takes_tokens = True
    driver.delete(KEY, soon())
    driver.delete_segments(BenchKey(KEY.session, KEY.candidate), soon())


@pytest.fixture
def terminal(place: Place, shared: tuple[Place, Path]) -> Iterator[pexpect.spawn]:
    arguments = ["-c", PROGRAM, str(shared[1]), KEY.session, KEY.candidate, KEY.node]
    with pexpect.spawn(sys.executable, arguments, dimensions=(24, 80), timeout=20) as child:
        yield child


def soon() -> Deadline:
    return Deadline.after(30)


def test_serial_line_in_a_terminal(place: Place, terminal: pexpect.spawn) -> None:
    terminal.expect_exact("press Enter for a prompt, Ctrl-] to leave")
    terminal.expect_exact("login: ")
    terminal.send("root")
    terminal.expect_exact("ROOT")
    terminal.setwinsize(50, 132)
    terminal.send("ls")
    terminal.expect_exact("LS")
    terminal.send("x" * 3000)
    terminal.expect_exact("X" * 3000)
    assert place.proxy.consoles.sizes == [(80, 24), (132, 50)]
    terminal.send("\x1d")
    terminal.expect_exact("left")
    terminal.expect(pexpect.EOF)


def test_terminal_ends_with_the_line(terminal: pexpect.spawn) -> None:
    terminal.expect_exact("login: ")
    terminal.send("\x04")
    terminal.expect_exact("left")
    terminal.expect(pexpect.EOF)


def test_node_that_does_not_take_tokens_is_named(place: Place, terminal: pexpect.spawn) -> None:
    """Before qemu-server 9.1.7, termproxy hangs up on a token's ticket without a word."""
    place.proxy.consoles.takes_tokens = False
    terminal.expect(r"refused: .*ws: pve1 does not take a token's ticket for serial lines")
    place.proxy.consoles.takes_tokens = True


def test_machine_without_a_serial_port(place: Place) -> None:
    place.proxy.as_root("PUT", f"/nodes/pve1/qemu/{place.vmid(KEY)}/config", delete="serial0")
    with pytest.raises(HypervisorError, match="it has no serial port; use --vnc or --viewer"):
        ProxmoxHypervisor(place.profile).console(KEY).serial(soon())


def test_screen_at_a_local_port(place: Place) -> None:
    told: list[tuple[int, str]] = []
    ready = threading.Event()

    def tell(port: int, password: str) -> None:
        told.append((port, password))
        ready.set()

    screen = ProxmoxHypervisor(place.profile).console(KEY).screen
    assert screen is not None
    server = threading.Thread(target=serve_screen, args=(screen, tell))
    server.start()
    assert ready.wait(20)
    ((port, password),) = told
    assert password == "s3cr3t;~"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as viewer:
        assert re.match(rb"RFB 003\.008\n", viewer.recv(12))
        large = bytes(range(256)) * 2000  # in frames of less than the 128 KiB that pveproxy takes
        viewer.sendall(large)
        got = b""
        while len(got) < len(large):
            got += viewer.recv(65536)
        assert sorted(got) == sorted(large)
    server.join(20)
    assert not server.is_alive()


def test_ticket_opens_once(place: Place) -> None:
    driver = ProxmoxHypervisor(place.profile)
    stream = driver.console(KEY).serial(soon())
    stream.close()
    path = f"nodes/pve1/qemu/{place.vmid(KEY)}/vncwebsocket?port=5900&vncticket=PVEVNC%3A0"
    with pytest.raises(HypervisorError, match="no websocket: 401 permission denied - invalid PVEVNC ticket"):
        driver._client.websocket(path, soon())


def test_certificate_is_verified_before_the_token_is_sent(place: Place) -> None:
    before = sum(place.proxy.calls.values())
    for wrong in ({"ca_file": None}, {"ca_file": None, "fingerprint": ":".join(["00"] * 32)}):
        client = Client(place.profile.model_copy(update=wrong))
        with pytest.raises(EnvironmentLackError, match="certificate is not the one the profile trusts"):
            client.websocket("nodes/pve1/qemu/1/vncwebsocket?port=5900&vncticket=x", soon())
    assert sum(place.proxy.calls.values()) == before
