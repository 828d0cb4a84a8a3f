"""Is a machine up? Three channels are asked before it is called down: hypervisor, management (agent, SSH), ARP.

One that sleeps is woken first.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from labs.errors import DeadlineError, HypervisorError, PlateauError
from labs.hypervisors.base import Power
from labs.ssh import UnreachableError, connect

if TYPE_CHECKING:
    from graders.notebook import Notebook
    from graders.probe_client import ProbeClient
    from labs.bench import Bench, BenchNode
    from labs.deadline import Deadline
    from labs.hypervisors.base import Hypervisor, NodeKey
    from labs.sessionfiles import SessionFiles

AGENT_SECONDS = 8.0
SSH_SECONDS = 8.0


@dataclass(frozen=True)
class NodeState:
    """What each channel says of one machine; None where it was not asked (a better one answered) or could not be."""

    name: str
    power: Power
    agent: bool | None = None
    ssh: bool | None = None
    arp: bool | None = None
    image: str = ""
    """Digest of the image that its disk was cloned from, where the hypervisor knows it."""

    @property
    def up(self) -> bool:
        """Whether it may be up: it runs, and answers somewhere, or could not be asked everywhere."""
        return self.power is Power.RUNNING and (self.reachable or self.arp is not False)

    @property
    def reachable(self) -> bool:
        """Whether the grader can log in."""
        return bool(self.agent or self.ssh)

    @property
    def reason(self) -> str:
        """Why it is down, in French."""
        if self.power is not Power.RUNNING:
            return f"la machine {self.name} n'est pas démarrée"
        return f"la machine {self.name} ne répond par aucune voie (agent, SSH, réseau)"


def survey(hypervisor: Hypervisor, bench: Bench, files: SessionFiles, deadline: Deadline) -> dict[str, NodeState]:
    """State of every graded machine as hypervisor and management see it, all asked at once."""
    nodes = bench.graded_nodes
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        states = pool.map(lambda node: _management(hypervisor, node, files, deadline), nodes)
        return {state.name: state for state in states}


def ask_the_network(bench: Bench, states: Mapping[str, NodeState], probe: ProbeClient) -> dict[str, NodeState]:
    """Ask by ARP, through the probe, for the machines that run but do not answer the management.

    A probe that does not answer shows nothing: their states stay as they are.
    """
    silent = {state.name for state in states.values() if state.power is Power.RUNNING and not state.reachable}
    if not silent:
        return dict(states)
    try:
        macs = _answering_macs(bench, probe)
    except PlateauError:
        return dict(states)
    return {
        name: replace(state, arp=any(nic.mac in macs for nic in bench.node(name).spec.nics))
        if name in silent
        else state
        for name, state in states.items()
    }


def keep_states(notebook: Notebook, states: Mapping[str, NodeState], broken: str | None) -> None:
    """Put what was found into the snapshot."""
    notebook.keep("hypervisor", "states", {"nodes": [asdict(state) for state in states.values()], "broken": broken})


def recall_states(notebook: Notebook) -> tuple[dict[str, NodeState], str | None]:
    """What `keep_states` put there. Raises MissingError."""
    found = notebook.recall("hypervisor", "states")
    states = [NodeState(**{**one, "power": Power(one["power"])}) for one in found["nodes"]]
    return {state.name: state for state in states}, found["broken"]


def header_nodes(bench: Bench, states: Mapping[str, NodeState]) -> list[dict[str, object]]:
    """The machines as a BenchHeader shows them."""
    return [
        {
            "name": node.name,
            "role": node.model.role,
            "state": states[node.name].power.value,
            "reachable": states[node.name].reachable,
            "image": f"{node.spec.role}-{node.spec.release} {states[node.name].image}".rstrip(),
        }
        for node in bench.graded_nodes
    ]


def _management(hypervisor: Hypervisor, node: BenchNode, files: SessionFiles, deadline: Deadline) -> NodeState:
    status = hypervisor.status(node.spec.key)
    found = NodeState(node.name, status.power, image=status.image)
    if status.power is not Power.RUNNING:
        return found
    asked = _asked(hypervisor, node, files, deadline, found)
    if not asked.reachable and _woken(hypervisor, node.spec.key, deadline):
        asked = _asked(hypervisor, node, files, deadline, found)
    return asked


def _asked(
    hypervisor: Hypervisor, node: BenchNode, files: SessionFiles, deadline: Deadline, found: NodeState
) -> NodeState:
    if not node.model.unix:
        return replace(found, ssh=_answers(hypervisor, node, deadline.sooner(SSH_SECONDS)))
    try:
        hypervisor.execute(node.spec.key, ["/bin/true"], deadline.sooner(AGENT_SECONDS))
        return replace(found, agent=True)
    except (HypervisorError, DeadlineError):
        pass
    try:
        connect(hypervisor, node, files, deadline.sooner(SSH_SECONDS)).close()
    except UnreachableError:
        return replace(found, agent=False, ssh=False)
    return replace(found, agent=False, ssh=True)


def _woken(hypervisor: Hypervisor, key: NodeKey, deadline: Deadline) -> bool:
    """Whether the machine was asleep, as its candidate left it, and was woken."""
    with contextlib.suppress(HypervisorError, DeadlineError):
        if hypervisor.asleep(key, deadline.sooner(AGENT_SECONDS)):
            hypervisor.start(key, deadline)
            return True
    return False


def _answers(hypervisor: Hypervisor, node: BenchNode, deadline: Deadline) -> bool:
    """Whether a device or a Windows machine accepts connections where the grader would log in."""
    host, port = hypervisor.status(node.spec.key).ssh or ("", 0)
    model = node.model.windows or node.model.device
    port = (model and model.port) or port
    try:
        socket.create_connection((host, port), max(0.1, deadline.remaining)).close()
    except OSError:
        return False
    return True


def _answering_macs(bench: Bench, probe: ProbeClient) -> set[str]:
    """MAC addresses that answer ARP for any address of the candidate's plan."""
    addresses = [value for value in bench.values.values() if isinstance(value, str) and _is_private(value)]
    found: set[str] = set()
    for segment in bench.segments:
        answers = probe.call("arp.who_has", segment.name, addresses=addresses)
        found.update(mac for macs in answers.values() for mac in macs)
    return found


def _is_private(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_private
    except ValueError:
        return False
