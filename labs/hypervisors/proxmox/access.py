"""A Proxmox user for each candidate, who opens the consoles of the own machines and sees nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from labs.deadline import Deadline
from labs.hypervisors.base import BenchKey
from labs.hypervisors.proxmox import naming, pools
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.retry import settle
from labs.hypervisors.proxmox.tasks import Tasks
from labs.models.proxmox import Candidates, ProxmoxProfile

READ_SECONDS = 30.0


def user_of(wanted: Candidates, bench: BenchKey) -> str:
    """The user's name: `camille.1a2b3c4d@pve`."""
    return f"{bench.candidate}.{hashlib.sha256(bench.session.encode()).hexdigest()[:8]}@{wanted.realm}"


def mark(bench: BenchKey) -> str:
    """The user's comment, by which it is known as ours."""
    return f"plateau: {bench}"


def admit(
    client: Client,
    tasks: Tasks,
    profile: ProxmoxProfile,
    bench: BenchKey,
    vmids: Sequence[int],
    password: str,
    deadline: Deadline,
) -> str | None:
    """Give the candidate's user the pool of these machines; its name, None when the profile wants no users."""
    wanted = profile.candidates
    if wanted is None:
        return None
    pool, user = naming.candidate_pool(profile.pool, bench), user_of(wanted, bench)
    pools.ensure(client, tasks, pool, deadline)

    def joined() -> bool:
        return set(vmids) <= _members(client, pool, deadline)

    if not joined():
        numbers = ",".join(str(vmid) for vmid in sorted(set(vmids) - _members(client, pool, deadline)))
        settle(
            lambda: client.call("PUT", "pools", deadline, poolid=pool, vms=numbers, **{"allow-move": True}),
            joined,
            tasks,
            f"pool {pool}",
            deadline,
        )
    settle(
        lambda: client.call(
            "POST", "access/users", deadline, userid=user, password=password, comment=mark(bench), enable=True
        ),
        lambda: user in _users(client, mark(bench), deadline),
        tasks,
        f"user {user}",
        deadline,
    )
    path = f"/pool/{pool}"
    settle(
        lambda: client.call("PUT", "access/acl", deadline, path=path, users=user, roles=wanted.role, propagate=True),
        lambda: False,  # done twice, it is the same
        tasks,
        f"rights of {user}",
        deadline,
    )
    return user


def remove(
    client: Client, tasks: Tasks, profile: ProxmoxProfile, benches: Sequence[BenchKey], deadline: Deadline
) -> None:
    """Delete the users of these benches; one without our comment is somebody else's."""
    if profile.candidates is None:
        return
    for bench in benches:
        for user in sorted(_users(client, mark(bench), deadline)):
            settle(
                lambda user=user: client.call("DELETE", f"access/users/{user}", deadline),  # type: ignore[misc]
                lambda bench=bench: not _users(client, mark(bench), deadline),  # type: ignore[misc]
                tasks,
                f"user {user}",
                deadline,
            )


def left(client: Client, profile: ProxmoxProfile, session: str) -> list[str]:
    """The session's users that exist."""
    if profile.candidates is None:
        return []
    return [f"user {user}" for user in sorted(_users(client, f"plateau: {session}/", Deadline.after(READ_SECONDS)))]


def _users(client: Client, comment: str, deadline: Deadline) -> set[str]:
    listed = client.get("access/users", deadline)
    return {
        str(one["userid"])
        for one in listed
        if (told := str(one.get("comment") or "")) == comment or (comment.endswith("/") and told.startswith(comment))
    }


def _members(client: Client, pool: str, deadline: Deadline) -> set[int]:
    try:
        (found,) = client.get("pools", deadline, poolid=pool)
    except ApiError as problem:
        if problem.kind is Kind.MISSING:
            return set()
        raise
    return {int(one["vmid"]) for one in found.get("members", []) if "vmid" in one}
