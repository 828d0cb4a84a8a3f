"""The pools of a session: what gives the token its rights on the session's machines, and shows whose they are."""

from __future__ import annotations

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.proxmox import naming
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.tasks import Tasks
from labs.models.proxmox import ProxmoxProfile

READ_SECONDS = 30.0


def ensure(client: Client, tasks: Tasks, pool: str, deadline: Deadline) -> None:
    """Make the pool exist. Raises EnvironmentLackError when the administrator has not made its parent."""
    if pool in names(client, deadline):
        return
    try:
        settle(
            lambda: client.call("POST", "pools", deadline, poolid=pool),
            lambda: pool in names(client, deadline),
            tasks,
            f"pool {pool}",
            deadline,
        )
    except ApiError as problem:
        parent = pool.rpartition("/")[0]
        if problem.kind is Kind.MISSING:
            raise EnvironmentLackError(
                f"pool {parent} does not exist; as an administrator: pvesh create /pools --poolid {parent}"
            ) from None
        raise


def names(client: Client, deadline: Deadline) -> set[str]:
    """The pools that the token can see (Pool.Audit)."""
    return {str(pool["poolid"]) for pool in client.get("pools", deadline)}


def left(client: Client, profile: ProxmoxProfile, session: str) -> list[str]:
    """The session's pools that exist."""
    own = naming.session_pool(profile.pool, session)
    found = sorted(
        name for name in names(client, Deadline.after(READ_SECONDS)) if name == own or name.startswith(f"{own}/")
    )
    return [f"pool {name}" for name in found]


def remove(client: Client, tasks: Tasks, profile: ProxmoxProfile, session: str, deadline: Deadline) -> None:
    """Delete the session's pools that are empty, the inner ones first; one with machines stays."""
    own = naming.session_pool(profile.pool, session)
    known = names(client, deadline)
    for name in sorted((one for one in known if one == own or one.startswith(f"{own}/")), reverse=True):
        try:
            settle(
                lambda name=name: client.call("DELETE", "pools", deadline, poolid=name),  # type: ignore[misc]
                lambda name=name: name not in names(client, deadline),  # type: ignore[misc]
                tasks,
                f"pool {name}",
                deadline,
            )
        except ApiError as problem:
            if "is not empty" not in problem.text:
                raise
