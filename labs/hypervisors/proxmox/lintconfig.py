"""What the configuration of a template made by others lacks, or would hand on to each of its machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from labs.doctor import Finding
from labs.hypervisors.proxmox.privileges import bridge_path, holds
from labs.hypervisors.proxmox.templates import disks_of

COPIED = ("cipassword", "sshkeys", "nameserver", "searchdomain")


def lint_config(vmid: int, config: Mapping[str, Any], held: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """`held`: the token's own permissions, which a clone asks for on every storage and bridge of its template."""
    what = f"template VM {vmid}"
    agent = dict(part.partition("=")[::2] for part in f"enabled={config.get('agent') or 0}".split(","))
    enabled = agent["enabled"].removeprefix("enabled=") == "1"
    yield Finding(what, enabled, "guest agent is on" if enabled else "guest agent is off", f"qm set {vmid} --agent 1")
    drive = any("cloudinit" in str(value) for value in config.values())
    detail = "has a cloud-init drive" if drive else "no cloud-init drive: it cannot be told its address"
    storage = next(iter(disks_of(config)), "local")
    yield Finding(what, drive, detail, f"qm set {vmid} --ide2 {storage}:cloudinit")
    copied = [name for name in sorted(COPIED) if config.get(name)]
    if copied:
        detail = f"{', '.join(copied)} would be copied to every machine"
        yield Finding(what, False, detail, f"qm set {vmid} --delete {','.join(copied)}")
    if int(config.get("protection") or 0):
        yield Finding(what, False, "protection would keep machines from being deleted", f"qm set {vmid} --protection 0")
    yield from _rights(vmid, config, held)


def _rights(vmid: int, config: Mapping[str, Any], held: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    what = f"template VM {vmid}"
    for storage in dict.fromkeys(disks_of(config)):
        path = f"/storage/{storage}"
        if not holds(held, path, "Datastore.AllocateSpace"):
            detail = f"the token lacks Datastore.AllocateSpace on its storage {storage}"
            user = "pveum acl modify {} --users USER --roles PlateauStorage"
            yield Finding(what, False, detail, user.format(path))
    for name, value in sorted(config.items()):
        if name.rstrip("0123456789") != "net":
            continue
        options = dict(part.partition("=")[::2] for part in str(value).split(","))
        bridge, tag = options.get("bridge"), options.get("tag")
        if bridge and not holds(held, bridge_path(bridge, int(tag) if tag else None), "SDN.Use"):
            detail = f"the token lacks SDN.Use on bridge {bridge} of its card {name}, which a clone asks for"
            yield Finding(what, False, detail, f"qm set {vmid} --delete {name} (machines get cards of their own)")
