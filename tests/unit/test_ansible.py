"""labs.ansible with a real ansible-playbook on this machine: outcome, first failure, deadline, nothing left behind."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from labs import ansible_child
from labs.ansible import PlaybookError, environment, run_playbook
from labs.deadline import Deadline
from labs.errors import DeadlineError, InterruptedRunError, PlateauError


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(
        "all: {vars: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3}, "
        "hosts: {one: {}, two: {}}}"
    )
    return path


def playbook(tmp_path: Path, tasks: str) -> Path:
    path = tmp_path / "play.yml"
    path.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
    return path


def test_counts_and_progress(tmp_path: Path, inventory: Path) -> None:
    play = playbook(
        tmp_path,
        "    - {name: same, ansible.builtin.command: {cmd: 'true'}, changed_when: false}\n"
        "    - {name: new, ansible.builtin.command: 'echo {{ word }}'}\n",
    )
    seen: list[tuple[str, str, str]] = []
    summary = run_playbook(
        play,
        inventory,
        Deadline.after(60),
        limit=["one"],
        variables={"word": "hello"},
        progress=lambda *event: seen.append(event),
    )
    assert set(summary.hosts) == {"one"}
    assert (summary.hosts["one"].ok, summary.hosts["one"].changed, summary.changed) == (2, 1, 1)
    assert [event for event in seen if event[2] != "started"] == [("same", "one", "ok"), ("new", "one", "changed")]


def test_first_failure_in_one_line(tmp_path: Path, inventory: Path) -> None:
    play = playbook(
        tmp_path, "    - {name: broken, ansible.builtin.command: {cmd: 'sh -c \"echo why >&2; exit 3\"'}}\n"
    )
    with pytest.raises(PlaybookError) as caught:
        run_playbook(play, inventory, Deadline.after(60), limit=["two"])
    assert str(caught.value) == "play.yml: broken: two: why"


def test_syntax_error_is_told(tmp_path: Path, inventory: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text("- hosts: all\n  tasks: [{nosuchmodule: {}}]\n")
    with pytest.raises(PlateauError, match="nosuchmodule"):
        run_playbook(play, inventory, Deadline.after(60))


def test_no_host_matches(tmp_path: Path, inventory: Path) -> None:
    play = playbook(tmp_path, "    - {ansible.builtin.command: {cmd: 'true'}}\n")
    with pytest.raises(PlateauError, match="no hosts"):
        run_playbook(play, inventory, Deadline.after(60), limit=["three"])


def test_plays_without_a_host_are_passed_over(tmp_path: Path, inventory: Path) -> None:
    play = tmp_path / "play.yml"
    task = "{ansible.builtin.command: 'true'}"
    play.write_text("".join(f"- {{hosts: {one}, gather_facts: false, tasks: [{task}]}}\n" for one in ("one", "two")))
    assert set(run_playbook(play, inventory, Deadline.after(60), limit=["two"], partial=True).hosts) == {"two"}
    (tmp_path / "play.yml").write_text(f"- {{hosts: one, gather_facts: false, tasks: [{task}]}}\n")
    assert run_playbook(play, inventory, Deadline.after(60), limit=["two"], partial=True).hosts == {}
    with pytest.raises(PlateauError, match="no host of the inventory matches"):
        run_playbook(play, inventory, Deadline.after(60), limit=["two"])


def test_deadline_ends_everything(tmp_path: Path, inventory: Path) -> None:
    marker = "61.2357"
    play = playbook(tmp_path, f"    - {{name: wait, ansible.builtin.command: {{cmd: 'sleep {marker}'}}}}\n")
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"play\.yml: still running at the deadline.* \(one at 'wait'\)"):
        run_playbook(play, inventory, Deadline.after(6), limit=["one"])
    assert time.monotonic() - started < 20
    left = subprocess.run(["pgrep", "-f", f"sleep {marker}|{play}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_what_waits_for_a_failed_machine_is_not_waited_for(tmp_path: Path, inventory: Path) -> None:
    path = tmp_path / "play.yml"
    path.write_text(
        "- hosts: all\n  gather_facts: false\n  strategy: free\n  tasks:\n"
        "    - {name: broken, ansible.builtin.command: {cmd: 'false'}, when: inventory_hostname == 'one'}\n"
        "    - {name: waits, ansible.builtin.command: {cmd: 'sleep 40'}, when: inventory_hostname == 'two'}\n"
    )
    started = time.monotonic()
    with pytest.raises(PlaybookError, match=r"broken: one"):
        run_playbook(path, inventory, Deadline.after(60), fail_fast=True)
    assert time.monotonic() - started < 30


def test_cut_short(tmp_path: Path, inventory: Path) -> None:
    play = playbook(tmp_path, "    - {name: wait, ansible.builtin.command: {cmd: 'sleep 40'}}\n")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError, match=r"play\.yml: cut short"):
        run_playbook(play, inventory, Deadline.after(60), cancelled=cancelled)


def test_the_users_ansible_settings_do_not_leak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", "host_pinned")
    monkeypatch.setenv("ANSIBLE_CONFIG", "/nowhere")
    seen = environment(tmp_path)
    assert "ANSIBLE_STRATEGY" not in seen
    assert seen["ANSIBLE_CONFIG"].endswith("playbooks/ansible.cfg")


def test_unknown_playbook(inventory: Path) -> None:
    with pytest.raises(PlaybookError, match="no such playbook"):
        run_playbook("solutions/nowhere.yml", inventory, Deadline.after(5))


def test_what_a_command_wrote_is_told_and_not_that_ssh_left_its_connection() -> None:
    said = {
        "msg": "non-zero return code",
        "stderr": "Shared connection to 127.0.0.1 closed.\r\n",
        "stdout": "State  disconnected\r\n",
    }
    assert ansible_child.message(said) == "State disconnected"
    assert ansible_child.message({**said, "stdout": ""}) == "non-zero return code"
