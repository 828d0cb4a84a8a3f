"""SSH to a node, with the host key that the controller gave it: nothing is trusted on first use."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from labs.errors import PlateauError

if TYPE_CHECKING:
    import paramiko

    from labs.bench import BenchNode
    from labs.deadline import Deadline
    from labs.hypervisors.base import Hypervisor
    from labs.sessionfiles import SessionFiles


class UnreachableError(PlateauError):
    """SSH to a node did not work; says why in one line."""


def connect(hypervisor: Hypervisor, node: BenchNode, files: SessionFiles, deadline: Deadline) -> paramiko.SSHClient:
    """Log in as root with the grader's key. Raises UnreachableError when that does not work in time."""
    import paramiko

    # Its background thread logs a traceback for every refused connection, beside the exception that we handle.
    logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)
    key = node.spec.key
    endpoint = hypervisor.status(key).ssh
    if endpoint is None:
        raise UnreachableError(f"{key}: the hypervisor knows no SSH address for it")
    host, port = endpoint
    client = paramiko.SSHClient()
    try:
        line = files.public_host_key(key.candidate, key.node).read_text()
        known = paramiko.Ed25519Key(filename=str(files.host_key(key.candidate, key.node)))
        client.get_host_keys().add(f"[{host}]:{port}" if port != 22 else host, line.split()[0], known)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            host,
            port,
            username="root",
            key_filename=str(files.grader_key),
            allow_agent=False,
            look_for_keys=False,
            timeout=max(0.1, deadline.remaining),
            banner_timeout=max(0.1, deadline.remaining),
            auth_timeout=max(0.1, deadline.remaining),
        )
    except (OSError, EOFError, paramiko.SSHException) as problem:
        client.close()
        raise UnreachableError(f"{key}: SSH to {host}:{port} failed: {problem or type(problem).__name__}") from None
    transport = client.get_transport()
    if transport is not None and isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client
