"""The solution of `annuaire-windows` as Ansible understands it: every task with its values, on modules that only tell.

No Windows, and not the collections: what is seen is that each expression gives what the lab asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graders import agency
from labs.inventory import to_yaml
from labs.paths import PLAYBOOKS
from tests.unit.lab_data import bench_of

BENCH = bench_of("annuaire-windows", 3)
MODULES = {
    "ansible/windows": ("win_powershell", "win_dns_client", "win_feature", "win_timezone", "win_region"),
    "microsoft/ad": ("domain", "membership", "ou", "user", "group"),
}
TELLER = """
import json, os
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        told = {"module": self._task.action, "host": task_vars["inventory_hostname"], "args": self._task.args}
        with open(os.environ["TOLD"], "a") as stream:
            stream.write(json.dumps(told) + "\\n")
        return {"changed": True, "output": ["Administrateur"]}
"""
GROUPS = "action_groups: {domain: [ou, user, group]}\n"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each task asked of its module, in order; the controller, then the workstation."""
    folder = tmp_path_factory.mktemp("solution")
    for collection, names in MODULES.items():
        place = folder / "ansible_collections" / collection
        (place / "plugins" / "action").mkdir(parents=True)
        (place / "meta").mkdir()
        (place / "meta" / "runtime.yml").write_text(GROUPS if collection == "microsoft/ad" else "{}\n")
        for name in names:
            (place / "plugins" / "action" / f"{name}.py").write_text(TELLER)
    hosts = {f"c3-{name}": {"node": name, "ansible_connection": "local"} for name in ("dc", "ws")}
    groups = {host["node"]: {"hosts": {name: {}}} for name, host in hosts.items()}
    inventory = {"all": {"hosts": hosts, "children": {**groups, "srv": {"hosts": {}}}, "vars": BENCH.variables}}
    (folder / "hosts.yml").write_text(to_yaml(inventory))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment = {**kept, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(folder),
                   "ANSIBLE_HOME": str(folder / "home"), "TOLD": str(folder / "told"), "LC_ALL": "C.UTF-8"}  # fmt: skip
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [program, "-i", folder / "hosts.yml", PLAYBOOKS / "solutions" / "annuaire-windows.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


def of(told: list[dict[str, Any]], module: str) -> list[dict[str, Any]]:
    return [one["args"] for one in told if one["module"] == module]


def test_the_domain_comes_first_and_the_workstation_last(told: list[dict[str, Any]]) -> None:
    hosts = [one["host"] for one in told]
    assert hosts == sorted(hosts)
    modules = [one["module"].rpartition(".")[2] for one in told]
    assert modules.index("domain") < modules.index("ou")
    assert of(told, "microsoft.ad.domain")[0]["dns_domain_name"] == BENCH.values["domaine"]
    certificate, addresses = (of(told, "ansible.windows.win_powershell")[number] for number in (1, 2))
    assert certificate["parameters"] == {"Nom": f"dc.{BENCH.values['domaine']}"}
    assert addresses["parameters"] == {"Domaine": BENCH.values["domaine"], "Adresse": BENCH.values["lan_dc"]}


def test_people_are_those_of_the_subject(told: list[dict[str, Any]]) -> None:
    users = {one["identity"]: one for one in of(told, "microsoft.ad.user") if "firstname" in one}
    assert len(users) == 6
    for one in agency.people(BENCH):
        user = users[one.login]
        assert (user["firstname"], user["surname"]) == (one.first, one.last)
        assert user["upn"] == agency.bind_name(BENCH, one.login)
        assert user["path"] == f"OU={one.unit},OU=Agence,{BENCH.values['base_dn']}"
        assert user["enabled"] is (one.login != agency.person(BENCH, "partant").login)
        assert (user["password"], user["password_never_expires"]) == (BENCH.values["mdp_agence"], False)
    trials = [one for one in of(told, "microsoft.ad.user") if str(one.get("name", "")).startswith("essai.")]
    assert [one["sam_account_name"] for one in trials] == ["essai.commerce", "essai.direction"]
    assert {one["password"] for one in trials} == {BENCH.values["mdp_essai"]}


def test_groups_are_those_of_the_subject(told: list[dict[str, Any]]) -> None:
    groups = {one["name"]: one for one in of(told, "microsoft.ad.group")}
    scopes = {name: one["scope"] for name, one in groups.items()}
    assert scopes.pop("DL_Commun") == "domainlocal"
    assert set(scopes.values()) == {"global"}
    assert groups["GG_Agence"]["members"] == {"set": ["GG_Direction", "GG_Technique", "GG_Commerce"]}
    assert groups["DL_Commun"]["members"] == {"set": ["GG_Agence"]}
    for who in ("directrice", "technicien", "assistante", "commerciale"):
        one = agency.person(BENCH, who)
        assert groups[one.groups[0]]["members"] == {"set": [one.login]}


def test_objects_are_made_by_the_domains_administrator(told: list[dict[str, Any]]) -> None:
    """Whatever its name, which the first task tells."""
    account = rf"{BENCH.values['netbios']}\Administrateur"
    for module in ("microsoft.ad.ou", "microsoft.ad.user", "microsoft.ad.group"):
        for one in of(told, module):
            assert (one["domain_username"], one["domain_password"]) == (account, BENCH.values["mdp_admin"]), one
    renewed = [one for one in of(told, "microsoft.ad.user") if one.get("identity") == "Administrateur"]
    assert [one["update_password"] for one in renewed if "firstname" not in one] == ["always"]


def test_rules_and_delegation(told: list[dict[str, Any]]) -> None:
    scripts = {one["path"]: one for one in of(told, "ansible.windows.win_powershell")}
    assert scripts["regles.ps1"]["parameters"] == {
        "Domaine": BENCH.values["domaine"], "Longueur": int(BENCH.values["mdp_longueur"]),
        "Essais": int(BENCH.values["verrou_essais"]), "Minutes": int(BENCH.values["verrou_minutes"])}  # fmt: skip
    assert scripts["delegation.ps1"]["parameters"] == {
        "Unite": f"OU=Commerce,OU=Agence,{BENCH.values['base_dn']}",
        "Groupe": rf"{BENCH.values['netbios']}\GG_Assistance"}  # fmt: skip
    assert all(one["error_action"] == "stop" for one in scripts.values())


def test_the_workstation(told: list[dict[str, Any]]) -> None:
    asked = {one["module"]: one["args"] for one in told if one["host"] == "c3-ws"}
    assert asked["ansible.windows.win_timezone"]["timezone"] == BENCH.values["fuseau_windows"]
    assert asked["microsoft.ad.membership"]["domain_admin_user"] == f"Administrateur@{BENCH.values['domaine']}"
    assert asked["ansible.windows.win_powershell"]["parameters"] == {
        "Groupe": rf"{BENCH.values['netbios']}\GG_Technique"
    }
    assert asked["ansible.windows.win_dns_client"]["dns_servers"] == BENCH.values["lan_dc"]
