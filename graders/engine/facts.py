"""What the node's own tools claim is weighed against the kernel and the files, read by the grader's tools.

A claim that speaks for the candidate and that these facts contradict is not believed. Facts never turn a bad answer
into a good one: what the node denies stays denied.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from graders.engine.command import Answer, Command

Ask = Callable[[Command], Answer]

PACKAGES = Command("sed -n '/^Package: /p;/^Status: /p' /var/lib/dpkg/status", trusted=True)
SOCKETS = Command("cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/udplite", trusted=True)
USERS = Command("sed -n 's/^passwd:/:/p' /etc/nsswitch.conf; cut -d: -f1,3 /etc/passwd; "
                "ls /run/systemd/dynamic-uid 2>/dev/null | sed 's/^direct://'", trusted=True)  # fmt: skip
UNIT = """
unit=NAME file=
for folder in /etc/systemd/system /run/systemd/system /run/systemd/generator /run/systemd/generator.late \
/usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
  [ -e "$folder/$unit" ] || continue
  file=$(readlink -f "$folder/$unit"); unit=${file##*/}; break
done
"""
RUNS = (
    UNIT
    + """
grep -shE '^(Type *= *oneshot|RemainAfterExit *= *(yes|true|on|1))' "$file" /etc/systemd/system/"$unit".d/*
find /sys/fs/cgroup -path "*/$unit*" -name cgroup.procs -exec cat {} + 2>/dev/null | head -n 1
"""
)
STARTS = (
    UNIT
    + """
find /etc/systemd/system /run/systemd -name "$unit" -type l 2>/dev/null | head -n 1
find /etc/rc?.d -name "S??${unit%.service}" 2>/dev/null | head -n 1
"""
)
LOCAL = {"files", "compat", "systemd", "mymachines", "[notfound=return]", "[success=merge]"}
LISTEN, CLOSE = "0A", "07"
"""States in /proc/net: TCP listening; UDP bound and not connected."""


def weigh(text: str, answer: Answer, ask: Ask) -> tuple[Answer, str | None]:
    """The answer that may be believed and, when it is not the node's, a sentence for the jury (French)."""
    if answer.status != 0:
        return answer, None
    words = _words(text)
    match words:
        case ["dpkg-query", "-f", _, "-W", name] if b" installed" in answer.stdout:
            if name.partition(":")[0] not in _installed(ask(PACKAGES).stdout):
                return _denied(1), f"dpkg-query dit que {name} est installé ; la base des paquets dit que non."
        case [tool, "--numeric", "--listening", *_] if tool.rpartition("/")[2] == "ss":
            return _sockets(answer, ask)
        case ["systemctl", "is-active", name] if _is_service(name):
            if not ask(Command(_about(RUNS, name), trusted=True)).stdout.strip():
                return _denied(3), f"systemctl dit que {name} est actif ; le noyau ne lui connaît aucun processus."
        case ["systemctl", "is-enabled", name] if _is_service(name) and answer.stdout.strip() == b"enabled":
            if not ask(Command(_about(STARTS, name), trusted=True)).stdout.strip():
                doubt = f"systemctl dit que {name} démarre avec la machine ; aucun lien ne le fait."
                return _denied(1, b"disabled\n"), doubt
        case ["id", *_, name] | ["getent", "passwd", name] if name not in {"-nu", "-u", "-g", "-n"}:
            if not _is_user(name, ask):
                return _denied(
                    1
                ), f"« {words[0]} » dit que le compte {name} existe ; le fichier des comptes dit que non."
    return answer, None


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    """The words of a command, none when they cannot be told. The same text is weighed for every machine."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return ()


def _denied(status: int, stdout: bytes = b"") -> Answer:
    return Answer(status, stdout, route="facts")


def _is_service(name: str) -> bool:
    return bool(re.fullmatch(r"[\w@:.\\-]+", name)) and ("." not in name or name.endswith(".service"))


def _about(script: str, name: str) -> str:
    return script.replace("NAME", shlex.quote(name if name.endswith(".service") else f"{name}.service"), 1)


@lru_cache(maxsize=16)
def _installed(status: bytes) -> frozenset[str]:
    found, name = set(), ""
    for line in status.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif value.endswith(" installed"):
            found.add(name)
    return frozenset(found)


def _is_user(name: str, ask: Ask) -> bool:
    known: set[str] = set()
    for line in ask(USERS).stdout.decode("utf-8", "replace").splitlines():
        if line.startswith(":"):
            if set(line[1:].lower().split()) - LOCAL:
                return True  # a directory service answers too: only the node can ask it
        else:
            known.update(line.split(":"))
    return name in known


def _sockets(answer: Answer, ask: Ask) -> tuple[Answer, str | None]:
    """Lines of ss whose port nothing listens on are taken away."""
    ports: set[int] = set()
    for line in ask(SOCKETS).stdout.decode("ascii", "replace").splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] in {LISTEN, CLOSE}:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    kept: list[bytes] = []
    lost: list[str] = []
    for shown in answer.stdout.splitlines(keepends=True):
        port = re.search(r":(\d+)\s+\S+:\*", shown.decode("utf-8", "replace"))
        if port is not None and int(port[1]) not in ports:
            lost.append(port[1])
        else:
            kept.append(shown)
    if not lost:
        return answer, None
    ports_shown = ", ".join(sorted(set(lost), key=int))
    doubt = f"ss montre des ports en écoute que le noyau ne connaît pas : {ports_shown}."
    return replace(answer, stdout=b"".join(kept)), doubt
