"""Signs that a node was tampered with: shown to the jury with the evidence, never scored."""

from __future__ import annotations

from collections.abc import Callable

from graders.engine.command import Answer, Command
from graders.engine.routes import Hello

Ask = Callable[[Command], Answer]

SKEW_SECONDS = 60.0
PRELOAD = Command("cat /etc/ld.so.preload 2>/dev/null", trusted=True)
TAINT = Command("cat /proc/sys/kernel/tainted", trusted=True)
OUTSIDE, UNSIGNED = 1 << 12, 1 << 13
"""Bits of the kernel's taint: a module from outside its tree, an unsigned one (kernel.org, tainted-kernels)."""
TOOLS = Command(
    "cd / && grep -hE ' (usr/)?s?bin/(bash|cat|dash|dpkg-query|env|flock|getent|id|ip|ls|mktemp|nft|ps|"
    "python3[.][0-9]+|qemu-ga|runuser|setsid|ss|su|sudo|systemctl|sysctl|timeout|true)$' "
    "/var/lib/dpkg/info/*.md5sums | md5sum -c 2>/dev/null | grep -v ': OK$'",
    seconds=60,
    trusted=True,
)
"""The node's tools against the sums of their packages, by the grader's own md5sum: whoever replaced a tool and did not
think of the sums is seen."""
START = Command(
    '[ "$(readlink -f /bin/sh)" = /usr/bin/dash ] || echo /bin/sh; '
    "grep -E '^ /etc/python3[^ ]*/sitecustomize.py ' /var/lib/dpkg/status | while read -r file sum; do "
    "echo \"$sum  $file\"; done | md5sum -c 2>/dev/null | grep -v ': OK$'; "
    "ls /usr/lib/python3*/usercustomize.py /usr/local/lib/python3*/dist-packages/*customize.py 2>/dev/null",
    trusted=True,
)
"""What every shell or every Python program runs first, when it is not what Debian installs."""
COMMANDS = (PRELOAD, TAINT, TOOLS, START)


def look(node: str, hello: Hello | None, ask: Ask, *, unix: bool = True) -> list[str]:
    """What is unusual about a node, one sentence each (French). Of one that is not a Unix, only its clock is known."""
    found = _programs(node, ask) if unix else []
    if hello is not None and abs(hello.skew) > SKEW_SECONDS:
        found.append(f"{node} : son horloge est décalée de {hello.skew:+.0f} s par rapport à celle du correcteur.")
    return found


def _programs(node: str, ask: Ask) -> list[str]:
    found = []
    preload = ask(PRELOAD).stdout.decode("utf-8", "replace").split()
    if preload:
        found.append(f"{node} : /etc/ld.so.preload charge {', '.join(preload)[:200]} dans tous les programmes.")
    taint = ask(TAINT).stdout.strip()
    if taint.isdigit() and int(taint) & (OUTSIDE | UNSIGNED):
        found.append(f"{node} : un module étranger au noyau a été chargé (taint {int(taint)}).")
    changed = [line.partition(":")[0] for line in ask(TOOLS).stdout.decode("utf-8", "replace").splitlines() if line]
    if changed:
        found.append(f"{node} : outils qui ne sont pas ceux de leur paquet : {', '.join(changed)}.")
    first = [line.partition(":")[0] for line in ask(START).stdout.decode("utf-8", "replace").splitlines() if line]
    if first:
        found.append(f"{node} : exécuté avant tout programme, et différent de celui de Debian : {', '.join(first)}.")
    return found


def routes_disagree(node: str, one: Hello | None, other: Hello | None) -> str | None:
    """A sentence when two independent routes did not reach the same running system."""
    if one is None or other is None or one.boot_id == other.boot_id:
        return None
    return f"{node} : SSH et l'agent de l'hyperviseur n'ont pas atteint le même système (deux numéros de démarrage)."
