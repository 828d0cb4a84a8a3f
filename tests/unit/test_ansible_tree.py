"""plateau_tree with a real Ansible on this machine: files, idempotence, one look at systemctl for all units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labs.ansible import PlaybookError, Summary, run_playbook
from labs.deadline import Deadline

FAKE_SYSTEMCTL = """#!/bin/sh
echo "$@" >>{log}
case "$1" in
is-active) shift; for unit; do [ -e {state}/$unit ] && echo active || echo inactive; done;;
is-enabled) shift; for unit; do echo enabled; done;;
start|restart)
  shift
  for unit; do
    [ "$unit" != broken ] || {{ echo "Job for broken failed." >&2; exit 1; }}
    touch {state}/$unit
  done;;
esac
"""


class Machine:
    """This machine in the part of a lab machine: a root folder, and a systemctl that writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.log = folder, folder / "root", folder / "log"
        role = folder / "roles" / "some"
        self.tree = role / "tree"
        for path in (self.root, self.tree, role / "tasks", folder / "bin", folder / "state"):
            path.mkdir(parents=True)
        program = folder / "bin" / "systemctl"
        program.write_text(FAKE_SYSTEMCTL.format(log=self.log, state=folder / "state"))
        program.chmod(0o755)
        self.inventory = folder / "hosts.yml"
        self.inventory.write_text(
            "all: {vars: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3, town: Épinal}, "
            "hosts: {one: {}}}"
        )

    def put(self, name: str, text: str) -> None:
        path = self.tree / str(self.root).lstrip("/") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def apply(self, **options: object) -> Summary:
        tasks = [
            {
                "plateau_tree": options,
                "environment": {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"},
            }
        ]
        (self.tree.parent / "tasks" / "main.yml").write_text(json.dumps(tasks))
        play = self.folder / "play.yml"
        play.write_text("- {hosts: all, gather_facts: false, roles: [some]}\n")
        self.log.write_text("")
        return run_playbook(play, self.inventory, Deadline.after(60))

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_files_then_services_and_nothing_the_second_time(machine: Machine) -> None:
    machine.put("etc/a.conf.j2", "town {{ town | upper }}\n")
    machine.put("etc/plain.conf", "{{ left alone }}\n")
    services = {"alpha": [str(machine.root / "etc" / "a.conf")], "beta": [str(machine.root / "etc")]}
    assert machine.apply(services=services).changed == 1
    assert (machine.root / "etc" / "a.conf").read_text() == "town ÉPINAL\n"
    assert (machine.root / "etc" / "plain.conf").read_text() == "{{ left alone }}\n"
    assert machine.asked == ["is-active alpha beta", "is-enabled alpha beta", "restart alpha beta"]

    assert machine.apply(services=services).changed == 0
    assert machine.asked == ["is-active alpha beta", "is-enabled alpha beta"]

    machine.put("etc/plain.conf", "other\n")
    assert machine.apply(services=services, reload=["beta"]).changed == 1
    assert machine.asked[2:] == ["reload beta"]


def test_what_the_others_need_is_started_before_them(machine: Machine) -> None:
    machine.apply(services={"beta": [], "networking": []}, first=["networking"])
    assert machine.asked[2:] == ["restart networking", "restart beta"]


def test_remove(machine: Machine) -> None:
    old = machine.root / "old.conf"
    old.write_text("x")
    assert machine.apply(remove=[str(old), str(machine.root / "never")]).changed == 1
    assert not old.exists()


def test_packages_that_are_missing_come_first(machine: Machine) -> None:
    for name, text in (
        ("dpkg-query", "echo 'alpha installed'\n"),
        ("apt-get", f'echo "apt-get $*" >>{machine.log}\n[ "$2" != install ] || [ "$5" != broken ] || exit 100\n'),
    ):
        program = machine.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}")
        program.chmod(0o755)
    machine.apply(packages=["alpha", "beta"], services={"beta": []})
    assert machine.asked[:2] == ["apt-get -q update", "apt-get -q install -y --no-install-recommends beta"]
    assert machine.asked[2:4] == ["daemon-reload", "is-active beta"]
    assert machine.apply(packages=["alpha"]).changed == 0
    with pytest.raises(PlaybookError, match="apt-get -q install"):
        machine.apply(packages=["broken"])


def test_a_service_that_fails_is_told(machine: Machine) -> None:
    with pytest.raises(PlaybookError, match=r"systemctl restart broken: Job for broken failed\."):
        machine.apply(services={"broken": []})


def test_an_undefined_name_names_the_template(machine: Machine) -> None:
    machine.put("etc/a.conf.j2", "{{ nowhere }}\n")
    with pytest.raises(PlaybookError, match=r"a\.conf\.j2.*nowhere"):
        machine.apply()


def test_options_are_checked(machine: Machine) -> None:
    with pytest.raises(PlaybookError, match="unknown option 'service'"):
        machine.apply(service={})
