"""provision: benches of a cohort on Proxmox VE, against fakepve behind a proxy that gives it Proxmox VE's durations.

The same run has both storage models (linked clones at once, or one after the other under the storage's lock), a cohort
six times as large, and the ways it is compared with: a plain loop with proxmoxer, and an Ansible play. Nothing but
the systems in the machines is left out: there are none, so the wait for their SSH is.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparisons import NODES, PlayFailedError, ansible_play, serial_loop
from benchmarks.controller import ROLES
from benchmarks.measure import machine, publish
from labs.paths import ROOT
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster

LIMITS = {
    "makespan_ratio": 1.15,
    "api_calls_per_vm": 10,
    "plan_seconds": 1,
    "speedup_vs_serial": 3,
    "speedup_vs_ansible": 3,
    "rss_mb": 150,
    "growth_ratio": 1.15,
    "cpu_growth_ratio": 1.15,
}


@dataclass(frozen=True)
class Model:
    """A storage, and how fast the cluster's time goes (1: as Proxmox VE's)."""

    name: str
    shared: bool
    storage_lock: float
    scale: float


LOCAL = Model("local", False, 0.0, 1.0)
THIN = Model("thin", True, 5.0, 0.2)
UNCAPPED = {"boots_per_node": 256, "machines": 1024}
"""The loop and the play boot everything at once: beside them Plateau may, too."""


def main(arguments: Sequence[str]) -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- provision", description=__doc__)
    parser.add_argument("--benches", type=int, default=30, metavar="N", help="candidates, six machines each")
    parser.add_argument("--many", type=int, default=200, metavar="N", help="candidates of the large cohort; 0: none")
    parser.add_argument("--beside", type=int, default=30, metavar="N", help="candidates of the comparisons; 0: none")
    parser.add_argument("--ansible", metavar="BIN", help="folder of ansible-playbook with community.proxmox")
    options = parser.parse_args(arguments)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="plateau-bench-") as name:
        publish("provision", facts, measure(Path(name), options), LIMITS)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of the run."""
    local = cohort(folder / "local", LOCAL, options.benches)
    thin = cohort(folder / "thin", THIN, options.benches)
    figures = {
        "makespan_ratio": max(local["ratio"], thin["ratio"]),
        "api_calls_per_vm": max(local["calls"], thin["calls"]),
        "plan_seconds": max(local["plan"], thin["plan"]),
        "rss_mb": max(local["rss"], thin["rss"]),
        "speedup_vs_serial": None,
        "speedup_vs_ansible": None,
        "growth_ratio": None,
        "cpu_growth_ratio": None,
    }
    for one, told in (("local", local), ("thin", thin)):
        figures |= {f"{one}_{key}": value for key, value in told.items()}
    if options.many:
        many = cohort(folder / "many", LOCAL, options.many)
        per_vm = many["makespan"] / many["bound"] / (local["makespan"] / local["bound"])
        figures |= {f"many_{key}": value for key, value in many.items()} | {"growth_ratio": round(per_vm, 3)}
        figures["cpu_growth_ratio"] = round(many["cpu_ms"] / local["cpu_ms"], 3)
        figures["rss_mb"] = max(figures["rss_mb"], many["rss"])
    if options.beside:
        ours = cohort(folder / "ours", LOCAL, options.beside, UNCAPPED)["makespan"]
        capped = local if options.beside == options.benches else cohort(folder / "capped", LOCAL, options.beside)
        serial = beside(folder / "serial", options.beside, serial_loop)
        figures |= {
            "beside_ours": ours,
            "beside_ours_capped": capped["makespan"],
            "beside_serial": serial,
            "speedup_vs_serial": round(serial / ours, 2),
            "speedup_vs_serial_capped": round(serial / capped["makespan"], 2),
        }
        if options.ansible:
            (folder / "ansible").mkdir()
            way = functools.partial(ansible_play, Path(options.ansible), folder / "ansible")
            try:
                play = beside(folder / "ansible", options.beside, way)
            except PlayFailedError as problem:
                print(f"  no figure beside Ansible: {problem}", file=sys.stderr, flush=True)
            else:
                figures |= {"beside_ansible": play, "speedup_vs_ansible": round(play / ours, 2)}
    return figures


def cohort(folder: Path, model: Model, benches: int, caps: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Bring a cohort up in a process of its own. Times are Proxmox VE's (real ones divided by the model's scale).

    Processor time, ours and the double's, is a machine's share in milliseconds: it tells what grows on a busy computer.
    """
    before = _processor_seconds()
    with cluster_of(folder, model, caps) as place:
        command = [sys.executable, "-m", "benchmarks.controller", str(folder), str(benches)]
        print(f"  {model.name}: {benches} x {len(ROLES)} machines", file=sys.stderr, flush=True)
        environment = {**os.environ, SECRET_VARIABLE: SECRET}
        subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True)
        told = json.loads((folder / "told.json").read_text())
        calls = place.proxy.calls.total()
        bound = lower_bound(model, told["per_node"], place)
    double = _processor_seconds() - before - told["cpu"]
    (folder / "calls.json").write_text(json.dumps(place.proxy.calls.most_common(), indent=1))
    count = benches * len(ROLES)
    makespan = told["seconds"] / model.scale
    return {
        "makespan": round(makespan, 1),
        "bound": round(bound, 1),
        "ratio": round(makespan / bound, 3),
        "calls": round(calls / count, 2),
        "plan": round(told["plan"], 3),
        "rss": round(told["rss"], 1),
        "cpu_ms": round(1000 * told["cpu"] / count, 1),
        "double_cpu_ms": round(1000 * double / count, 1),
        "machines": count,
    }


def _processor_seconds() -> float:
    """Of this process, where the proxy is, and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def lower_bound(model: Model, per_node: dict[str, int], place: Place) -> float:
    """What no schedule can beat: boots in full waves of each node, or the storage's clones, and one machine's rest."""
    pace, caps = place.proxy.pace, place.profile.caps
    waves = max(math.ceil(count / caps.boots_per_node) for count in per_node.values())
    boots = waves * (pace.start + pace.boot)
    if model.storage_lock:
        return max(sum(per_node.values()) * pace.storage_lock + pace.start + pace.boot, boots)
    return boots + pace.clone


def cluster_of(folder: Path, model: Model, caps: Mapping[str, int] | None = None) -> AbstractContextManager[Place]:
    """A cluster with room for everybody; `caps` are those of the profile where they are not the defaults."""
    wanted = Wanted(
        nodes=NODES,
        storages={"tank": True} if model.shared else {"local": False},
        roles=("rtr", "srv", "ws", "probe"),
        zone="vlan",
        node_memory_mb=1 << 20,
        options={
            "network": {"mode": "sdn", "zone": "zone1", "tags": {"first": 100, "last": 3999}},
            "caps": dict(caps or {}),
        },
    )
    return cluster(folder / "cluster", wanted, Pace(scale=model.scale, storage_lock=model.storage_lock))


def beside(folder: Path, benches: int, way: Callable[[Place, int], None]) -> float:
    """Seconds that another way takes to have the same machines running and answering."""
    with cluster_of(folder, LOCAL) as place:
        print(f"  {folder.name}: {benches} x {len(ROLES)} machines", file=sys.stderr, flush=True)
        began = time.monotonic()
        way(place, benches * len(ROLES))
        return round(time.monotonic() - began, 1)
