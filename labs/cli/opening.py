"""What the verbs open first: a session with its hypervisor and benches, and its journal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.journal import Journal
    from labs.models.session import Session
    from labs.sessionfiles import SessionFiles


def open_session(session: str, candidates: list[str] | None) -> tuple[Session, Hypervisor, list[Bench]]:
    """A session by name or path, and the benches of the candidates asked for (all by default)."""
    from labs.bench import compute_benches
    from labs.hypervisors import open_hypervisor
    from labs.models.session import load_session

    loaded = load_session(session)
    return loaded, open_hypervisor(loaded.profile), compute_benches(loaded, candidates)


def open_journal(files: SessionFiles, verb: str) -> contextlib.closing[Journal]:
    """The session's journal, closed when the `with` block ends."""
    from labs.journal import Journal

    return contextlib.closing(Journal(files.journal, verb))
