"""Logging in to a candidate's machine: a testinfra host over the guest agent, with SSH as second route.

The agent first: it needs no network of the candidate's, no shell start-up file, and a quarter of the time of SSH.
What is read inside is evidence, seldom a verdict: the candidate is root there.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from graders.engine.command import KEPT_BYTES, Answer
from graders.notebook import Notebook
from labs.errors import DeadlineError, HypervisorError
from labs.ssh import UnreachableError, connect

if TYPE_CHECKING:
    import paramiko

    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.sessionfiles import SessionFiles

CLEAN = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "/bin/sh", "-c")
"""Not the login environment: a candidate's dotfiles neither slow nor change a command."""
AGENT_SECONDS = 20.0
CONNECT_SECONDS = 10.0


class Login:
    """Logs in to the machines of one bench, once each.

    >>> login("ws").check_output("hostname")
    'ws'
    """

    def __init__(self, hypervisor: Hypervisor | None, bench: Bench, files: SessionFiles, notebook: Notebook) -> None:
        self.hypervisor, self.bench, self.files, self.notebook = hypervisor, bench, files, notebook
        self._clients: dict[str, paramiko.SSHClient] = {}
        self.early: dict[tuple[str, str], Answer] = {}
        """Answers that nobody asked for yet: (machine, command) -> answer."""
        self.started: dict[str, str] = {}
        """Errands that a check has come for and that are not over: folder -> machine."""
        self.over: set[str] = set()
        """Folders of errands that have ended."""
        self.answers: dict[str, Any] = {}
        """What an errand was for -> what it told, for checks that share one."""
        self.round = 0
        """How often they were thrown away, for a check to be measured again."""

    def __call__(self, node: str) -> Any:
        """The testinfra host of a machine; a command raises UnreachableError when neither route works."""
        return Host(NodeBackend(self, node))

    def prefetch(self, node: str, command: str, *args: str) -> None:
        """Run a command now; the first `run` of the same one gets its answer. One that cannot be run now is left."""
        if self.notebook.snapshot.replaying:
            return
        backend = NodeBackend(self, node)
        text = backend.get_command(command, *args)
        with contextlib.suppress(UnreachableError, DeadlineError):
            self.early[node, text] = backend.ask(text)

    def client(self, node: str) -> paramiko.SSHClient:
        """The SSH connection, kept until `forget`. Raises UnreachableError."""
        if node not in self._clients:
            assert self.hypervisor is not None
            deadline = self.notebook.current.deadline.sooner(CONNECT_SECONDS)
            self._clients[node] = connect(self.hypervisor, self.bench.node(node), self.files, deadline)
        return self._clients[node]

    def ask_again(self) -> None:
        """Throw the answers away that checks share: the next one who needs one asks anew."""
        self.answers.clear()
        self.round += 1

    def forget(self) -> None:
        """Close every connection (the machines reboot, or grading ends)."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.started.clear()
        self.early.clear()
        self.answers.clear()


class NodeBackend(BaseBackend):  # type: ignore[misc]
    """testinfra over our own routes; every command is noted."""

    NAME = "plateau"

    def __init__(self, login: Login, node: str) -> None:
        super().__init__(f"{login.bench.candidate.id}/{node}")
        self.login, self.node = login, node

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        """Run a shell command as root; its status, output and error output."""
        text = self.get_command(command, *args)
        notebook, began = self.login.notebook, time.monotonic()
        try:
            early = self.login.early.pop((self.node, text), None)
            answer = self._recall(text) if notebook.snapshot.replaying else early or self.ask(text)
        except (UnreachableError, DeadlineError) as problem:
            notebook.keep(f"login:{self.node}", text, {"error": str(problem)}, time.monotonic() - began)
            raise
        if not notebook.snapshot.replaying:
            notebook.keep(f"login:{self.node}", text, {**answer.to_data(), "early": bool(early)}, answer.seconds)
            notebook.current.disturbed |= bool(early)
        shown = (answer.stdout + (b"\n[stderr] " + answer.stderr if answer.stderr else b"")).decode("utf-8", "replace")
        notebook.add(f"{answer.route}:{self.node}", text, f"[{answer.status}] {shown}", answer.seconds)
        return self.result(answer.status or 0, self.encode(text), answer.stdout, answer.stderr)

    def get_encoding(self) -> str:
        """The commands run with a UTF-8 locale: the machine need not be asked."""
        return "UTF-8"

    def decode(self, data: bytes) -> str:
        """Text for the checks: a file in another encoding must not stop the grader."""
        return data.decode("utf-8", "replace")

    def _recall(self, text: str) -> Answer:
        found = self.login.notebook.recall(f"login:{self.node}", text)
        if "error" in found:
            raise UnreachableError(found["error"])
        self.login.notebook.current.disturbed |= found.get("early", False)
        return Answer.from_data(found)

    def ask(self, text: str) -> Answer:
        """Run it on the machine. Raises UnreachableError when neither route works."""
        began, route = time.monotonic(), "agent"
        try:
            status, out, err = self._over_agent(text)
        except (HypervisorError, DeadlineError) as problem:
            self.login.notebook.add(f"agent:{self.node}", text, str(problem), time.monotonic() - began)
            route = "ssh"
            status, out, err = self._over_ssh(text)
        return Answer(status, out[:KEPT_BYTES], err[:KEPT_BYTES], time.monotonic() - began, route)

    def _over_agent(self, text: str) -> tuple[int, bytes, bytes]:
        login = self.login
        key = login.bench.node(self.node).spec.key
        deadline = login.notebook.current.deadline.sooner(AGENT_SECONDS)
        assert login.hypervisor is not None
        result = login.hypervisor.execute(key, [*CLEAN, text], deadline)
        return result.exit_status, result.stdout, result.stderr

    def _over_ssh(self, text: str) -> tuple[int, bytes, bytes]:
        transport = self.login.client(self.node).get_transport()
        deadline = self.login.notebook.current.deadline
        try:
            if transport is None:
                raise EOFError("closed")
            channel = transport.open_session(timeout=deadline.remaining)
            channel.exec_command(f"exec {shlex.join([*CLEAN, text])}")
            out, err = bytearray(), bytearray()
            reads = ((channel.recv_ready, channel.recv, out), (channel.recv_stderr_ready, channel.recv_stderr, err))
            while True:
                over = channel.exit_status_ready() and channel.eof_received
                pending = False
                for ready, receive, kept in reads:
                    if ready():  # what is beyond the limit is read, and forgotten
                        kept.extend(receive(65536)[: KEPT_BYTES - len(kept)])
                        pending = True
                if over and not pending:
                    status = channel.recv_exit_status()
                    channel.close()
                    return status, bytes(out), bytes(err)
                deadline.check(f"{self.node}: {text}")
                if not pending:
                    time.sleep(0.005)
        except (OSError, EOFError) as problem:
            raise UnreachableError(f"{self.node}: the SSH connection broke: {problem}") from None
