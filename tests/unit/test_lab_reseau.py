"""The lab reseau as data: its files render for any candidate and are what their readers accept."""

from __future__ import annotations

import ast
import ipaddress
import json
import subprocess
from pathlib import Path

import pytest

from graders import flows
from graders.cp07_security import policy
from labs.bench import Bench
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, nft_complaints, rendered

FILES = CATALOGUE / "reseau" / "files"


def tree(bench: Bench, folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)).removesuffix(".j2"): rendered(bench, path) for path in files}


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("reseau", number)
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


def test_only_a_private_address_explains_that_no_answer_comes_back() -> None:
    """What left untranslated is judged with the translation; what was translated must be answered."""
    bench = bench_of("reseau", 0)
    ping = next(flow for flow in policy.chosen(bench) if flow.id == "lan-wan-icmp")
    for source, observed in (("lan_controle", "passe"), ("wan_rtr", "arrive, sans réponse")):
        seen = {ping.id: {"state": "arrived", "source": str(bench.values[source])}}
        assert flows.compare([ping], seen) == [(ping.label, "passe", observed)]


def test_seed_files_exist_and_are_programs() -> None:
    bench = bench_of("reseau", 0)
    texts = tree(bench, FILES)
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


def test_ruleset_of_the_solution_is_accepted() -> None:
    ruleset = PLAYBOOKS / "roles" / "reseau_rtr_parefeu" / "tree" / "etc" / "nftables.conf.j2"
    assert nft_complaints(rendered(bench_of("reseau", 1), ruleset)) == ""


def test_a_wrong_ruleset_is_refused() -> None:
    assert "syntax error" in nft_complaints("table inet agence { chain entree { tcp dprot 22 accept } }")
