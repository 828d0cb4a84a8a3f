"""An in-toto statement about the dossier's files in a DSSE envelope (github.com/secure-systems-lab/dsse)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from graders.dossier import DossierError
from graders.dossier.keys import Key, PublicKey

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "tag:plateau,2026:dossier/v1"


def seal(key: Key, digests: Mapping[str, str], predicate: Mapping[str, Any]) -> str:
    """The envelope: `digests` maps file names to SHA-256 (hexadecimal)."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(predicate),
    }
    payload = json.dumps(statement, ensure_ascii=False, sort_keys=True).encode()
    envelope = {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.public.id, "sig": base64.b64encode(key.sign(_pae(payload))).decode()}],
    }
    return json.dumps(envelope, indent=1) + "\n"


def open_sealed(text: str, key: PublicKey, name: str) -> dict[str, Any]:
    """The statement, when the key signed it. Raises DossierError otherwise."""
    try:
        envelope = json.loads(text)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
        right = envelope["payloadType"] == PAYLOAD and any(key.verifies(one, _pae(payload)) for one in signatures)
    except (ValueError, KeyError, TypeError) as problem:
        raise DossierError(f"{name}: not a DSSE envelope ({problem})") from None
    if not right:
        raise DossierError(f"{name}: not signed by key {key.id}")
    statement: dict[str, Any] = json.loads(payload)
    return statement


def _pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed names its type and lengths."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
