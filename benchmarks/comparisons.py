"""Other ways to have the same machines: what the benchmark `provision` compares Plateau with."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException

from labs.deadline import Deadline
from labs.hypervisors.proxmox import agent
from labs.hypervisors.proxmox.client import Client
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, TOKEN, Place


class PlayFailedError(Exception):
    """The play did not make every machine: its time compares with nothing."""


NODES = ("pve1", "pve2", "pve3")


def serial_loop(place: Place, count: int) -> None:
    """What a first script does: one machine after the other; the boots may overlap."""

    user, _, token = TOKEN.partition("!")
    api: Any = ProxmoxAPI(
        place.profile.hosts[0],
        user=user,
        token_name=token,
        token_value=SECRET,
        verify_ssl=str(place.profile.ca_file),
        timeout=60,
    )

    def finish(node: str, upid: str) -> None:
        while (told := api.nodes(node).tasks(upid).status.get())["status"] == "running":
            time.sleep(0.1)
        assert told["exitstatus"] == "OK", told

    machines = list(comparison_machines(place, count))
    for vmid, node, template in machines:
        clone = api.nodes(node).qemu(template).clone.post(newid=vmid, name=f"m{vmid}", pool=place.profile.pool)
        finish(node, clone)
        api.nodes(node).qemu(vmid).config.put(memory=512, cores=1, net0="virtio,bridge=vmbr0")
        finish(node, api.nodes(node).qemu(vmid).status.start.post())
    for vmid, node, _ in machines:
        while True:
            try:
                api.nodes(node).qemu(vmid).agent.ping.post()
                break
            except ResourceException:
                time.sleep(0.5)


PLAY = """\
- hosts: machines
  connection: local
  gather_facts: false
  strategy: free
  module_defaults:
    group/community.proxmox.proxmox: &api
      api_host: 127.0.0.1
      api_port: {port}
      api_user: {user}
      api_token_id: {token}
      api_token_secret: {secret}
      validate_certs: false
  tasks:
    - community.proxmox.proxmox_kvm:
        node: "{{{{ pve_node }}}}"
        clone: template
        vmid: "{{{{ template }}}}"
        newid: "{{{{ vmid }}}}"
        name: "{{{{ inventory_hostname }}}}"
        pool: {pool}
        full: false
        timeout: 300
    - community.proxmox.proxmox_kvm:
        node: "{{{{ pve_node }}}}"
        vmid: "{{{{ vmid }}}}"
        memory: 512
        cores: 1
        update: true
        update_unsafe: true
    - community.proxmox.proxmox_kvm:
        node: "{{{{ pve_node }}}}"
        vmid: "{{{{ vmid }}}}"
        state: started
        timeout: 300
"""


def ansible_play(bin_folder: Path, folder: Path, place: Place, count: int) -> None:
    """The collection's own module, as many machines at once as the cohort's benches."""

    user, _, token = TOKEN.partition("!")
    host, _, port = place.profile.hosts[0].partition(":")
    assert host == "127.0.0.1"
    hosts = {
        f"m{vmid}": {"vmid": vmid, "pve_node": node, "template": template}
        for vmid, node, template in comparison_machines(place, count)
    }
    (folder / "hosts.json").write_text(json.dumps({"machines": {"hosts": hosts}}))
    play = PLAY.format(port=port, user=user, token=token, secret=SECRET, pool=place.profile.pool)
    (folder / "play.yml").write_text(play)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "PYTHONWARNINGS": "ignore",
    }
    command = [f"{bin_folder}/ansible-playbook", "--forks", "24", "-i", str(folder / "hosts.json")]
    command += ["-e", f"ansible_python_interpreter={bin_folder}/python", str(folder / "play.yml")]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    (folder / "play.log").write_text(answer.stdout + answer.stderr)
    if answer.returncode:
        raise PlayFailedError(f"the play failed for {answer.stdout.count('failed=1')} of {count} machines")
    serial_pings(place, count)


def serial_pings(place: Place, count: int) -> None:
    """Wait until every agent answers, as the loop does."""

    os.environ[SECRET_VARIABLE] = SECRET
    client = Client(place.profile)
    for vmid, node, _ in comparison_machines(place, count):
        while not agent.answers(client, f"nodes/{node}/qemu/{vmid}", Deadline.after(60)):
            time.sleep(0.5)


def comparison_machines(place: Place, count: int) -> list[tuple[int, str, int]]:
    """VMID, node and template of each machine: the nodes in turn."""
    listed = place.proxy.as_root("GET", "/cluster/resources")
    templates = {one["node"]: one["vmid"] for one in listed if one.get("template")}
    return [(20100 + number, NODES[number % 3], templates[NODES[number % 3]]) for number in range(count)]
