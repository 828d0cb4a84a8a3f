"""Kerberos: a ticket asked as a person does, with MIT's tools and none of the machine's settings."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

STATES = {
    "not found in kerberos database": "unknown",
    "preauthentication failed": "wrong password",
    "password incorrect": "wrong password",
    "credentials have been revoked": "revoked",
    "password has expired": "expired",
    "password expired": "expired",
    "clock skew": "skew",
    "cannot contact any kdc": "unreachable",
    "cannot find kdc": "unreachable",
}
"""What kinit says (MIT Kerberos, English), in short."""


def obtain(
    address: str, realm: str, user: str, password: str, services: list[str] | None = None, *, window: float = 40.0
) -> dict[str, Any]:
    """Ask the server at `address` for a ticket, then for tickets to `services`.

    `state` is granted, wrong password, unknown, revoked (disabled or locked out), expired, skew, unreachable or other;
    `reason` the tool's words; `services` tells for each whether its ticket came: an empty text, or why not.

    Raises RuntimeError when a tool has not ended: that silence may be our own.

    >>> obtain("10.1.2.10", "NEVERS.TEST", "a.user", "...", ["cifs/dc.nevers.test"])
    {'state': 'granted', 'reason': '', 'services': {'cifs/dc.nevers.test': ''}}
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "krb5.conf"
        settings.write_text(
            f"[libdefaults]\ndefault_realm = {realm}\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = false\n"
            f"dns_canonicalize_hostname = false\n[realms]\n{realm} = {{\nkdc = {address}\n}}\n"
        )
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "KRB5_CONFIG": str(settings),
                       "KRB5CCNAME": f"FILE:{folder}/tickets", "HOME": folder}  # fmt: skip
        status, words = _run(["kinit", f"{user}@{realm}"], f"{password}\n", environment, window)
        found = {}
        for one in services or []:
            told, why = _run(["kvno", "-q", one], "", environment, window) if status == 0 else (1, words)
            found[one] = "" if told == 0 else why[:300] or f"status {told}"
    return {"state": "granted" if status == 0 else state(words), "reason": words[:300], "services": found}


def state(words: str) -> str:
    """The short word for what kinit said.

    >>> state("kinit: Preauthentication failed while getting initial credentials")
    'wrong password'
    """
    return next((short for text, short in STATES.items() if text in words.lower()), "other")


def _run(command: list[str], stdin: str, environment: dict[str, str], window: float) -> tuple[int, str]:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=False,
                              timeout=window)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} has not ended after {window:g} s") from None
    return done.returncode, " ".join(done.stderr.split())
