"""ssh, console, restart, solve: into the machines."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from labs.cli.options import CandidateArg, CandidateOption, NodeArg, SessionArg
from labs.errors import HypervisorError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from labs.hypervisors.base import NodeKey
    from labs.models.session import Session


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(ssh)
    app.command()(console)
    app.command()(restart)
    app.command()(solve)


def ssh(context: typer.Context, session: SessionArg, candidate: CandidateArg, node: NodeArg) -> None:
    """Log in to a machine as the trainer (root); a command may follow."""
    from labs.hypervisors import open_hypervisor
    from labs.models.session import load_session
    from labs.sessionfiles import SessionFiles

    loaded = load_session(session)
    key = _node_key(loaded, candidate, node)
    if loaded.lab.node(node).windows:
        raise InputError(
            f"{key}: a Windows machine has no SSH; its screen: plateau console {session} {candidate} {node} --vnc"
        )
    endpoint = open_hypervisor(loaded.profile).status(key).ssh
    if endpoint is None:
        raise HypervisorError(f"{key}: there is no such machine; run plateau up {session}")
    files = SessionFiles(loaded.folder)
    host, port = endpoint
    arguments = ["ssh", "-F", "none", "-i", str(files.grader_key), "-p", str(port)]
    for option in (
        f"UserKnownHostsFile={files.known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
    ):
        arguments += ["-o", option]
    os.execvp("ssh", [*arguments, f"root@{host}", *context.args])


def console(
    session: SessionArg,
    candidate: CandidateArg,
    node: NodeArg,
    vnc: Annotated[bool, typer.Option("--vnc", help="Print where the screen is instead.")] = False,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="On a cluster: open a local port for a VNC viewer, until it leaves.")
    ] = False,
) -> None:
    """The machine's serial console, which works without its network. Ctrl-] leaves."""
    from labs.cli.output import out
    from labs.hypervisors import open_hypervisor
    from labs.models.session import load_session
    from labs.terminal import bridge, serve_screen

    loaded = load_session(session)
    found = open_hypervisor(loaded.profile).console(_node_key(loaded, candidate, node))
    if viewer and found.screen is not None:
        serve_screen(found.screen, lambda port, word: out.print(f"127.0.0.1:{port}  password {word}", markup=False))
    elif (vnc or viewer) and found.vnc is not None:
        out.print(f"{found.vnc[0]}:{found.vnc[1]}  password {found.vnc_password}")
    elif vnc and found.url is not None:
        out.print(found.url, soft_wrap=True)
    elif vnc or viewer:
        raise HypervisorError(f"{candidate}/{node}: this hypervisor offers no VNC screen")
    else:
        bridge(found.serial)


def restart(session: SessionArg, candidate: CandidateArg, node: NodeArg) -> None:
    """Press the reset button of a machine that hangs (or start it), and wait until it answers. Its disk stays."""
    from labs.bench import compute_bench
    from labs.cli.output import duration, out
    from labs.cli.provisioning import fail_on, with_executor
    from labs.hypervisors import open_hypervisor
    from labs.models.session import load_session

    started = time.monotonic()
    loaded = load_session(session)
    key = _node_key(loaded, candidate, node)
    bench = compute_bench(loaded, loaded.candidate(candidate))
    outcome = with_executor(
        loaded, open_hypervisor(loaded.profile), "restart", lambda executor: executor.restart(bench, bench.node(node))
    )
    fail_on(outcome)
    out.print(f"{key.candidate}/{key.node} answers again after {duration(time.monotonic() - started)}")


def solve(session: SessionArg, candidate: CandidateOption = None) -> None:
    """Apply the lab's solution (trainers and CI)."""
    from labs.cli.output import Progress, duration, out

    started = time.monotonic()
    progress = Progress(quiet=False)
    with progress.showing():
        solve_benches(session, candidate, progress)
    out.print(f"solution applied in {duration(time.monotonic() - started)}")


def solve_benches(session: str, candidates: list[str] | None, progress: Callable[[str, str], None]) -> None:
    """The work of `solve`. Raises PlateauError naming the first task that failed, InputError for an exam."""
    from labs import ansible
    from labs.bench import compute_benches
    from labs.hypervisors import open_hypervisor
    from labs.hypervisors.base import Power
    from labs.lock import exclusive
    from labs.models.session import load_session
    from labs.paths import PLAYBOOKS
    from labs.sessionfiles import SessionFiles

    loaded = load_session(session)
    if loaded.file.mode == "exam":
        raise InputError(f"{loaded.path}: mode: exam: solve does the candidates' work for them; try it in a training")
    files = SessionFiles(loaded.folder)
    hypervisor = open_hypervisor(loaded.profile)
    benches = compute_benches(loaded, candidates)
    for bench in benches:
        for node in bench.graded_nodes:
            if hypervisor.status(node.spec.key).power is not Power.RUNNING:
                raise HypervisorError(f"{bench.candidate.id}/{node.name} is not running; run plateau up {session}")
    with exclusive(files.lock, "solve"):
        ansible.run(PLAYBOOKS / loaded.lab.solution, files.inventory, benches, progress)


def _node_key(loaded: Session, candidate: str, node: str) -> NodeKey:
    from labs.bench import compute_bench

    bench = compute_bench(loaded, loaded.candidate(candidate))
    try:
        return bench.node(node).spec.key
    except KeyError:
        known = ", ".join(one.name for one in bench.nodes)
        raise InputError(f"lab {loaded.lab.name} has no machine {node!r}; known: {known}") from None
