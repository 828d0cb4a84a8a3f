"""The main path on real machines, through the command line: up, grade, solve, grade, freeze, reset, down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from place import PLATEAU, Place, document, plateau, run

from labs.deadline import Deadline
from labs.hypervisors.qemu.machine import Machine
from labs.paths import ROOT, state_dir


def ssh(session: Path, node: str, command: str) -> str:
    answer = plateau("ssh", session, "alex", node, command)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def up_while_another_up_runs(session: Path) -> None:
    """The first brings the bench up; the second, meanwhile, is refused and told by whom."""
    command = [*PLATEAU, "up", str(session), "--json"]
    lock = session.with_name("session.lock")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        Deadline.after(60).poll(lambda: (lock.exists() and lock.read_text()) or None, "the lock", interval=0.02)
        second = plateau("up", session)
        output, errors = first.communicate(timeout=400)
    assert first.returncode == 0, errors
    assert second.returncode == 3
    assert second.stderr.count("\n") == 1
    assert f"`plateau up` (pid {first.pid}" in second.stderr
    found = json.loads(output)
    assert found["changed"] == 4
    assert {node["state"] for node in found["nodes"]} == {"ready"}


def expect_what_a_candidate_gets(session: Path) -> None:
    """Subject and access sheet are there, and say nothing of the grader's."""
    folder = session.with_name("access") / "alex"
    names = {path.name for path in folder.iterdir()}
    assert {"acces.md", "acces.html", "sujet.md", "sujet.html"} <= names
    grader = session.with_name("keys").joinpath("grader.pub").read_text().split()[1]
    for path in folder.iterdir():
        text = path.read_text()
        assert grader not in text
        assert "probe" not in text or path.stem != "acces"
    assert "candidat" in (folder / "acces.md").read_text()


def expect_inventory_to_work_by_hand(session: Path) -> None:
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(session.with_name("hosts.yml"))]
    answer = run(command, "all", "-m", "ansible.builtin.raw", "-a", "hostname")
    assert answer.returncode == 0
    for node in ("rtr", "srv", "ws", "probe"):
        assert f"\n{node}\n" in answer.stdout.replace("\r", "")


def graded(session: Path, status: int) -> dict[str, object]:
    summary = document(plateau("grade", session, "--json"), status)
    (candidate,) = summary["candidates"]
    assert candidate["final"]
    documents = {name: Path(path) for name, path in summary["documents"].items()}
    assert {"report.html", "junit.xml", "marks.csv"} <= documents.keys()
    assert all(path.stat().st_size > 0 for path in documents.values())
    assert documents["report.html"].with_name("records.jsonl").is_file()
    return candidate


def test_main_path(place: Place) -> None:
    session = place.session("reseau")
    up_while_another_up_runs(session)
    expect_what_a_candidate_gets(session)
    expect_inventory_to_work_by_hand(session)
    assert "1 received" in ssh(session, "ws", "LC_ALL=C runuser -u candidat -- ping -c 1 127.0.0.1")
    assert len({ssh(session, node, "cat /etc/machine-id") for node in ("rtr", "srv", "ws", "probe")}) == 4

    untouched = graded(session, status=1)
    assert untouched["points"] == 0
    assert untouched["max_points"] == 100

    assert plateau("solve", session).returncode == 0
    solved = graded(session, status=0)
    assert solved["points"] == solved["max_points"]
    assert document(plateau("report", session, "--json"))["candidates"][0]["points"] == solved["points"]

    assert document(plateau("up", session, "--json"))["changed"] == 0
    expect_a_fault_to_be_seen_and_repaired(session)

    expect_the_bell_to_ring_once(session)
    assert "eth1" in ssh(session, "ws", "ip -4 -o address show dev eth1")

    assert plateau("reset", session, "alex").returncode == 0
    assert ssh(session, "ws", "ip -4 -o address show dev eth1") == ""
    assert document(plateau("up", session, "--json"))["changed"] == 0

    expect_pytest_to_grade_without_the_cli(session)
    expect_dead_machine_to_come_back(place, session)

    found = document(plateau("down", session, "--json"))
    assert (found["deleted"], found["left"]) == (4, [])
    assert place.left() == []
    assert len(list(session.with_name("results").glob("*/report.html"))) == 6
    assert plateau("grade", session).returncode == 2


def expect_a_fault_to_be_seen_and_repaired(session: Path) -> None:
    """The caller tells symptoms; the fault's checks are red; a second time it is there already; `solve` repairs it."""
    told = document(plateau("break", session, "F02", "--json"))
    assert "intranet" in told["calls"]["alex"]
    assert plateau("grade", session, "--check", "CP03-S2.a", "--no-reboot").returncode == 4, (
        "one check is not all marks"
    )
    assert last_verdicts(session) == {"CP03-S2.a": "failed"}
    assert "holds before `run`" in plateau("break", session, "F02").stderr
    assert plateau("solve", session).returncode == 0
    assert plateau("grade", session, "--check", "CP03-S2.a", "--no-reboot").returncode == 4
    assert last_verdicts(session) == {"CP03-S2.a": "passed"}


def expect_the_bell_to_ring_once(session: Path) -> None:
    """A second freeze leaves machines as they were at the first; they go back there, and are graded as they were."""
    late = "test -e /root/later && echo there || echo gone"
    assert "4 machines frozen; go back" in plateau("freeze", session).stdout
    ssh(session, "ws", "echo later >/root/later; sync")
    assert "0 machines frozen; 4 were frozen before" in plateau("freeze", session).stdout
    assert plateau("reset", session, "alex", "--to", "frozen").returncode == 0
    assert ssh(session, "ws", late) == "gone"
    ssh(session, "ws", "echo later >/root/later; sync; ip address flush dev eth1")
    assert plateau("grade", session, "--frozen", "--check", "CP03-S2.a", "--no-reboot").returncode == 4
    assert last_verdicts(session) == {"CP03-S2.a": "passed"}
    assert ssh(session, "ws", late) == "gone"


def last_verdicts(session: Path) -> dict[str, str]:
    newest = max(session.with_name("results").iterdir(), key=lambda path: path.name)
    records = [json.loads(line) for line in (newest / "records.jsonl").read_text().splitlines()]
    return {one["check"]: one["verdict"] for one in records if one["kind"] == "record"}


def expect_pytest_to_grade_without_the_cli(session: Path) -> None:
    command = [sys.executable, "-m", "pytest", str(ROOT / "graders"), "-q", "-p", "no:cacheprovider"]
    answer = run(command, "--session", session, "--no-reboot", "-k", "routing")
    assert answer.returncode == 1
    assert "CP06-S5.a" in last_verdicts(session)
    newest = max(session.with_name("results").iterdir(), key=lambda path: path.name)
    assert (newest / "report.html").is_file()


def expect_dead_machine_to_come_back(place: Place, session: Path) -> None:
    """A machine whose process died is seen, and started again with its disk."""
    ssh(session, "ws", "echo kept >/root/kept; sync")
    (node,) = (status.key for status in place.nodes() if status.key.node == "ws")
    pid = Machine(state_dir() / "qemu" / node.session / node.candidate / node.node).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    states = {one["node"]: one["state"] for one in document(plateau("status", session, "--json"), 1)["nodes"]}
    assert states == {"rtr": "ready", "srv": "ready", "ws": "stopped", "probe": "ready"}
    assert document(plateau("up", session, "--json"))["changed"] == 1
    assert ssh(session, "ws", "cat /root/kept") == "kept"
