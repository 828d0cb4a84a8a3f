"""The contract: machines come, run, keep their disk, and go."""

from __future__ import annotations

import time

import pytest
from drivers import READ_BOOT, Machines, World, soon

from labs.deadline import Deadline
from labs.errors import DeadlineError, EnvironmentLackError, HypervisorError
from labs.hypervisors.base import Power


def test_life_of_a_node(world: World) -> None:
    hypervisor, key = world.hypervisor, world.key("node", "life")
    spec = world.spec(key)
    assert hypervisor.status(key).power is Power.ABSENT
    assert [status.key for status in hypervisor.list_nodes(world.session) if status.key.bench == key.bench] == []

    hypervisor.ensure_segments(world.segments(key.bench), [spec], soon())
    assert hypervisor.ensure_node(spec, soon()).power is Power.STOPPED
    with pytest.raises(HypervisorError):
        hypervisor.execute(key, ["true"], soon())
    began = time.time()
    hypervisor.start(key, soon())
    hypervisor.wait_agent(key, soon())
    status = hypervisor.status(key)
    assert status.power is Power.RUNNING
    assert not status.ready
    assert status.since is not None
    assert began - 1 <= status.since <= time.time() + 1

    result = hypervisor.execute(
        key, ["/bin/sh", "-c", "cat; echo words >&2; exit 7"], soon(), stdin=b"h\xc3\xa9\x00llo"
    )
    assert (result.exit_status, result.stdout, result.stderr) == (7, b"h\xc3\xa9\x00llo", b"words\n")
    hypervisor.mark_ready(key)
    assert hypervisor.status(key).ready

    world.text(key, "echo kept >kept; sync")
    boot = world.boot_id(key)
    hypervisor.stop(key, soon())
    stopped = hypervisor.status(key)
    assert (stopped.power, stopped.ready) == (Power.STOPPED, True)
    hypervisor.start(key, soon())
    hypervisor.wait_agent(key, soon())
    assert world.text(key, "cat kept") == "kept"
    assert world.boot_id(key) != boot

    hypervisor.delete(key, soon())
    assert hypervisor.status(key).power is Power.ABSENT
    hypervisor.delete_segments(key.bench, soon())
    assert [what for what in hypervisor.leftovers(world.session) if "/life" in what] == []


def test_operations_can_be_repeated(world: World, machines: Machines) -> None:
    hypervisor, key = world.hypervisor, machines.a
    before = hypervisor.status(key)
    assert hypervisor.ensure_node(world.spec(key), soon()) == before
    hypervisor.start(key, soon())
    hypervisor.mark_ready(key)
    hypervisor.mark_ready(key)
    after = hypervisor.status(key)
    assert (after.since, after.power, after.ssh) == (before.since, Power.RUNNING, before.ssh)

    absent = world.key("absent", "other")
    for _ in range(2):
        hypervisor.delete(absent, soon())
        hypervisor.delete_segments(absent.bench, soon())
    stopped = world.spec(absent)
    for _ in range(2):
        hypervisor.ensure_segments(world.segments(absent.bench), [stopped], soon())
        hypervisor.ensure_node(stopped, soon())
        hypervisor.stop(absent, soon())
        hypervisor.stop(absent, soon(), force=True)
    for _ in range(2):
        hypervisor.delete(absent, soon())
        hypervisor.delete_segments(absent.bench, soon())
    assert hypervisor.status(absent).power is Power.ABSENT


def test_a_node_is_never_silently_changed(world: World, machines: Machines) -> None:
    with pytest.raises(HypervisorError, match="another specification"):
        world.hypervisor.ensure_node(world.spec(machines.a, segment="wan"), soon())


def test_what_does_not_exist_is_named(world: World) -> None:
    absent = world.key("nobody")
    for refused in (
        lambda: world.hypervisor.start(absent, soon()),
        lambda: world.hypervisor.stop(absent, soon()),
        lambda: world.hypervisor.mark_ready(absent),
        lambda: world.hypervisor.wait_agent(absent, soon()),
        lambda: world.hypervisor.execute(absent, ["true"], soon()),
        lambda: world.hypervisor.snapshot(absent, "s", soon()),
        lambda: world.hypervisor.console(absent),
    ):
        with pytest.raises(HypervisorError, match="nobody"):
            refused()


def test_missing_image_is_an_error_that_says_how(world: World) -> None:
    key = world.key("early", "other")
    with world.without_images():
        hypervisor = world.open()
        assert "image ws-trixie" in hypervisor.missing([world.spec(key)])
        with pytest.raises(EnvironmentLackError, match="plateau image build ws"):
            hypervisor.ensure_node(world.spec(key), soon())
    assert hypervisor.status(key).power is Power.ABSENT
    hypervisor.delete(key, soon())
    hypervisor.delete_segments(key.bench, soon())


def test_a_new_controller_finds_everything(world: World, machines: Machines) -> None:
    again = world.open()
    found = {status.key: status.power for status in again.list_nodes(world.session) if status.key.candidate == "main"}
    assert found == dict.fromkeys((machines.a, machines.b, machines.c, machines.t), Power.RUNNING)
    assert again.execute(machines.b, ["/bin/echo", "here"], soon()).text == "here\n"
    assert set(again.list_nodes(world.session)) <= set(again.list_nodes())


def test_other_sessions_are_left_alone(world: World, machines: Machines) -> None:
    hypervisor = world.hypervisor
    # A session whose id begins like ours, with a bench and a node of the same name.
    foreign = world.key("a", "main", session=f"{world.session}-2")
    hypervisor.ensure_node(world.spec(foreign), soon())
    assert foreign not in {status.key for status in hypervisor.list_nodes(world.session)}
    hypervisor.delete(world.key("a2"), soon())
    hypervisor.delete_segments(foreign.bench, soon())
    assert hypervisor.status(machines.a).power is Power.RUNNING
    assert world.text(machines.a, "echo still here") == "still here"
    assert hypervisor.leftovers(foreign.session) == []


def test_power_cut_behind_our_back(world: World) -> None:
    hypervisor, key = world.hypervisor, world.key("cut", "life")
    world.bring_up(world.spec(key))
    world.kill(key)
    Deadline.after(10).poll(lambda: hypervisor.status(key).power is Power.STOPPED or None, "the end")
    for refused in (
        lambda: hypervisor.execute(key, ["true"], soon()),
        lambda: hypervisor.wait_agent(key, soon()),
        lambda: hypervisor.snapshot(key, "s", soon()),
    ):
        with pytest.raises(HypervisorError, match="cut"):
            refused()
    hypervisor.delete(key, soon())
    assert hypervisor.status(key).power is Power.ABSENT
    hypervisor.delete_segments(key.bench, soon())


def test_deadline_of_a_command_and_the_agent_after_it(world: World, machines: Machines) -> None:
    began = time.monotonic()
    with pytest.raises((DeadlineError, HypervisorError)):
        world.run(machines.c, "sleep 30", seconds=1)
    assert time.monotonic() - began < 5
    assert world.text(machines.c, "echo well") == "well"


def test_large_output_arrives_whole(world: World, machines: Machines) -> None:
    result = world.run(machines.c, "head -c 1000000 /dev/zero | tr '\\0' x")
    assert len(result.stdout) == 1_000_000


@pytest.mark.guests
def test_reset_button(world: World, machines: Machines) -> None:
    boot = world.text(machines.c, READ_BOOT)
    with world.hypervisor.restarts(machines.c, soon()) as seen:
        assert not seen()
        world.hypervisor.reset(machines.c, soon())
        soon().poll(lambda: seen() is not False or None, "the restart, seen from outside")

    def rebooted() -> bool | None:
        try:
            answer = world.hypervisor.execute(
                machines.c, ["/bin/cat", "/proc/sys/kernel/random/boot_id"], Deadline.after(3)
            )
        except (HypervisorError, DeadlineError):
            return None
        return answer.text.strip() != boot or None

    soon().poll(rebooted, "the boot after the reset", interval=0.5)
    # The agent may answer before the last card is there.
    world.text(
        machines.c,
        "until ip link set eth1 up 2>/dev/null; do sleep 0.2; done; ip address replace 10.99.0.3/24 dev eth1",
    )
