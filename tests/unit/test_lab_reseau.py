"""The lab reseau as data: its files render for any candidate and are what their readers accept."""

from __future__ import annotations

import ast
import ipaddress
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from labs.bench import Bench, compute_bench
from labs.models.lab import load_lab
from labs.models.profile import Profile
from labs.models.session import Candidate, Session, SessionFile
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from labs.variants import template_environment

FILES = CATALOGUE / "reseau" / "files"


def bench_of(number: int) -> Bench:
    people = [Candidate(id=f"c{number}", name=f"Candidate {number}")]
    file = SessionFile(name="essai", title="Essai", lab="reseau", seed="graine-des-essais", candidates=people)
    session = Session(Path("/nowhere/session.yaml"), file, load_lab("reseau"), Profile(), tuple(people))
    return compute_bench(session, people[0])


def rendered(bench: Bench, folder: Path) -> dict[str, str]:
    environment = template_environment(trim_blocks=True)
    return {
        str(path.relative_to(folder)).removesuffix(".j2"): environment.from_string(path.read_text()).render(
            bench.variables
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of(number)
    networks = {name: ipaddress.ip_network(str(bench.values[name])) for name in ("lan", "serveurs", "wan")}
    assert not any(a.overlaps(b) for a in networks.values() for b in networks.values() if a is not b)
    told = addresses(bench)
    assert len(set(told.values())) == len(told) == 8
    for (_, segment), address in told.items():
        assert ipaddress.ip_address(address) in networks[segment]
    pool = range(
        int(ipaddress.ip_address(str(bench.values["lan_plage_debut"]))),
        int(ipaddress.ip_address(str(bench.values["lan_plage_fin"]))) + 1,
    )
    fixed = ("lan_passerelle", "lan_poste", "lan_imprimante", "lan_controle")
    assert not any(int(ipaddress.ip_address(str(bench.values[name]))) in pool for name in fixed)


def test_seed_files_exist_and_are_programs() -> None:
    bench = bench_of(0)
    texts = rendered(bench, FILES)
    seeds = [file for node in bench.session.lab.nodes for file in node.files]
    assert {one.template.removesuffix(".j2") for one in seeds if not one.template.startswith("common/")} == set(texts)
    texts |= {
        one.template.removesuffix(".j2"): one.source(CATALOGUE / "reseau").read_text()
        for one in seeds
        if "common/" in one.template
    }
    for name, text in texts.items():
        if name.endswith(".py"):
            ast.parse(text)
        if name.endswith(".json"):
            json.loads(text)
        if name.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_ruleset_of_the_solution_is_accepted() -> None:
    ruleset = rendered(bench_of(1), PLAYBOOKS / "roles" / "reseau_rtr" / "tree")["etc/nftables.conf"]
    checked = subprocess.run(["nft", "-c", "-f", "-"], input=ruleset, text=True, capture_output=True, check=False)
    if "Operation not permitted" in checked.stderr:
        pytest.skip("nft needs CAP_NET_ADMIN even to check")
    assert checked.stderr == ""
