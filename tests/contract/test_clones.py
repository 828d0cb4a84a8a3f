"""The contract: clones of one image are different machines, at the right time, in isolated segments."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from drivers import MAIN, Machines, World, soon

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.base import NodeKey, Power


def pings(world: World, source: NodeKey, target: str) -> bool:
    return world.run(source, f"ping -c 1 -W 2 {target} >/dev/null 2>&1").exit_status == 0


@pytest.mark.guests
def test_clones_share_no_randomness(world: World, machines: Machines) -> None:
    read = "head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid"
    assert len({world.text(key, read) for key in vars(machines).values()}) == 4


@pytest.mark.guests
def test_clones_have_their_own_cards(world: World, machines: Machines) -> None:
    for key in vars(machines).values():
        assert world.text(key, "cat /sys/class/net/eth1/address") == world.spec(key).nics[0].mac


@pytest.mark.guests
def test_clock_is_right(world: World, machines: Machines) -> None:
    for key in vars(machines).values():
        before = time.time()
        told = float(world.text(key, "date +%s.%N"))
        assert before - 2 <= told <= time.time() + 2


@pytest.mark.only("qemu")
def test_clock_does_not_hang_on_what_was_measured_while_booting(world: World, machines: Machines) -> None:
    source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    assert world.text(machines.a, f"cat {source}") in {"acpi_pm", "kvm-clock"}
    began = time.monotonic()
    first = float(world.text(machines.a, "cut -d ' ' -f 1 /proc/uptime"))
    time.sleep(5)
    second = float(world.text(machines.a, "cut -d ' ' -f 1 /proc/uptime"))
    assert 4.5 <= second - first <= time.monotonic() - began + 0.5


@pytest.mark.guests
def test_segments_join_and_isolate(world: World, machines: Machines) -> None:
    assert pings(world, machines.a, MAIN["b"])
    assert not pings(world, machines.a, MAIN["c"])
    assert not pings(world, machines.c, MAIN["a"])


@pytest.mark.guests
def test_benches_are_isolated_too(world: World, machines: Machines) -> None:
    """The same segment name in another bench is another network."""
    other = world.key("a", "other")
    world.bring_up(world.spec(other))
    world.text(other, "ip link set eth1 up; ip address replace 10.99.0.9/24 dev eth1")
    assert not pings(world, other, MAIN["b"])
    assert not pings(world, machines.b, "10.99.0.9")
    world.hypervisor.delete(other, soon())
    world.hypervisor.delete_segments(other.bench, soon())
    assert pings(world, machines.a, MAIN["b"])


@pytest.mark.guests
def test_guests_reach_no_service_of_the_host(world: World, machines: Machines) -> None:
    """Neither what listens on the host's loopback address nor another machine's SSH port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for target in ("10.0.2.2", "127.0.0.1", "10.0.2.3"):
            assert world.run(machines.a, f"nc -z -w 2 {target} {port}").exit_status != 0
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    endpoint = world.hypervisor.status(machines.b).ssh
    assert endpoint is not None
    assert world.run(machines.a, f"nc -z -w 2 10.0.2.2 {endpoint[1]}").exit_status != 0


@pytest.mark.guests
def test_trunk_carries_both_segments(world: World, machines: Machines) -> None:
    world.text(
        machines.t,
        "ip link set eth1 up; for v in 10 20; do ip link add link eth1 name eth1.$v type vlan id $v;"
        f" ip link set eth1.$v up; done; ip address replace {MAIN['t']}/24 dev eth1.10",
    )
    assert pings(world, machines.t, MAIN["a"])
    assert not pings(world, machines.t, MAIN["c"])
    world.text(machines.t, f"ip address flush dev eth1.10; ip address replace {MAIN['t']}/24 dev eth1.20")
    assert pings(world, machines.t, MAIN["c"])
    assert not pings(world, machines.t, MAIN["a"])
    # A card that filters VLANs in "hardware" forgets them when it is brought back.
    world.hypervisor.snapshot(machines.t, "tagged", soon())
    world.hypervisor.rollback(machines.t, "tagged", soon())
    world.hypervisor.wait_agent(machines.t, soon())
    assert pings(world, machines.t, MAIN["c"])


@pytest.mark.guests
def test_cable_is_pulled_and_plugged(world: World, machines: Machines) -> None:
    world.hypervisor.set_link(machines.b, 0, False, soon())
    assert world.text(machines.b, "cat /sys/class/net/eth1/carrier") == "0"
    assert not pings(world, machines.a, MAIN["b"])
    world.hypervisor.set_link(machines.b, 0, True, soon())
    assert world.text(machines.b, "sleep 0.5; cat /sys/class/net/eth1/carrier") == "1"
    assert pings(world, machines.a, MAIN["b"])


@pytest.mark.guests
def test_key_is_pressed(world: World, machines: Machines) -> None:
    world.text(machines.b, "modprobe evdev; (timeout 60 head -c 24 /dev/input/event0 >/run/key &) >/dev/null 2>&1")

    def seen() -> bool:
        world.hypervisor.press(machines.b, "f1", soon())
        return world.text(machines.b, "stat -c %s /run/key") == "24"

    Deadline.after(60).poll(lambda: seen() or None, "the key", interval=0.5)


@pytest.mark.guests
def test_sleeping_machine_is_woken(world: World, machines: Machines) -> None:
    hypervisor, key = world.hypervisor, machines.b
    assert not hypervisor.asleep(key, soon())
    world.text(key, "touch /run/before; (sleep 1; systemctl suspend) >/dev/null 2>&1 &")
    soon().poll(lambda: hypervisor.asleep(key, soon()) or None, "its sleep")
    assert hypervisor.status(key).power is Power.RUNNING
    hypervisor.start(key, soon())
    assert not hypervisor.asleep(key, soon())
    hypervisor.wait_agent(key, soon())
    world.text(key, "test -e /run/before")  # its memory was kept
    assert pings(world, machines.a, MAIN["b"])
    hypervisor.start(key, soon())  # nothing happens to one that is awake


@pytest.mark.guests
def test_snapshot_brings_back_disk_and_memory(world: World, machines: Machines) -> None:
    hypervisor, key = world.hypervisor, machines.b
    world.text(key, "echo one >/root/state; nohup sleep 98765 >/dev/null 2>&1 & echo $! >/run/sleeper")
    hypervisor.snapshot(key, "kept", soon())
    hypervisor.snapshot(key, "kept", soon())
    assert hypervisor.snapshots(key, soon()) == ["kept"]
    first = world.text(key, "head -c 16 /dev/urandom | od -An -tx1")
    up = float(world.text(key, "cut -d ' ' -f 1 /proc/uptime"))
    world.text(key, "rm /root/state; kill $(cat /run/sleeper); sync; sleep 8")
    began = time.time()
    hypervisor.rollback(key, "kept", soon())
    hypervisor.wait_agent(key, soon())
    # The undone time is not seen by the guest's services: their watchdogs run on the monotonic clock.
    assert float(world.text(key, "cut -d ' ' -f 1 /proc/uptime")) < up + 4 + (time.time() - began)
    assert world.text(key, "cat /root/state") == "one"
    assert "sleep" in world.text(key, "tr '\\0' ' ' </proc/$(cat /run/sleeper)/cmdline")
    assert float(world.text(key, "date +%s.%N")) >= began - 2
    assert world.text(key, "head -c 16 /dev/urandom | od -An -tx1") != first
    assert pings(world, machines.a, MAIN["b"])


def test_unknown_snapshot(world: World, machines: Machines) -> None:
    with pytest.raises(HypervisorError, match="no snapshot 'nothing'; it has: "):
        world.hypervisor.rollback(machines.b, "nothing", soon())
    assert world.text(machines.b, "echo untouched") == "untouched"


def test_snapshots_have_names_and_are_replaced(world: World, machines: Machines) -> None:
    hypervisor, key = world.hypervisor, machines.c
    assert hypervisor.snapshots(key, soon()) == []
    for name in ("one", "two", "one"):
        hypervisor.snapshot(key, name, soon())
    assert sorted(hypervisor.snapshots(key, soon())) == ["one", "two"]
    hypervisor.rollback(key, "two", soon())
    assert hypervisor.status(key).power is Power.RUNNING
    hypervisor.wait_agent(key, soon())


@pytest.mark.only("qemu")
def test_a_closed_machine_answers_to_this_computer_alone(world: World, machines: Machines) -> None:
    hypervisor, key = world.hypervisor, machines.c
    before, screen = hypervisor.status(key).ssh, hypervisor.console(key).vnc
    assert before is not None
    hypervisor.snapshot(key, "bell", soon())
    hypervisor.rollback(key, "bell", soon(), closed=True)
    closed = hypervisor.status(key)
    assert closed.closed
    assert closed.ssh is not None
    assert closed.ssh[0] == "127.0.0.1"
    assert not {before, screen} & {closed.ssh, hypervisor.console(key).vnc}
    socket.create_connection(closed.ssh, 10).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(before, 10)
    hypervisor.stop(key, soon(), force=True)
    hypervisor.start(key, soon())
    assert hypervisor.status(key).ssh == closed.ssh, "a restart does not open it"
    hypervisor.rollback(key, "bell", soon())
    opened = hypervisor.status(key)
    assert (opened.ssh, opened.closed, hypervisor.console(key).vnc) == (before, False, screen)
    socket.create_connection(before, 10).close()


@pytest.mark.only("proxmox")
def test_console_page(world: World, machines: Machines) -> None:
    pages = [world.hypervisor.console(key).url or "" for key in vars(machines).values()]
    assert all(page.startswith("https://127.0.0.1:") and "novnc=1" in page for page in pages)
    assert len(set(pages)) == 4


def test_serial_line_answers(world: World, machines: Machines) -> None:
    line = world.hypervisor.console(machines.a).serial(soon())
    try:
        line.resize(80, 24)
        line.send(b"\r")
        assert line.receive(soon())
    finally:
        line.close()


@pytest.mark.only("qemu")
def test_console(world: World, machines: Machines) -> None:
    console = world.hypervisor.console(machines.a)
    assert console.vnc is not None
    assert console.vnc_password
    with socket.create_connection(console.vnc, timeout=10) as screen:
        assert re.match(rb"RFB 003\.\d{3}\n", screen.recv(12))
    others = {world.hypervisor.console(key).vnc_password for key in (machines.b, machines.c)}
    assert console.vnc_password not in others


@pytest.mark.guests
def test_ssh_port_answers(world: World, machines: Machines) -> None:
    endpoint = world.hypervisor.status(machines.a).ssh
    assert endpoint is not None
    with socket.create_connection(endpoint, timeout=20) as stream:
        assert stream.recv(4) == b"SSH-"


@pytest.mark.only("qemu")
def test_taken_port_is_given_up(world: World) -> None:
    hypervisor, key = world.hypervisor, world.key("port", "life")
    spec = world.spec(key)
    hypervisor.ensure_segments(world.segments(key.bench), [spec], soon())
    endpoint = hypervisor.ensure_node(spec, soon()).ssh
    assert endpoint is not None
    with socket.create_server(endpoint):
        hypervisor.start(key, soon())
        hypervisor.wait_agent(key, soon())
        moved = hypervisor.status(key).ssh
    assert moved is not None
    assert moved != endpoint
    hypervisor.delete(key, soon())
    hypervisor.delete_segments(key.bench, soon())


@pytest.mark.only("qemu")
def test_strangers_process_is_left_alone(world: World) -> None:
    """A process that looks like one of ours, but names nothing of ours."""
    key = world.key("look", "other")
    name = (
        f"qemu-system-x86_64 -name {world.session}/other/look -pidfile /elsewhere/{world.session}/other/look/qemu.pid"
    )
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", *name.split()]) as stranger:
        try:
            world.hypervisor.ensure_node(world.spec(key), soon())
            assert not any(f"process {stranger.pid}:" in what for what in world.hypervisor.leftovers(world.session))
            world.hypervisor.delete(key, soon())
            world.hypervisor.delete_segments(key.bench, soon())
            assert stranger.poll() is None
        finally:
            os.kill(stranger.pid, 9)


def test_capacity_says_what_the_host_has(world: World, machines: Machines) -> None:
    (host,) = world.hypervisor.capacity()
    assert host.cores >= 1
    assert 0 < host.memory_free_mb <= host.memory_total_mb
    assert host.disk_free_mb > 0
    assert host.free_ports > 0
    assert machines.a in {status.key for status in world.hypervisor.list_nodes()}
