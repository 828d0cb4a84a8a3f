"""The lint of a template: two throw-away machines are cloned, asked, and deleted with proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from labs.deadline import Deadline
from labs.doctor import Finding
from labs.errors import DeadlineError, HypervisorError, PlateauError
from labs.hypervisors.base import BenchKey, NodeKey, NodeSpec
from labs.hypervisors.proxmox.lintguest import Inside, judge, look

if TYPE_CHECKING:
    from labs.hypervisors.proxmox.driver import ProxmoxHypervisor

NAMES = ("clone-1", "clone-2")
MAKE_SECONDS = 300.0
BOOT_SECONDS = 900.0
"""A Windows that sysprep has generalised boots more than once before it is there."""
CONFIGURED_SECONDS = 240.0
"""How long cloud-init or cloudbase-init may take after the agent's first answer."""
DELETE_SECONDS = 180.0

Progress = Callable[[str, str], None]


def lint(
    hypervisor: ProxmoxHypervisor, role: str, release: str, *, memory_mb: int, own: bool, progress: Progress
) -> list[Finding]:
    """The findings of one template. Raises PlateauError when it cannot be cloned, or a clone cannot be deleted.

    The machines are a session of their own, by whose name what a killed lint left is found and deleted by the next.
    """
    session, what = f"lint-{role}-{release}", f"template {role}-{release}"
    bench = BenchKey(session, "lint")
    specs = [NodeSpec(NodeKey(session, "lint", name), role, release, memory_mb, 1, ()) for name in NAMES]
    _clear(hypervisor, bench)
    try:
        with ThreadPoolExecutor(len(specs)) as pool:
            seen = list(pool.map(lambda spec: _visit(hypervisor, spec, own, progress), specs))
        return list(judge(what, seen, own=own))
    except _SilentError as problem:
        remedy = "install the agent (qemu-guest-agent; on Windows with the virtio-serial driver) and enable it"
        return [Finding(what, False, str(problem), remedy)]
    finally:
        progress(what, "delete the clones")
        _clear(hypervisor, bench)


class _SilentError(PlateauError):
    """The agent of a clone does not answer."""


def _visit(hypervisor: ProxmoxHypervisor, spec: NodeSpec, own: bool, progress: Progress) -> tuple[Inside, str, str]:
    key, label = spec.key, f"{spec.role}-{spec.release}/{spec.key.node}"
    progress(label, "clone")
    hypervisor.ensure_node(spec, Deadline.after(MAKE_SECONDS))
    progress(label, "boot")
    hypervisor.start(key, Deadline.after(MAKE_SECONDS))
    try:
        hypervisor.wait_agent(key, Deadline.after(BOOT_SECONDS))
    except DeadlineError:
        raise _SilentError(f"its guest agent did not answer within {BOOT_SECONDS:.0f} s of the start") from None
    progress(label, "look inside")
    if own:
        setup = hypervisor.guest_setup(key).encode()
        hypervisor.execute(key, ["/bin/sh"], Deadline.after(MAKE_SECONDS), stdin=setup)
    endpoint = hypervisor.status(key).ssh
    address = endpoint[0] if endpoint is not None else ""
    deadline = Deadline.after(CONFIGURED_SECONDS)
    for _ in deadline.ticks(1.0, slower=2):
        inside = _look(hypervisor, key)
        if address in inside.addresses and (own or inside.host_name.lower().startswith(key.node)):
            break
    return inside, address, key.node


def _look(hypervisor: ProxmoxHypervisor, key: NodeKey) -> Inside:
    deadline = Deadline.after(MAKE_SECONDS)

    def ask(question: str) -> Any:
        return hypervisor.ask_agent(key, question, deadline)

    def run(argv: Sequence[str]) -> str:
        try:
            return hypervisor.execute(key, argv, deadline).text
        except HypervisorError:
            return ""  # no such program there, among others: what cannot be read is judged as not there

    return look(ask, run)


def _clear(hypervisor: ProxmoxHypervisor, bench: BenchKey) -> None:
    deadline = Deadline.after(DELETE_SECONDS)
    for status in hypervisor.list_nodes(bench.session):
        hypervisor.delete(status.key, deadline)
    hypervisor.delete_segments(bench, deadline)
    left = hypervisor.leftovers(bench.session)
    if left:
        raise HypervisorError(f"the lint left {', '.join(left)}; run it again, or delete them")
