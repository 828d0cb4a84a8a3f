"""What differs on a machine before and after: files, network, services, accounts, processes."""

from __future__ import annotations

import re
from pathlib import Path

from place import CANDIDATE, plateau

STATE = r"""
find / -xdev \( -path /proc -o -path /sys \) -prune -o -printf 'file %p %y %m %u:%g %s %T@ %l\n'
find /dev/shm /run /tmp -mindepth 1 -printf 'memory %p %y %m %u:%g\n'
ip -o address | sed 's/ *valid_lft.*//; s/^/address /'
ip route | sed 's/^/route /'; ip rule | sed 's/^/rule /'
nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//; s/^/nft /'
ss -Hltun | awk '{print "listens", $1, $5}'
systemctl list-units --all --plain --no-legend --type=service,socket,timer | awk '{print "unit", $1, $3, $4}'
sysctl -a 2>/dev/null | grep -E 'forward|rp_filter|syncookies' | sed 's/^/sysctl /'
"""
ALLOWED = re.compile(
    r"file /var/log(/|\b)"  # what was asked of the services is in their logs, and a login in its own
    r"|file /var/lib/(systemd/(timers|random-seed)|chrony|NetworkManager|private/systemd/timesync)"
    r"|memory /run/(log/journal|user|udev|utmp|motd|sshd)"
    r"|memory /run/systemd/(journal|sessions|users|units|transient|inaccessible)"
    r"|unit (user(-runtime-dir)?@0|session-\d+|systemd-(tmpfiles-clean|timedated|hostnamed))\."
    r"|file /var/lib/(kea|dhcp|misc)/\S*lease"  # the probe asks for leases as any machine would
)
"""What a machine does by itself while it is used, and what every login does."""


def state(session: Path, node: str) -> set[str]:
    """The machine as it is, a line a fact."""
    answer = plateau("ssh", session, CANDIDATE, node, STATE)
    assert answer.returncode == 0, answer.stderr
    lines = set(answer.stdout.splitlines())
    assert len(lines) > 1000, "the machine told next to nothing"
    return lines


def difference(before: set[str], after: set[str]) -> list[str]:
    """What came (+) and what went (-), outside the allow list."""
    changed = [f"+ {line}" for line in after - before] + [f"- {line}" for line in before - after]
    return sorted(line for line in changed if not ALLOWED.match(line[2:]))
