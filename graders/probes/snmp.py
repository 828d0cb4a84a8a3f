"""SNMP: read or write one object, with net-snmp's tools and none of their configuration files."""

from __future__ import annotations

import os
import subprocess
from typing import Any

SYS_NAME = "1.3.6.1.2.1.1.5.0"
"""sysName.0 (RFC 3418)."""


def get(
    address: str,
    *,
    community: str = "",
    user: str = "",
    level: str = "authPriv",
    auth: str = "",
    priv: str = "",
    oid: str = SYS_NAME,
    write: str = "",
    patience: float = 2.0,
    window: float = 25.0,
) -> dict[str, Any]:
    """Ask with a community (version 2c) or as a user (version 3, SHA and AES); `write` sets the object instead.

    Asks twice, `patience` seconds apart. `ok` tells whether the agent granted it, `value` what it answered, `reason`
    what the tool said otherwise. Raises RuntimeError when the tool has not ended after `window` seconds: a silence that
    is our own proves nothing about the agent.

    >>> get("10.1.130.10", user="supervision", auth="...", priv="...")
    {'ok': True, 'value': 'srv', 'reason': ''}
    """
    if community:
        who = ["-v2c", "-c", community]
    else:
        who = ["-v3", "-u", user, "-l", level, "-a", "SHA", "-A", auth, "-x", "AES", "-X", priv]
    command = ["snmpset" if write else "snmpget", *who, "-Oqv", "-t", f"{patience:g}", "-r", "1", address, oid]
    command += ["s", write] if write else []
    environment = {"PATH": os.environ.get("PATH", os.defpath), "MIBS": "", "SNMPCONFPATH": "/nonexistent",
                   "SNMP_PERSISTENT_DIR": "/nonexistent"}  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=window)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} has not ended after {window:g} s") from None
    value = done.stdout.strip().strip('"')
    return {"ok": done.returncode == 0, "value": value, "reason": done.stderr.strip()[:300]}
