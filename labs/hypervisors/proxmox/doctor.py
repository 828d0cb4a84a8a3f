"""What a cluster lacks to run benches: one finding each, with the command that an administrator types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labs.deadline import Deadline
from labs.doctor import Finding
from labs.errors import PlateauError
from labs.hypervisors.proxmox import preflight
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.cluster import Cluster, Snapshot
from labs.hypervisors.proxmox.failures import ApiError
from labs.hypervisors.proxmox.lintconfig import lint_config
from labs.hypervisors.proxmox.pools import names as pool_names
from labs.hypervisors.proxmox.privileges import CONSOLES, MACHINES, Grant, holds, required
from labs.hypervisors.proxmox.templates import Templates
from labs.models.proxmox import BridgeNetwork, ProxmoxProfile

READ_SECONDS = 30.0
WITHOUT_LINKED_CLONES = frozenset({"lvm", "iscsi", "iscsidirect"})
OLDEST_RELEASE = 9
"""The privileges of the guest agent and the names of SDN are those of Proxmox VE 9."""


def examine(profile: ProxmoxProfile) -> list[Finding]:
    """Everything the profile names, in a fixed order; ends at the first finding without which none other counts."""
    try:
        client = Client(profile)
        version = client.release()
    except PlateauError as problem:
        return [Finding("API", False, str(problem), "correct the profile, or the token")]
    found = [Finding("API", True, f"{client.first_host}, certificate verified, token accepted")]
    found.append(
        Finding(
            "version",
            int(version.partition(".")[0]) >= OLDEST_RELEASE,
            f"Proxmox VE {version}",
            f"Plateau needs Proxmox VE {OLDEST_RELEASE} or newer",
        )
    )
    snapshot = Cluster(client).read()
    online = [host.name for host in snapshot.hosts if host.online]
    found += _nodes(profile, snapshot)
    nodes = [name for name in profile.nodes or online if name in online]
    found += _privileges(profile, client, nodes)
    for examined in (_pool, _firewall):
        found.append(examined(profile, client))
    found += _candidates(profile, client)
    found += _storages(profile, snapshot, nodes)
    found += _network(profile, client, nodes)
    found.append(_range(profile, snapshot))
    found += _templates(profile, client, snapshot)
    return found


def _nodes(profile: ProxmoxProfile, snapshot: Snapshot) -> Iterator[Finding]:
    hosts = {host.name: host for host in snapshot.hosts}
    for name in profile.nodes or sorted(hosts):
        host = hosts.get(name)
        if host is None:
            yield Finding(f"node {name}", False, "not in the cluster", "correct nodes in the profile")
        elif not host.online:
            yield Finding(f"node {name}", False, "offline", "start it, or take it out of nodes in the profile")
        else:
            free = host.memory_mb - host.memory_used_mb
            yield Finding(f"node {name}", True, f"online, {free} of {host.memory_mb} MiB free, {host.cores} cores")


def _privileges(profile: ProxmoxProfile, client: Client, nodes: Sequence[str]) -> Iterator[Finding]:
    held = client.get("access/permissions", Deadline.after(READ_SECONDS))
    if not held:
        user, _, token = profile.token.partition("!")
        yield Finding(
            "rights",
            False,
            "the token has none: with privilege separation, which is the default, what its user holds does not count",
            f"pveum user token modify {user} {token} --privsep 0; then grant what is named below",
        )
    for grant in required(profile, nodes):
        lacking = sorted(one for one in grant.privileges if not holds(held, grant.path, one))
        remedy = "; ".join(grant.commands(profile.token.partition("!")[0]))
        detail = f"token lacks {', '.join(lacking)} ({grant.why})" if lacking else grant.why
        yield Finding(f"rights on {grant.path}", not lacking, detail, remedy)


def _pool(profile: ProxmoxProfile, client: Client) -> Finding:
    known = profile.pool in pool_names(client, Deadline.after(READ_SECONDS))
    remedy = f"pvesh create /pools --poolid {profile.pool}"
    return Finding("pool", known, profile.pool if known else f"{profile.pool} does not exist, or is not seen", remedy)


def _firewall(profile: ProxmoxProfile, client: Client) -> Finding:
    if not profile.management.firewall:
        return Finding("isolation", True, "left to the management bridge by the profile")
    try:
        preflight.require_firewall(profile, client)
    except PlateauError as problem:
        return Finding("isolation", False, str(problem), "pvesh set /cluster/firewall/options --enable 1")
    return Finding("isolation", True, "the cluster's firewall is on")


def _candidates(profile: ProxmoxProfile, client: Client) -> Iterator[Finding]:
    if profile.candidates is not None:
        role = profile.candidates.role
        listed = client.get("access/roles", Deadline.after(READ_SECONDS))
        known = {str(one["roleid"]): set(str(one.get("privs") or "").split(",")) for one in listed}
        privileges = known.get(role)
        remedy = f'pveum role {"add" if privileges is None else "modify"} {role} --privs "{" ".join(sorted(CONSOLES))}"'
        detail = (
            "does not exist" if privileges is None else f"gives {', '.join(sorted(privileges - {''})) or 'nothing'}"
        )
        # A token can give no right away that it has not itself.
        fits = privileges is not None and CONSOLES <= privileges <= MACHINES
        yield Finding(f"role {role}", fits, detail, remedy)


def _storages(profile: ProxmoxProfile, snapshot: Snapshot, nodes: Sequence[str]) -> Iterator[Finding]:
    imports = profile.import_storage or profile.storage
    for name, content in ((profile.storage, "images"), (imports, "import")):
        what = f"storage {name}"
        seen = [one for one in snapshot.storages if one.name == name and one.node in nodes]
        without = sorted(one.node for one in seen if content not in one.content)
        if not seen:
            yield Finding(what, False, "no node of the profile has it", "correct storage in the profile, or its rights")
        elif content == "images" and seen[0].kind in WITHOUT_LINKED_CLONES:
            detail = f"of type {seen[0].kind}, which has no linked clones"
            yield Finding(what, False, detail, "name one of type dir, nfs, lvmthin, zfspool or rbd in the profile")
        elif without:
            kept = ",".join(sorted({*seen[0].content, content} - {""}))
            yield Finding(what, False, f"does not take {content}", f"pvesm set {name} --content {kept}")
        else:
            free = min(one.free_mb for one in seen)
            yield Finding(what, True, f"takes {content}, {free} MiB free{', shared' if seen[0].shared else ''}")


def _network(profile: ProxmoxProfile, client: Client, nodes: Sequence[str]) -> Iterator[Finding]:
    deadline = Deadline.after(READ_SECONDS)
    if not isinstance(profile.network, BridgeNetwork):
        zone = profile.network.zone
        zones = {str(one["zone"]): str(one["type"]) for one in client.get("cluster/sdn/zones", deadline)}
        detail = f"{zones[zone]} zone" if zone in zones else "does not exist, or the token may not see it"
        if zones.get(zone) == "simple" and len(nodes) > 1:
            detail += ": each bench stays on one node"
        yield Finding(
            f"SDN zone {zone}", zone in zones, detail, f"pvesh create /cluster/sdn/zones --zone {zone} --type …"
        )
    else:
        yield from _bridges(profile.network.bridge, client, nodes, tagged=True)
    yield from _bridges(profile.management.bridge, client, nodes, tagged=profile.management.vlan is not None)


def _bridges(bridge: str, client: Client, nodes: Sequence[str], *, tagged: bool) -> Iterator[Finding]:
    for node in nodes:
        what = f"bridge {bridge} of {node}"
        try:
            listed = client.get(f"nodes/{node}/network", Deadline.after(READ_SECONDS), type="any_bridge")
        except ApiError as problem:
            yield Finding(what, False, str(problem), "grant SDN.Use on it")
            continue
        found = next((one for one in listed if one.get("iface") == bridge), None)
        aware = found is not None and bool(int(found.get("bridge_vlan_aware") or 0))
        kind = "VLAN-aware" if aware else "not VLAN-aware: each VLAN gets a bridge of its own" if tagged else "there"
        yield Finding(what, found is not None, kind if found else "not there, or the token may not see it", "create it")


def _range(profile: ProxmoxProfile, snapshot: Snapshot) -> Finding:
    inside = [guest for guest in snapshot.guests if guest.vmid in profile.vmids]
    strangers = [guest.vmid for guest in inside if profile.tag not in guest.tags]
    free = len(profile.vmids) - len(inside)
    detail = f"{profile.vmids.first}-{profile.vmids.last}, {free} free"
    if strangers:
        detail += f"; not ours and left alone: {', '.join(map(str, strangers[:5]))}"
    return Finding("VMIDs", free > 0, detail, "widen vmids of the profile")


def _templates(profile: ProxmoxProfile, client: Client, snapshot: Snapshot) -> Iterator[Finding]:
    from labs import images

    held = client.get("access/permissions", Deadline.after(READ_SECONDS)) if profile.templates else {}
    templates = Templates(profile, client)
    wanted = [(role, images.DEFAULT_RELEASE) for role in images.role_names()]
    wanted += [(name.rpartition("-")[0], name.rpartition("-")[2]) for name in sorted(profile.templates)]
    for role, release in dict.fromkeys(wanted):
        found = templates.candidates(role, release, snapshot)
        named = f"{role}-{release}" in profile.templates
        where = ", ".join(f"VM {guest.vmid} on {guest.node}" for guest in found)
        detail = where or ("none" if named else "none yet: made by plateau image build, or by up when a lab needs it")
        yield Finding(f"template {role}-{release}", bool(found) or not named, detail, templates.remedy(role, release))
        if named:
            for guest in found:
                path = f"nodes/{guest.node}/qemu/{guest.vmid}/config"
                yield from lint_config(guest.vmid, client.get(path, Deadline.after(READ_SECONDS)), held)


def granted(grants: Sequence[Grant], user: str) -> list[str]:
    """All lines of an administrator, each role made once."""
    return list(dict.fromkeys(line for grant in grants for line in grant.commands(user)))
