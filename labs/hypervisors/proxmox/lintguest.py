"""What two clones of a template are like inside, as their guest agents tell it, and what of that is wrong.

Nothing assumes Linux: which questions are asked depends on the system that the agent names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labs.doctor import Finding

LINUX = (
    "cat /etc/machine-id 2>/dev/null; echo --keys; cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null; echo --root; "
    r"cat /proc/cmdline; sed -n '/^[[:space:]]*#/d; /[[:space:]]\/[[:space:]]/p' /etc/fstab 2>/dev/null"
)
WINDOWS_IDENTITY = ("reg.exe", "query", r"HKLM\SOFTWARE\Microsoft\Cryptography", "/v", "MachineGuid")
WINDOWS_KEYS = ("cmd.exe", "/c", r"type C:\ProgramData\ssh\ssh_host_*_key.pub")
DEVICE = re.compile(r"/dev/(?:sd|vd|hd|xvd|nvme)[a-z0-9]+")
SYSPREP = "generalise it with sysprep before the conversion"

Ask = Callable[[str], Any]
"""The answer of the agent to a question of the API (`get-osinfo`)."""
Run = Callable[[Sequence[str]], str]
"""The output of a command; nothing where there is no such command."""


@dataclass(frozen=True)
class Inside:
    """One clone as its agent tells of it."""

    system: str
    windows: bool
    host_name: str
    addresses: frozenset[str]
    identity: str = ""
    """machine-id, or Windows' MachineGuid."""
    host_keys: frozenset[str] = frozenset()
    root: str = ""
    """What the kernel or fstab call the root disk by; empty where there is no such thing."""


def look(ask: Ask, run: Run) -> Inside:
    """Ask one clone."""
    told = ask("get-osinfo")
    windows = told.get("id") == "mswindows"
    identity, keys, root = "", "", ""
    if windows:
        identity = "".join(run(WINDOWS_IDENTITY).split()[-1:])
        keys = run(WINDOWS_KEYS)
    else:
        identity, _, rest = run(["/bin/sh", "-c", LINUX]).partition("--keys\n")
        keys, _, boot = rest.partition("--root\n")
        root = _root(boot)
    return Inside(
        system=str(told.get("pretty-name") or told.get("name") or "unknown system"),
        windows=windows,
        host_name=str(ask("get-host-name").get("host-name") or ""),
        addresses=_addresses(ask("network-get-interfaces")),
        identity=identity.strip(),
        host_keys=frozenset(" ".join(line.split()[:2]) for line in keys.splitlines() if len(line.split()) > 1),
        root=root,
    )


def judge(what: str, clones: Sequence[tuple[Inside, str, str]], *, own: bool) -> Iterator[Finding]:
    """The findings of a template; each clone with the address and the name that it was given.

    `own`: a template of Plateau's, whose machines get name, identity and keys with their first configuration.
    """
    first = clones[0][0]
    yield Finding(what, True, f"its agents answer: {first.system}")
    tool = "cloudbase-init" if first.windows else "cloud-init"
    lost = [address for inside, address, _ in clones if address not in inside.addresses]
    detail = f"{tool} set no management address ({', '.join(lost)})" if lost else "has its management addresses"
    yield Finding(what, not lost, detail, f"install and enable {tool}, and clear what it remembers of its first run")
    yield _root_finding(what, first)
    if own:
        return
    # Windows keeps capitals, and no more than fifteen letters.
    wrong = [inside.host_name for inside, _, name in clones if inside.host_name.split(".")[0].lower() != name]
    detail = f"{tool} did not set the host name: it is {wrong[0] or 'empty'}" if wrong else "has its host names"
    yield Finding(what, not wrong, detail, f"enable the host name in {tool}")
    yield from _differences(what, [inside for inside, _, _ in clones])


def _differences(what: str, clones: Sequence[Inside]) -> Iterator[Finding]:
    windows = clones[0].windows
    name = "MachineGuid" if windows else "machine-id"
    same = len({inside.identity for inside in clones}) < len(clones)
    detail = f"every clone has the same {name}" if same else f"each clone has a {name} of its own"
    if same and not clones[0].identity:
        detail = f"no {name} could be read"
    yield Finding(what, not same, detail, SYSPREP if windows else "truncate -s 0 /etc/machine-id before the conversion")
    shared = frozenset.intersection(*(inside.host_keys for inside in clones))
    if any(inside.host_keys for inside in clones):
        detail = "clones share SSH host keys" if shared else "each clone has SSH host keys of its own"
        remedy = r"del C:\ProgramData\ssh\ssh_host_*" if windows else "rm /etc/ssh/ssh_host_*"
        yield Finding(what, not shared, detail, f"{remedy} before the conversion")


def _root_finding(what: str, inside: Inside) -> Finding:
    bad = DEVICE.fullmatch(inside.root) is not None
    detail = f"its root disk is found by {inside.root}" if inside.root else "its root disk needs no name"
    return Finding(what, not bad, detail, "name it by LABEL= or UUID= in fstab and on the kernel's command line")


def _root(boot: str) -> str:
    """What the root disk is called by: the worse of the kernel's command line and fstab."""
    words = [word.removeprefix("root=") for word in boot.split() if word.startswith("root=")]
    words += [line.split()[0] for line in boot.splitlines() if len(line.split()) > 1 and line.split()[1] == "/"]
    return next((word for word in words if DEVICE.fullmatch(word)), words[0] if words else "")


def _addresses(interfaces: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(address.get("ip-address")) for one in interfaces for address in one.get("ip-addresses") or ())
