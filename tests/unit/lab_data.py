"""A lab of the catalogue as data, for tests that start no machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from labs.bench import Bench, compute_bench
from labs.models.lab import load_lab
from labs.models.profile import Profile
from labs.models.session import Candidate, Session, SessionFile
from labs.variants import template_environment


def bench_of(lab: str, number: int) -> Bench:
    """The bench of one of many candidates."""
    people = [Candidate(id=f"c{number}", name=f"Candidate {number}")]
    file = SessionFile(name="essai", title="Essai", lab=lab, seed="graine-des-essais", candidates=people)
    session = Session(Path("/nowhere/session.yaml"), file, load_lab(lab), Profile(), tuple(people))
    return compute_bench(session, people[0])


def rendered(bench: Bench, path: Path, **more: object) -> str:
    """A template with the values of a bench, as Ansible renders it, and a role's own variables."""
    return template_environment(trim_blocks=True).from_string(path.read_text()).render(bench.variables, **more)


def nft_complaints(ruleset: str) -> str:
    """What nft(8) says against a ruleset, in a network of its own: no privilege is needed, nothing is changed."""
    command = ["unshare", "--user", "--map-root-user", "--net", "nft", "-c", "-f", "-"]
    return subprocess.run(command, input=ruleset, text=True, capture_output=True, check=False).stderr
