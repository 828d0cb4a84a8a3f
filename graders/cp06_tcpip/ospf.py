"""What the head office's router knows of the candidate's; asked by several checks, live and after the reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders.expect import converge
from graders.vantage import text
from labs.deadline import Deadline

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

NEIGHBOUR_SECONDS = 50.0
"""An adjacency may need twice the dead interval of the subject (20 s) when one side has just started."""


def state(probe: ProbeClient) -> dict[str, Any]:
    """What the head office's router knows now: its neighbours and the prefixes that it has learned."""
    answer: dict[str, Any] = probe.call("ospf.state", router="siege", protocol="agence")
    return answer


def settled(bench: Bench, seen: dict[str, Any]) -> bool:
    """Whether the adjacency is full and the LAN is learned."""
    return seen["neighbours"].get(text(bench, "siege_rtr")) == "Full" and text(bench, "lan") in seen["prefixes"]


def settle(bench: Bench, probe: ProbeClient, seconds: float) -> dict[str, Any]:
    """Wait at most `seconds` until it is settled; the state then, or at the end."""
    return converge(Deadline.after(seconds), lambda: state(probe), lambda seen: settled(bench, seen))


def adjacency(bench: Bench, seen: dict[str, Any]) -> tuple[str, str, str]:
    """Label, expected and observed state of the adjacency."""
    neighbour = text(bench, "siege_rtr")
    return f"état de l'adjacence du siège avec {neighbour}", "Full", seen["neighbours"].get(neighbour, "aucune")
