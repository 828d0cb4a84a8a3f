"""VNets as the API lists them, and which of them a bench's segments share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labs.hypervisors.base import BenchKey, SegmentSpec
from labs.hypervisors.proxmox import naming


@dataclass(frozen=True)
class Vnet:
    """One VNet of the zone; `state` is `new`, `changed` or `deleted` until the configuration is applied."""

    id: str
    alias: str
    zone: str
    tag: int | None
    state: str | None
    owner: SegmentSpec | None
    """The bench it is of, with its segments as the alias names them (`lan`, or `lan=10 wan=20` for a trunk)."""


def parse(entry: Mapping[str, Any]) -> Vnet:
    """A new VNet has its properties under `pending` only; a deleted one keeps them beside it."""
    values = {**entry, **(entry.get("pending") or {})}
    tag = values.get("tag")
    return Vnet(
        id=str(entry["vnet"]),
        alias=str(values.get("alias") or ""),
        zone=str(values.get("zone") or ""),
        tag=int(tag) if tag not in {None, ""} else None,
        state=str(entry["state"]) if entry.get("state") else None,
        owner=naming.segment_of(values.get("alias")),
    )


def grouped(
    wanted: Sequence[SegmentSpec], trunks: Mapping[BenchKey, Mapping[str, int]], known: Mapping[str, Vnet]
) -> list[SegmentSpec]:
    """A VNet for each segment, but one for all those that the bench's trunk cards carry."""
    found: dict[SegmentSpec, None] = {}
    for segment in wanted:
        tags = trunks.get(segment.bench) or existing_trunk(segment.bench, known)
        name = segment.name
        if name in tags:
            name = " ".join(f"{one}={tag}" for one, tag in sorted(tags.items()))
        found[SegmentSpec(segment.bench, name)] = None
    return list(found)


def existing_trunk(bench: BenchKey, known: Mapping[str, Vnet]) -> dict[str, int]:
    for vnet in known.values():
        if vnet.owner is not None and vnet.owner.bench == bench and inner(vnet.owner.name):
            return inner(vnet.owner.name)
    return {}


def inner(name: str) -> dict[str, int]:
    """Tags of the segments inside a VLAN-aware VNet, from its name; nothing for a plain one."""
    if "=" not in name:
        return {}
    return {segment: int(tag) for segment, _, tag in (part.partition("=") for part in name.split())}
