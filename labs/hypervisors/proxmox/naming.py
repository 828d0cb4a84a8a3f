"""How our machines are recognised on the cluster: tags, names, descriptions and pools, read back from there alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict

from labs.hypervisors.base import BenchKey, NodeKey, NodeSpec, SegmentSpec

READY = "ready"


def tags(prefix: str, spec: NodeSpec, *, ready: bool) -> str:
    """The tags of a machine, as its configuration takes them: whose it is, and of which specification."""
    key = spec.key
    own = [f"s.{key.session}", f"c.{key.candidate}", f"n.{key.node}", f"x.{digest(spec)}"]
    if ready:
        own.append(READY)
    return ";".join([prefix, *(f"{prefix}.{one}" for one in own)])


def key_of(prefix: str, found: Iterable[str]) -> NodeKey | None:
    """The machine that tags name; None when they are not ours or not complete.

    >>> key_of("plateau", ["plateau", "plateau.s.demo-1", "plateau.c.camille", "plateau.n.rtr"])
    NodeKey(session='demo-1', candidate='camille', node='rtr')
    """
    have = set(found)
    if prefix not in have:
        return None
    parts = [_value(have, f"{prefix}.{letter}.") for letter in "scn"]
    return NodeKey(*(part for part in parts if part)) if all(parts) else None


def specification_of(prefix: str, found: Iterable[str]) -> str | None:
    """Digest of the specification that a machine was made for."""
    return _value(set(found), f"{prefix}.x.")


def is_ready(prefix: str, found: Iterable[str]) -> bool:
    return f"{prefix}.{READY}" in set(found)


def digest(spec: NodeSpec) -> str:
    """Twelve hexadecimal digits that change with anything in the specification."""
    content = json.dumps(asdict(spec), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def description(key: NodeKey) -> str:
    """What a clone carries from its first moment, before it has tags of its own."""
    return f"plateau: {key}"


def described(text: object) -> NodeKey | None:
    """The machine that a description names.

    >>> described("plateau: demo-1/camille/rtr")
    NodeKey(session='demo-1', candidate='camille', node='rtr')
    """
    match = re.fullmatch(r"plateau: ([^/\s]+)/([^/\s]+)/([^/\s]+)", str(text or "").strip())
    return NodeKey(*match.groups()) if match else None


def host_name(key: NodeKey) -> str:
    """Name of the machine in the web interface, a DNS name: `rtr.camille.demo-1a2b3c4d`."""
    labels = (key.node, key.candidate, key.session)
    return ".".join(re.sub(r"[^a-z0-9-]", "-", label).strip("-")[:63] for label in labels)


def session_pool(parent: str, session: str) -> str:
    """The pool of a session; its machines are in it or in one of its candidates' pools."""
    return f"{parent}/{session}"


def candidate_pool(parent: str, bench: BenchKey) -> str:
    """The pool of what a candidate may see: the own machines, never the grader's."""
    return f"{session_pool(parent, bench.session)}/c-{bench.candidate}"


def vnet(segment: SegmentSpec) -> str:
    """Identifier of a segment's VNet: eight characters at most, a letter first, no hyphen."""
    name = f"{segment.bench}/{segment.name}"
    return "p" + hashlib.sha256(name.encode()).hexdigest()[:7]


def alias(segment: SegmentSpec) -> str:
    """What says whose a VNet is; an alias has neither slash nor colon.

    >>> alias(SegmentSpec(BenchKey("demo-1", "camille"), "lan"))
    'plateau (demo-1) (camille) (lan)'
    """
    return f"plateau ({segment.bench.session}) ({segment.bench.candidate}) ({segment.name})"


def segment_of(text: object) -> SegmentSpec | None:
    """The segment that an alias names."""
    match = re.fullmatch(r"plateau \(([^()]+)\) \(([^()]+)\) \(([^()]+)\)", str(text or "").strip())
    return SegmentSpec(BenchKey(match[1], match[2]), match[3]) if match else None


def _value(have: set[str], prefix: str) -> str | None:
    return next((one.removeprefix(prefix) for one in sorted(have) if one.startswith(prefix)), None)
