"""The controller of the benchmark `provision`, in a process of its own, so that its memory is its own."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from labs.bench import compute_benches
from labs.execute import Executor
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from labs.journal import Journal
from labs.models.lab import Lab, load_lab
from labs.models.proxmox import ProxmoxProfile
from labs.models.session import Candidate, Session, SessionFile

ROLES = ("rtr", "srv", "ws", "ws", "ws", "probe")


def main(folder: Path, benches: int) -> None:
    """Plan and up, as the command line does them; what it took goes to told.json."""
    session = session_of(folder, benches)
    began = time.monotonic()
    hypervisor = ProxmoxHypervisor(session.profile)
    made = compute_benches(session)
    plan = hypervisor.plan(session.uid, made)
    planned = time.monotonic()
    assert not plan.problems, plan.problems
    journal = Journal(folder / "journal.db", "up")
    executor = Executor(session, hypervisor, journal)
    executor._wait_ssh = lambda node: None  # type: ignore[method-assign]  # there are no systems to log in to
    outcome = executor.up(made, plan)
    ended = time.monotonic()
    assert not outcome.errors, outcome.errors
    statuses = hypervisor.list_nodes(session.uid)
    assert len(statuses) == benches * len(ROLES)
    assert all(status.ready for status in statuses)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "cpu": usage.ru_utime + usage.ru_stime,
        "plan": planned - began,
        "seconds": ended - planned,
        "rss": usage.ru_maxrss / 1024,
        "per_node": Counter(hypervisor.node_of(status.key) for status in statuses),
    }
    (folder / "told.json").write_text(json.dumps(told))


def session_of(folder: Path, benches: int) -> Session:
    """A cohort on a lab of six machines, made of the catalogue's."""
    lab = load_lab("reseau")
    seen: Counter[str] = Counter()
    nodes = []
    for role in ROLES:
        seen[role] += 1
        name = role if seen[role] == 1 else f"{role}{seen[role]}"
        nodes.append(lab.node(role).model_copy(update={"name": name, "memory_mb": 512}))
    lab = Lab.model_construct(**{**dict(lab), "nodes": nodes})
    people = [Candidate(id=f"c{number:03d}", name=f"Candidat {number}") for number in range(benches)]
    file = SessionFile(name="mesures", title="Mesures", lab="reseau", seed="mesures-de-plateau", candidates=people)
    profile = ProxmoxProfile.model_validate_json((folder / "cluster" / "profile.json").read_text())
    return Session(folder / "session.yaml", file, lab, profile, tuple(people))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
