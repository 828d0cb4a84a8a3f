"""Bad SSH logins from throw-away addresses, and what becomes of those: banned when, for how long, and who else."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .legs import Legs, card

USED = "/run/plateau/adresses.json"
"""Throw-away addresses in the order of their use: one that is still banned must not be taken again."""
SSH_PORT = 22
PROMPTS = 3
"""Passwords tried in one connection: below sshd's MaxAuthTries, and few enough connections for its own penalties."""
REFUSED, CUT = "Permission denied", "Too many authentication failures"
ACCOUNT = "root"
"""What an intruder tries first; its password opens nothing here, and no policy locks it."""
TRY_SECONDS, PAUSE = 40.0, 2.0


def trial(
    legs: Legs,
    *,
    origin: str,
    network: str,
    pool: Sequence[str],
    address: str,
    failures: int,
    ban_window: float = 45.0,
    watch: float = 0.0,
    pause: float = 0.0,
    used: str = USED,
) -> dict[str, Any]:
    """Fail to log in `failures` times from one address of `pool`, one time less from another, and watch SSH's greeting.

    The intruder waits `pause` seconds before the last password. `began`: when it all began (time(2)). `clean`: both
    were greeted before. `below` and `intruder`: their address, how many passwords were refused, and
    `banned`: seconds from the last of them to the first greeting that did not come, which was at `since` (time(2));
    None when all came for `ban_window` seconds. `others`: whether the address below and the leg's own were greeted
    while the intruder was not. `released`: seconds from the last refusal to the first greeting that came again, None
    when none came for `watch` seconds.

    >>> trial(legs, origin="lan", network="10.1.2.0/24", pool=["10.1.2.220", "10.1.2.221"], address="10.1.130.10",
    ...       failures=5, watch=120)
    {'clean': True, 'intruder': {'address': '10.1.2.220', 'refused': 5, 'banned': 0.8}, 'released': 91.2, ...}
    """
    legs.enter(origin)
    began = time.time()
    low, high = _fresh(pool, 2, Path(used))
    with _borrowed([low, high], ipaddress.ip_network(network).prefixlen):
        clean = not _silent(address, low) and not _silent(address, high)
        below, _ = _fail(address, low, failures - 1, PAUSE)
        intruder, last = _fail(address, high, failures, ban_window, pause)
        others = {"below": not _silent(address, low), "leg": not _silent(address, "")}
        released = None
        while intruder["banned"] is not None and released is None and time.monotonic() - last < watch:
            time.sleep(PAUSE)
            asked = time.monotonic()
            if greeted(address, high):
                released = round(asked - last, 1)
    return {
        "began": began,
        "clean": clean,
        "below": below,
        "intruder": intruder,
        "others": others,
        "released": released,
    }


def greeted(address: str, source: str, window: float = 6.0, slow: float = 30.0) -> bool:
    """Whether SSH answers a client at `source` (the leg's own address when empty) with its greeting (RFC 4253, 4.2).

    The connection has `window` seconds; once it is there, the greeting has `slow` seconds: a busy machine is no ban.
    """
    data = b""
    try:
        with socket.create_connection((address, SSH_PORT), timeout=window, source_address=(source, 0)) as link:
            end = time.monotonic() + slow
            while b"SSH-2.0-" not in data and len(data) < 1024 and (left := end - time.monotonic()) > 0:
                link.settimeout(left)
                more = link.recv(256)
                if not more:
                    break
                data += more
    except OSError:
        return False
    return data.startswith(b"SSH-2.0-") or b"\nSSH-2.0-" in data


def _silent(address: str, source: str) -> bool:
    """No greeting, twice in a row: one may be late."""
    return not greeted(address, source) and not greeted(address, source)


def _fail(address: str, source: str, count: int, window: float, pause: float = 0.0) -> tuple[dict[str, Any], float]:
    """Have `count` passwords refused, the last one `pause` seconds after the others, then wait for the ban.

    For `window` seconds at most; and when the last refusal was.

    Greetings are asked for seldom: sshd has penalties of its own for clients that come and go (PerSourcePenalties).
    """
    refused, vain = 0, 0
    while refused < count and vain < 2:
        left = count - refused
        if pause and left == 1:
            time.sleep(pause)
            pause = 0.0
        some = _bad_passwords(address, source, min(PROMPTS, left - 1 if pause else left))
        refused, vain = refused + some, 0 if some else vain + 1
    last, banned, since = time.monotonic(), None, None
    while banned is None and time.monotonic() - last < window:
        time.sleep(PAUSE)
        began, now = time.monotonic(), time.time()
        if _silent(address, source):
            banned, since = round(began - last, 1), now
    return {"address": source, "refused": refused, "banned": banned, "since": since}, last


def _bad_passwords(address: str, source: str, count: int) -> int:
    """Try `count` wrong passwords in one connection; how many of them the server refused."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        answer.write_text("#!/bin/sh\necho mauvais-mot-de-passe\n")
        answer.chmod(0o700)
        options = {
            "BindAddress": source,
            "NumberOfPasswordPrompts": str(count),
            "PreferredAuthentications": "password",
            "PubkeyAuthentication": "no",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "GlobalKnownHostsFile": "/dev/null",
            "ConnectTimeout": "8",
            "ServerAliveInterval": "5",
        }
        command = ["ssh", "-F", "none", "-T", *(f"-o{name}={value}" for name, value in options.items())]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "SSH_ASKPASS": str(answer),
                       "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none", "LC_ALL": "C"}  # fmt: skip
        try:
            done = subprocess.run([*command, f"{ACCOUNT}@{address}", "true"], stdin=subprocess.DEVNULL, check=False,
                                  capture_output=True, text=True, env=environment, timeout=TRY_SECONDS)  # fmt: skip
            told = done.stderr
        except subprocess.TimeoutExpired as problem:
            told = problem.stderr.decode("utf-8", "replace") if isinstance(problem.stderr, bytes) else ""
    return told.count(REFUSED) + told.count(CUT)


def _fresh(pool: Sequence[str], count: int, used: Path) -> list[str]:
    """The addresses of the pool that were used longest ago, or never."""
    try:
        before = [one for one in json.loads(used.read_text()) if one in pool]
    except (OSError, ValueError):
        before = []
    free = [one for one in pool if one not in before] + before
    chosen = free[:count]
    used.parent.mkdir(parents=True, exist_ok=True)
    used.write_text(json.dumps([one for one in before if one not in chosen] + chosen))
    return chosen


@contextlib.contextmanager
def _borrowed(addresses: Sequence[str], prefix: int) -> Iterator[None]:
    """The leg's card has these addresses too while the `with` block runs."""
    name = card()
    try:
        for one in addresses:
            subprocess.run(["ip", "address", "replace", f"{one}/{prefix}", "dev", name], check=True)
        yield
    finally:
        for one in addresses:
            subprocess.run(["ip", "address", "delete", f"{one}/{prefix}", "dev", name], check=False)
