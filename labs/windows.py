"""The first configuration of a Windows machine: one PowerShell script, run by the guest agent as the system.

It gives the machine its name, its lab cards theirs, the candidate the built-in administrator, and the grader an account
and WinRM over TLS. cloudbase-init has given it its management address before. Never run on a Windows.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from labs.errors import InputError, PlateauError
from labs.passwords import secret
from labs.paths import CATALOGUE
from labs.powershell import ARGUMENTS, POWERSHELL, packed, quoted
from labs.variants import render

if TYPE_CHECKING:
    from labs.bench import Bench, BenchNode
    from labs.deadline import Deadline
    from labs.hypervisors.base import Hypervisor

MORE_SECONDS = 1500.0
"""Beyond what a Debian machine gets: a generalised Windows configures itself at its first start, then starts again."""
STOP_SECONDS = 180.0
CONNECT_SECONDS = 5.0
PROGRAM = Path(__file__).with_name("windows.ps1")


def password(bench: Bench) -> str:
    """Of the built-in administrator: three kinds of characters, which Windows asks for."""
    return f"Acces-{bench.password}-1"


def script(bench: Bench, node: BenchNode) -> str:
    """The script of one machine.

    Raises InputError when the lab's template cannot be rendered, EnvironmentLackError without the grader's password.
    """
    windows = node.model.windows
    assert windows is not None
    settings = {
        "name": node.name,
        "password": password(bench),
        "user": windows.user,
        "secret": secret(windows.password_env, f"{windows.user} on {node.name}"),
        "port": windows.port,
        "cards": [
            {"name": nic.segment or f"carte{number}", "mac": nic.mac.upper().replace(":", "-")}
            for number, nic in enumerate(node.spec.nics, 1)
        ],
    }
    text = PROGRAM.read_text(encoding="utf-8").replace("@SETTINGS@", quoted(json.dumps(settings)))
    return text + (_of_the_lab(bench, windows.setup) if windows.setup else "")


def configure(hypervisor: Hypervisor, bench: Bench, node: BenchNode, deadline: Deadline) -> None:
    """Run the script, then start the machine again: its name wants that. Raises PlateauError."""
    key = node.spec.key
    result = hypervisor.execute(key, [POWERSHELL, *ARGUMENTS], deadline, stdin=packed(script(bench, node)))
    if result.exit_status:
        words = " ".join(result.stderr.decode("utf-8", "replace").split()) or "no message"
        raise PlateauError(f"{key}: first configuration failed: {words[:300]}")
    hypervisor.stop(key, deadline.sooner(STOP_SECONDS))
    hypervisor.start(key, deadline)
    hypervisor.wait_agent(key, deadline)


def wait(hypervisor: Hypervisor, node: BenchNode, deadline: Deadline) -> None:
    """Return when WinRM accepts connections. Raises DeadlineError."""
    assert node.model.windows is not None
    port = node.model.windows.port

    def accepts() -> bool | None:
        host = (hypervisor.status(node.spec.key).ssh or ("", 0))[0]
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except OSError:
            return None
        return True

    deadline.poll(accepts, f"{node.spec.key}: WinRM on port {port}", interval=2.0)


def _of_the_lab(bench: Bench, template: str) -> str:
    path = CATALOGUE / bench.session.lab.name / "files" / template
    try:
        return "\n" + render(path.read_text(encoding="utf-8"), bench.variables)
    except FileNotFoundError:
        raise InputError(f"{path}: no such template; lab.yaml names it as windows.setup") from None
    except Exception as problem:  # noqa: BLE001 - a template runs arbitrary expressions: any error is its author's
        raise InputError(f"{path}: cannot be rendered: {problem}") from None
