"""Sessions and benches for the unit tests, made without files."""

from __future__ import annotations

from pathlib import Path

from labs.bench import Bench, compute_bench
from labs.models.lab import Lab, load_lab
from labs.models.profile import Profile
from labs.models.session import Candidate, Session, SessionFile

SESSION = """\
name: essai
title: Essai
lab: reseau
seed: graine-des-essais
candidates:
  - {id: alex, name: Alex Martin}
  - {id: sam, name: Sam Petit}
"""


def session_of(
    *ids: str, seed: str = "graine-des-essais", path: Path = Path("/nowhere/session.yaml"), lab: Lab | None = None
) -> Session:
    people = tuple(Candidate(id=one, name=one.title()) for one in ids)
    file = SessionFile(name="essai", title="Essai", lab="reseau", seed=seed, candidates=list(people))
    return Session(path, file, lab or load_lab("reseau"), Profile(), people)


def bench_of(candidate: str, **options: object) -> Bench:
    session = session_of(candidate, **options)  # type: ignore[arg-type]
    return compute_bench(session, session.candidates[0])


def write_session(folder: Path, text: str = SESSION) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "session.yaml"
    path.write_text(text, encoding="utf-8")
    return path
