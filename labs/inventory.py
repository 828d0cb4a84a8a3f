"""The Ansible inventory of a session, and the host keys that go with it.

Usable by hand: `ansible -i inventories/demo/hosts.yml all -m ping`. Groups: one a candidate (`camille`), one a machine
(`rtr`), one a role, the candidates' machines under `candidats` and the probes under `centre`. The candidate's values
(addresses, domain, …) are variables of the candidate's group.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs.paths import CATALOGUE
from labs.sessionfiles import SessionFiles, write_private

if TYPE_CHECKING:
    from labs.bench import Bench, BenchNode
    from labs.hypervisors.base import Hypervisor
    from labs.models.lab import Windows
    from labs.models.session import Session

CANDIDATES = "candidats"
CENTRE = "centre"
RESERVED = frozenset({"all", "ungrouped", "localhost", CANDIDATES, CENTRE})

SSH_OPTIONS = (
    "ControlMaster=auto",
    "ControlPersist=60s",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=6",
)


def write(session: Session, benches: Sequence[Bench], hypervisor: Hypervisor, files: SessionFiles) -> None:
    """Write hosts.yml and known_hosts for every machine of `benches` that the hypervisor gives an SSH address.

    Give all the benches of the session: both files are replaced as a whole, atomically.
    """
    files.folder.mkdir(parents=True, exist_ok=True)
    files.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    endpoints = _endpoints(benches, hypervisor)
    write_private(files.known_hosts, known_hosts(benches, endpoints, files).encode(), mode=0o644)
    write_private(files.inventory, to_yaml(inventory(session, benches, endpoints, files)).encode())


def write_apart(bench: Bench, hypervisor: Hypervisor, files: SessionFiles, folder: Path) -> Path:
    """The same for one bench, in a folder of its own: the session's files may be of other benches at this moment."""
    endpoints = _endpoints([bench], hypervisor)
    path, known = folder / files.inventory.name, folder / files.known_hosts.name
    write_private(known, known_hosts([bench], endpoints, files).encode())
    write_private(path, to_yaml(inventory(bench.session, [bench], endpoints, files, known)).encode())
    return path


def host_name(node: BenchNode) -> str:
    """The machine's name in the inventory, unique in the session: `camille-rtr`."""
    return f"{node.spec.key.candidate}-{node.name}"


def candidate_group(session: Session, candidate: str) -> str:
    """The candidate's group: the id as Ansible allows it (`jean_d`), or `candidat_…` where that name is not free."""
    taken = RESERVED | {name for node in session.lab.nodes for name in (node.name, node.role)}
    name = candidate.replace("-", "_")
    return f"candidat_{name}" if name in taken or name[0].isdigit() else name


def inventory(
    session: Session,
    benches: Sequence[Bench],
    endpoints: dict[str, tuple[str, int]],
    files: SessionFiles,
    known: Path | None = None,
) -> dict[str, Any]:
    """The inventory as data, in a fixed order; `known` is the file of host keys, by default the session's. Pure."""
    groups: dict[str, dict[str, Any]] = {}
    owners: dict[str, dict[str, Any]] = {CANDIDATES: {"hosts": {}}, CENTRE: {"hosts": {}}}
    for bench in benches:
        hosts: dict[str, Any] = {}
        for node in bench.nodes:
            name = host_name(node)
            if name not in endpoints:
                continue
            host, port = endpoints[name]
            hosts[name] = {"ansible_host": host, "ansible_port": port, "node": node.name, "role": node.model.role}
            if node.model.windows:
                hosts[name].update(_winrm(node.model.windows, CATALOGUE / session.lab.name))
            for group in dict.fromkeys((node.name, node.model.role)):
                groups.setdefault(group, {"hosts": {}})["hosts"][name] = {}
            owners[CANDIDATES if node.graded else CENTRE]["hosts"][name] = {}
        if hosts:
            groups[candidate_group(session, bench.candidate.id)] = {"hosts": hosts, "vars": bench.variables}
    connection = _connection(files, known or files.known_hosts)
    return {"all": {"vars": connection, "children": {**owners, **dict(sorted(groups.items()))}}}


def known_hosts(benches: Sequence[Bench], endpoints: dict[str, tuple[str, int]], files: SessionFiles) -> str:
    """One line a machine, from the host keys that this controller made."""
    lines = []
    for bench in benches:
        for node in bench.nodes:
            public = files.public_host_key(bench.candidate.id, node.name)
            endpoint = endpoints.get(host_name(node))
            if endpoint is None or not public.is_file():
                continue
            host, port = endpoint
            kind, key = public.read_text(encoding="utf-8").split()[:2]
            lines.append(f"{host if port == 22 else f'[{host}]:{port}'} {kind} {key}\n")
    return "".join(lines)


class Template(str):
    """Text of ours that Ansible is to render; any other is taken as it is."""

    __slots__ = ()


def _from_environment(windows: Windows) -> str:
    """The expression of a password; Ansible tells the hint when the variable is not set."""
    hint = f"{windows.password_env} is not set; it must hold the password of {windows.user}"
    return f"{{{{ lookup('ansible.builtin.env', '{windows.password_env}', default=undef(hint='{hint}')) }}}}"


def _winrm(windows: Windows, lab_folder: Path) -> dict[str, Any]:
    """Connection of a Windows machine: the grader's account, whose password stays in the environment."""
    found: dict[str, Any] = {
        "ansible_connection": "winrm",
        "ansible_port": windows.port,
        "ansible_user": windows.user,
        "ansible_password": Template(_from_environment(windows)),
        "ansible_winrm_transport": "ntlm",
        "ansible_winrm_scheme": "https" if windows.tls else "http",
        "ansible_winrm_server_cert_validation": "validate" if windows.ca_file else "ignore",
        "ansible_winrm_message_encryption": "always",
    }
    if windows.ca_file:
        found["ansible_winrm_ca_trust_path"] = str(lab_folder / windows.ca_file)
    return found


def to_yaml(data: dict[str, Any]) -> str:
    """YAML that every reader understands alike: all strings are quoted (a bare MAC is a number in YAML 1.1)."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    stream.write("# Written by plateau; changes are lost at the next `plateau up`.\n")
    yaml.dump(_quoted(data), stream)
    return stream.getvalue()


def _quoted(value: Any) -> Any:
    from ruamel.yaml.comments import TaggedScalar
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(one) for one in value]
    if isinstance(value, Template):
        return DoubleQuotedScalarString(value)
    if isinstance(value, str):
        if "{{" in value or "{%" in value or "{#" in value:
            return TaggedScalar(value=value, style='"', tag="!unsafe")
        return DoubleQuotedScalarString(value)
    return value


def _endpoints(benches: Sequence[Bench], hypervisor: Hypervisor) -> dict[str, tuple[str, int]]:
    return {
        host_name(node): endpoint
        for bench in benches
        for node in bench.nodes
        if (endpoint := hypervisor.status(node.spec.key).ssh) is not None
    }


def _connection(files: SessionFiles, known: Path) -> dict[str, Any]:
    key, known = files.grader_key.absolute(), known.absolute()
    options = " ".join(f"-o {option}" for option in SSH_OPTIONS)
    return {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_args": f"-F /dev/null {options} -o 'UserKnownHostsFile=\"{known}\"'",
        "ansible_ssh_timeout": 30,
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
