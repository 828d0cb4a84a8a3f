"""The grader's own logins on a machine that floods: bounded memory, bounded time."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import paramiko
import pytest

from graders.engine.command import KEPT_BYTES
from graders.engine.snapshot import Snapshot
from graders.login import Login
from graders.notebook import Notebook
from labs.errors import DeadlineError, HypervisorError
from tests.sshd import Sshd
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs.hypervisors.base import Hypervisor
    from labs.sessionfiles import SessionFiles


class NoAgent:
    def execute(self, *_: Any, **__: Any) -> Any:
        raise HypervisorError("agent: silence")


class Direct(Login):
    """Logs in to an sshd of this computer."""

    sshd: Sshd

    def client(self, node: str) -> paramiko.SSHClient:
        if node not in self._clients:
            made = self._clients[node] = paramiko.SSHClient()
            made.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            made.connect(*self.sshd.address(), username=self.sshd.user, key_filename=str(self.sshd.key))
        return self._clients[node]


@pytest.fixture
def login(tmp_path: Path) -> Iterator[Login]:
    notebook = Notebook(Snapshot(tmp_path / "snapshot.jsonl"))
    made = Direct(cast("Hypervisor", NoAgent()), bench_of("reseau", 0), cast("SessionFiles", None), notebook)
    made.sshd = Sshd(tmp_path / "sshd")
    notebook.begin(4.0)
    yield made
    made.forget()
    made.sshd.close()
    notebook.snapshot.close()


def test_what_is_beyond_the_limit_is_read_and_forgotten(login: Login) -> None:
    told = login("ws").run("head -c 20000000 /dev/zero; echo error >&2; exit 3")
    assert (told.rc, len(told.stdout_bytes), told.stderr) == (3, KEPT_BYTES, "error\n")


def test_an_endless_answer_ends_with_the_time_that_there_is(login: Login) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(DeadlineError):
        login("ws").run("yes")
    assert time.monotonic() - began < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100 * 1024
