"""Which routes lead to a node: by the language of the question, and by what the lab says of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from graders.engine.command import DEVICE, POWERSHELL
from graders.engine.device import DeviceLogin, DeviceRoute
from graders.engine.routes import AgentRoute, Route, RouteError, SshRoute
from graders.engine.windows import WindowsLogin, WindowsRoute
from labs.errors import InputError
from labs.passwords import secret

if TYPE_CHECKING:
    from pathlib import Path

    from labs.bench import BenchNode
    from labs.deadline import Deadline
    from labs.hypervisors.base import ExecResult, Hypervisor
    from labs.models.lab import Device, Windows
    from labs.sessionfiles import SessionFiles

Address = Callable[[], tuple[str, int]]


def routes(
    hypervisor: Hypervisor, node: BenchNode, files: SessionFiles, language: str, lab_folder: Path
) -> list[Route]:
    """The routes in order of preference. Raises InputError when the machine does not understand that language."""
    key = node.spec.key

    def address() -> tuple[str, int]:
        endpoint = hypervisor.status(key).ssh
        if endpoint is None:
            raise RouteError(f"{key}: the hypervisor knows no SSH address for it")
        return endpoint

    def execute(argv: Sequence[str], deadline: Deadline, stdin: bytes) -> ExecResult:
        return hypervisor.execute(key, argv, deadline, stdin=stdin)

    model = node.model
    if language == DEVICE:
        if model.device is None or model.device.type == "frr":
            raise InputError(f"{node.name}: has no device: with a netmiko type in lab.yaml; nothing else is asked so")
        return [_device(model.device, address, node, files)]
    if language == POWERSHELL:
        if model.windows is None:
            raise InputError(f"{node.name}: has no windows: in lab.yaml, so PowerShell cannot be asked")
        return [_windows(model.windows, address, node, lab_folder)]
    public = files.public_host_key(key.candidate, key.node)
    return [SshRoute(address, "root", files.grader_key, public, str(key)), AgentRoute(execute, str(key))]


def _device(device: Device, address: Address, node: BenchNode, files: SessionFiles) -> Route:
    key = node.spec.key
    known = files.keys / "devices" / f"{key.candidate}.{key.node}"

    def place() -> tuple[str, int]:
        host, port = address()
        port = device.port or port
        if device.host_key:
            known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            known.write_text(f"{host if port == 22 else f'[{host}]:{port}'} {device.host_key}\n", encoding="ascii")
        return host, port

    password = secret(device.password_env, f"{device.user} on {node.name}") if device.password_env else None
    login = DeviceLogin(
        type=device.type,
        user=str(device.user),
        known=known,
        password=password,
        key=None if password else files.grader_key,
        enable=secret(device.enable_env, f"the privileged mode of {node.name}") if device.enable_env else "",
        pinned=device.host_key is not None,
    )
    return DeviceRoute(place, login, str(key))


def _windows(windows: Windows, address: Address, node: BenchNode, lab_folder: Path) -> Route:
    password = secret(windows.password_env, f"{windows.user} on {node.name}")
    ca = lab_folder / windows.ca_file if windows.ca_file else None
    login = WindowsLogin(windows.user, password, windows.tls, ca)
    return WindowsRoute(lambda: (address()[0], windows.port), login, str(node.spec.key))
