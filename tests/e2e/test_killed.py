"""`up` and `down` killed with SIGKILL at every transition of the journal, then run again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from place import CANDIDATE, Place, document, killed, minimal, plateau

TRANSITIONS = 40
"""More than a machine ever needs; the loop ends when a run is not killed any more."""
Command = Callable[..., subprocess.CompletedProcess[str]]


def converges(place: Place, command: Command, session: Path, machines: int) -> None:
    """A new process brings everything up, once."""
    found = document(command("up", session, "--json"))
    assert {node["state"] for node in found["nodes"]} == {"ready"}
    assert len(found["nodes"]) == machines
    assert found["errors"] == {}
    assert place.processes() == {"machines": machines, "switches": 1, "all": machines + 1}
    assert all(node.ready for node in place.nodes())


def vanishes(place: Place, command: Command, session: Path) -> None:
    found = document(command("down", session, "--json"))
    assert found["left"] == []
    assert place.left() == []


def test_every_transition(place: Place) -> None:
    """One machine: `up` is killed after each write in turn, and `down` as long as it has as many writes."""
    session = place.session("minimal")
    killed_up, killed_down = 0, 0
    for write in range(1, TRANSITIONS):
        first = minimal("up", session, kill_after=write)
        assert first.returncode in {0, -9}
        if first.returncode == 0:
            break
        killed_up += 1
        converges(place, minimal, session, machines=1)
        killed_down += minimal("down", session, kill_after=write).returncode == -9
        vanishes(place, minimal, session)
    vanishes(place, minimal, session)
    assert killed_up == 14
    assert killed_down == 4


@pytest.mark.parametrize(("write", "delay"), [(3, 0.03), (5, 0.02), (5, 0.15), (5, 0.4), (9, 0.1)], ids=str)
def test_in_the_middle_of_an_action(place: Place, write: int, delay: float) -> None:
    """Killed while a machine is created (3), started (5) or configured (9), not only between two actions."""
    session = place.session("minimal")
    minimal("up", session, kill_after=write, delay=delay)
    converges(place, minimal, session, machines=1)
    vanishes(place, minimal, session)


def test_machine_that_is_half_recreated(place: Place) -> None:
    """Killed twice: the second run was about to make again what the first had left unfinished."""
    session = place.session("minimal")
    assert minimal("up", session, kill_after=6).returncode == -9
    for write in (3, 4, 5):
        assert minimal("up", session, kill_after=write).returncode == -9
    converges(place, minimal, session, machines=1)
    document(minimal("status", session, "--json"))
    vanishes(place, minimal, session)


def test_down_removes_what_a_killed_up_left(place: Place) -> None:
    session = place.session("minimal")
    assert minimal("up", session, kill_after=7).returncode == -9
    vanishes(place, minimal, session)


def test_while_it_is_prepared(place: Place) -> None:
    """Killed in the middle of a version's playbook (13), and after it (14): not ready, so made again from its image.

    A machine that is ready is not prepared again, whatever its candidate did with it; one that is reset is.
    """

    def prepared() -> str:
        return minimal("ssh", session, CANDIDATE, "ws", "cat /etc/preparations").stdout

    session = place.session("minimal", training="court")
    assert minimal("up", session, kill_after=13, delay=2.5).returncode == -9
    assert [node.ready for node in place.nodes()] == [False]
    assert minimal("up", session, kill_after=16).returncode == -9  # its first write deletes the machine
    assert [node.ready for node in place.nodes()] == [False]
    converges(place, minimal, session, machines=1)
    assert prepared() == "prepared\n"
    assert minimal("ssh", session, CANDIDATE, "ws", "echo mine >>/etc/preparations").returncode == 0
    assert document(minimal("up", session, "--json"))["changed"] == 0
    assert prepared() == "prepared\nmine\n"
    assert minimal("reset", session, CANDIDATE).returncode == 0
    assert prepared() == "prepared\n"
    vanishes(place, minimal, session)


@pytest.mark.parametrize("write", [9, 31])
def test_whole_lab(place: Place, write: int) -> None:
    """Four machines in parallel, killed early and late."""
    session = place.session("reseau")
    killed("up", session, after=write)
    converges(place, plateau, session, machines=4)
    vanishes(place, plateau, session)
