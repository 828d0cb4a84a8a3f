"""The privileges that Plateau's token needs, and no others: what doctor checks, and what docs/proxmox.md grants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labs.models.proxmox import ProxmoxProfile, SdnNetwork

MACHINES = frozenset(
    {
        "Pool.Allocate",
        "Pool.Audit",
        "VM.Allocate",
        "VM.Audit",
        "VM.Clone",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.Console",
        "VM.GuestAgent.Audit",
        "VM.GuestAgent.Unrestricted",
        "VM.PowerMgmt",
        "VM.Snapshot",
        "VM.Snapshot.Rollback",
    }
)


CONSOLES = frozenset({"VM.Audit", "VM.Console"})
"""What a candidate's user may do with the own machines."""


@dataclass(frozen=True)
class Grant:
    """Privileges on a path, as a role of their own."""

    path: str
    role: str
    privileges: frozenset[str]
    why: str

    def commands(self, user: str) -> list[str]:
        """The lines by which an administrator grants them."""
        below = " --propagate 0" if self.path in {"/", "/sdn"} else ""
        return [
            f'pveum role add {self.role} --privs "{" ".join(sorted(self.privileges))}"',
            f"pveum acl modify {self.path} --users {user} --roles {self.role}{below}",
        ]


def required(profile: ProxmoxProfile, nodes: Sequence[str]) -> list[Grant]:
    """What the token needs with this profile. A machine's rights come from the pool it is in."""
    storages = dict.fromkeys([profile.storage, profile.import_storage or profile.storage])
    grants = [
        Grant(f"/pool/{profile.pool}", "PlateauMachines", MACHINES, "machines, templates and pools of sessions"),
        *(
            Grant(
                f"/storage/{storage}",
                "PlateauStorage",
                frozenset({"Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"}),
                "disks of machines, upload of role images",
            )
            for storage in storages
        ),
        *(
            Grant(f"/nodes/{node}", "PlateauNode", frozenset({"Sys.Audit"}), "free memory, for placement")
            for node in nodes
        ),
        Grant(
            bridge_path(profile.management.bridge, profile.management.vlan),
            "PlateauBridge",
            frozenset({"SDN.Use"}),
            "management cards",
        ),
    ]
    if profile.management.firewall:
        reason = "whether the cluster's firewall is on"
        grants.append(Grant("/", "PlateauNode", frozenset({"Sys.Audit"}), reason))
    for vmid in sorted(set(profile.templates.values())):
        role = "PlateauTemplate"
        grants.append(Grant(f"/vms/{vmid}", role, frozenset({"VM.Audit", "VM.Clone"}), "a template of others"))
    if isinstance(profile.network, SdnNetwork):
        privileges = frozenset({"SDN.Allocate", "SDN.Audit", "SDN.Use"})
        grants.append(Grant(f"/sdn/zones/{profile.network.zone}", "PlateauZone", privileges, "segments"))
        grants.append(Grant("/sdn", "PlateauApply", frozenset({"SDN.Allocate"}), "applying changes of segments"))
    else:
        path = bridge_path(profile.network.bridge, None)
        grants.append(Grant(path, "PlateauBridge", frozenset({"SDN.Use"}), "segments"))
    if profile.candidates is not None:
        realm = f"/access/realm/{profile.candidates.realm}"
        grants.append(Grant(realm, "PlateauRealm", frozenset({"Realm.AllocateUser"}), "users of candidates"))
        grants.append(Grant("/access/groups", "PlateauUsers", frozenset({"User.Modify"}), "users of candidates"))
    return grants


def bridge_path(bridge: str, vlan: int | None) -> str:
    """Where the right to put cards on a bridge is: on one VLAN of it, or on all of it."""
    return f"/sdn/zones/localnetwork/{bridge}" + (f"/{vlan}" if vlan is not None else "")


def holds(held: Mapping[str, Mapping[str, Any]], path: str, privilege: str) -> bool:
    """Whether the own permissions, as the API tells them, give a privilege on a path: there, or inherited from above.

    A path that is listed tells everything about itself; 1 means that what is below inherits it.
    """
    if path in held:
        return privilege in held[path]
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        if path in held:
            return bool(int(held[path].get(privilege) or 0))
    return False
