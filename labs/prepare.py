"""What a lab or a training version takes as given: a playbook puts it on fresh machines, before they count as ready.

A machine in which somebody may have worked is never prepared again. One that a killed run left half prepared is not
ready: it is made again from its image, so that a preparation always begins from the baseline.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labs import inventory
from labs.ansible import Status, run_playbook
from labs.deadline import Deadline
from labs.errors import InputError
from labs.paths import PLAYBOOKS
from labs.sessionfiles import SessionFiles, write_private

if TYPE_CHECKING:
    import threading

    from labs.bench import Bench, BenchNode
    from labs.hypervisors.base import Hypervisor
    from labs.models.session import Session

PREPARATION_SECONDS = 1200.0
"""As for a solution: machines of a whole cohort may be prepared at the same time."""


def prepare(
    bench: Bench,
    nodes: Sequence[BenchNode],
    hypervisor: Hypervisor,
    files: SessionFiles,
    tell: Callable[[str, str], None],
    cancelled: threading.Event,
) -> None:
    """Prepare these fresh machines of a bench, telling (machine, what it is at). Raises PlateauError."""
    assert bench.session.preparation is not None
    names = {inventory.host_name(node): f"{bench.candidate.id}/{node.name}" for node in nodes}

    def progress(task: str, host: str, status: Status) -> None:
        tell(names.get(host, host), f"prepare: {task}" if status == "started" else f"prepare: {task}: {status}")

    with tempfile.TemporaryDirectory(prefix="plateau-prepare-") as folder:
        run_playbook(
            PLAYBOOKS / bench.session.preparation,
            inventory.write_apart(bench, hypervisor, files, Path(folder)),
            Deadline.after(PREPARATION_SECONDS),
            limit=list(names),
            progress=progress,
            cancelled=cancelled,
            fail_fast=True,
            partial=True,
        )


def require_same_version(session: Session, hypervisor: Hypervisor, files: SessionFiles) -> None:
    """Raise InputError when there are benches of another version: what is in place there is not what is worked on."""
    try:
        before = files.version.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return
    if before != _version(session) and hypervisor.list_nodes(session.uid):
        raise InputError(
            f"{session.path}: training: its benches were brought up for {_shown(before)}, not for "
            f"{_shown(_version(session))}; run plateau down first, or put that back"
        )


def keep_version(session: Session, files: SessionFiles) -> None:
    """Write down for which version the benches are brought up."""
    write_private(files.version, f"{_version(session)}\n".encode(), mode=0o644)


def _version(session: Session) -> str:
    return session.file.training or ""


def _shown(version: str) -> str:
    return f"the training version {version}" if version else "the whole lab"
