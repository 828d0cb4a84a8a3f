"""The branch of the lab `annuaire`: who is in it, and what a directory says about them (any directory, over LDAP)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graders.vantage import text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline

LEG = "lan"
TEAMS = ("Direction", "Technique", "Commerce")
UNITS = (*TEAMS, "Groupes")
READ, WRITE, NOTHING = "lecture", "lecture et écriture", "rien"
STAFF = ("directrice", "technicien", "commerciale", "stagiaire", "assistante")
SHARES = {
    "commun": dict(zip(STAFF, (WRITE, WRITE, WRITE, NOTHING, NOTHING), strict=True)),
    "direction": dict(zip(STAFF, (WRITE, NOTHING, NOTHING, NOTHING, NOTHING), strict=True)),
    "procedures": dict(zip(STAFF, (READ, WRITE, READ, NOTHING, NOTHING), strict=True)),
}
"""Share -> value that names a person -> what the subject grants."""
DISABLED, NEVER_EXPIRES = 0x2, 0x10000
"""Bits of userAccountControl (MS-ADTS 2.2.16)."""
GLOBAL, DOMAIN_LOCAL, SECURITY = 0x2, 0x4, 0x80000000
"""Bits of groupType (MS-ADTS 2.2.12)."""
ADMINISTRATOR = 500
"""RID of the built-in administrator, whatever its name (MS-ADTS 6.1.1.6)."""
ATTRIBUTES = ["objectClass", "sAMAccountName", "userPrincipalName", "givenName", "sn", "userAccountControl",
              "groupType", "member", "objectSid", "primaryGroupID"]  # fmt: skip
READERS = ("commerciale", *(who for who in STAFF if who != "commerciale"))
"""Whose eyes the directory is read with: the first whose password it accepts."""
NOT_THEM = 49
"""The result `invalidCredentials` (RFC 4511, 4.1.9): wrong password, or an account that is locked or disabled."""
NOT_YET = (None, 51, 52)
"""No answer, or the results `busy` and `unavailable` (RFC 4511, 4.1.9): a directory that is starting."""
RETURN_TICK = 3.0
Entry = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """Someone of the branch."""

    login: str
    first: str
    last: str
    unit: str
    groups: tuple[str, ...] = ()


def person(bench: Bench, who: str) -> Person:
    """`who` is the value's name: directrice, technicien…"""
    units = {"directrice": "Direction", "technicien": "Technique", "assistante": "Technique"}
    groups = {"directrice": "GG_Direction", "technicien": "GG_Technique", "commerciale": "GG_Commerce",
              "assistante": "GG_Assistance"}  # fmt: skip
    login, first, last = text(bench, who).split("|")
    return Person(login, first, last, units.get(who, "Commerce"), (groups[who],) if who in groups else ())


def people(bench: Bench) -> list[Person]:
    """Everybody in the table of the subject."""
    names = ("directrice", "technicien", "commerciale", "assistante", "stagiaire", "partant")
    return [person(bench, who) for who in names]


def realm(bench: Bench) -> str:
    return text(bench, "domaine").upper()


def bind_name(bench: Bench, login: str) -> str:
    """The name to log in with, which any AD directory knows."""
    return f"{login}@{text(bench, 'domaine')}"


def everything(bench: Bench, reader: str = READERS[0]) -> dict[str, Any]:
    """Parameters of ldap.search: all people, groups, computers and units, as an ordinary user sees them."""
    return {
        "address": text(bench, "lan_dc"),
        "base": text(bench, "base_dn"),
        "filter": "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))",
        "attributes": ATTRIBUTES,
        "user": bind_name(bench, person(bench, reader).login),
        "password": text(bench, "mdp_agence"),
    }


def search(bench: Bench, probe: ProbeClient, *, reuse: bool = False, **changed: Any) -> dict[str, Any]:
    """What ldap.search tells somebody of the branch; `changed` replaces what `everything` asks for.

    One account that does not get in is a mistake of its own: the next person reads, who is told as `reader`.
    """
    for who in READERS:
        told = probe.call("ldap.search", LEG, timeout=30, reuse=reuse, **{**everything(bench, who), **changed})
        if told["code"] != NOT_THEM:
            break
    return {**told, "reader": who}


def reader(bench: Bench, probe: ProbeClient) -> str:
    """The first of READERS that the directory lets in, by the answers that the checks share."""
    return str(search(bench, probe, reuse=True)["reader"])


def ticket(bench: Bench, login: str, password: str) -> dict[str, Any]:
    """Parameters of kerberos.obtain."""
    return {"address": text(bench, "lan_dc"), "realm": realm(bench), "user": login, "password": password}


def read_directory(bench: Bench, probe: ProbeClient, patience: Deadline | None = None) -> tuple[Directory, str]:
    """What the directory holds, and why it is empty when it could not be read.

    patience: how long a controller that was restarted is waited for.
    """
    # One that is starting is asked afresh: its silence is no answer for the checks that come after.
    told = search(bench, probe, reuse=patience is None)
    for _ in patience.ticks(RETURN_TICK) if patience else ():
        if told["code"] not in NOT_YET:
            break
        told = search(bench, probe)
    return Directory(told["entries"]), "" if told["code"] == 0 else told["reason"] or f"code {told['code']}"


class Directory:
    """Entries of one search, by account name and by DN (neither minds capitals)."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._accounts = {first(one, "samaccountname").lower(): one for one in entries if first(one, "samaccountname")}
        self._names = {one["dn"].lower(): one for one in entries}

    def account(self, name: str) -> Entry | None:
        """A user, group or computer (`ws$`) by its sAMAccountName."""
        return self._accounts.get(name.lower())

    def units(self) -> set[str]:
        """DNs of the organisational units, in lower case."""
        return {one["dn"].lower() for one in self.entries if "organizationalUnit" in one.get("objectclass", ())}

    def members(self, group: Entry) -> set[str]:
        """Names of the direct members, in small letters: a directory does not mind capitals.

        Those whose primary group it is are members too.
        """
        return {self._called(dn).lower() for dn in [*group.get("member", ()), *self._primary(group)]}

    def everybody_in(self, group: Entry) -> list[Entry]:
        """Users that are members, through other groups too; a member that the search did not show counts by its DN."""
        found: dict[str, Entry] = {}
        seen, left = set(), [*group.get("member", ()), *self._primary(group)]
        while left:
            dn = left.pop()
            if dn.lower() in seen:
                continue
            seen.add(dn.lower())
            entry = self._names.get(dn.lower(), {"dn": dn})
            left += [*entry.get("member", ()), *self._primary(entry)]
            if "group" not in entry.get("objectclass", ()):
                found[dn.lower()] = entry
        return list(found.values())

    def _primary(self, group: Entry) -> list[str]:
        """DNs of those whose primary group it is: `member` does not name them (MS-ADTS 3.1.1.4.5.31)."""
        rid = sid_of(group).rpartition("-")[2]
        return [one["dn"] for one in self.entries if rid and first(one, "primarygroupid") == rid]

    def by_rid(self, rid: int) -> Entry | None:
        """The account of that relative id in the domain: names of built-in groups depend on the server's language."""
        for one in self.entries:
            sid = sid_of(one)
            if sid.startswith("S-1-5-21-") and sid.endswith(f"-{rid}"):
                return one
        return None

    def builtin(self, rid: int) -> Entry | None:
        """The account of that relative id in BUILTIN (MS-ADTS 6.1.1.6)."""
        return next((one for one in self.entries if sid_of(one) == f"S-1-5-32-{rid}"), None)

    def _called(self, dn: str) -> str:
        entry = self._names.get(dn.lower())
        return first(entry, "samaccountname") if entry else dn


def first(entry: Entry | None, name: str) -> str:
    """The first value of an attribute; empty when there is none."""
    values = (entry or {}).get(name, ())
    return str(values[0]) if values else ""


def flags(entry: Entry | None, name: str) -> int:
    """An attribute that is a set of bits, negative when its last bit is set, as the directory writes it."""
    value = first(entry, name)
    return int(value) & 0xFFFFFFFF if value.lstrip("-").isdigit() else 0


def parent(dn: str) -> str:
    """The DN above; a comma inside a name is escaped (RFC 4514).

    >>> parent("CN=Martin\\\\, Alix,OU=Commerce,DC=a")
    'OU=Commerce,DC=a'
    """
    index = 0
    while index < len(dn) and dn[index] != ",":
        index += 2 if dn[index] == "\\" else 1
    return dn[index + 1 :]


def sid_of(entry: Entry) -> str:
    """objectSid as text (MS-DTYP 2.4.2.2); empty when there is none."""
    value = first(entry, "objectsid")
    data = base64.b64decode(value.removeprefix("base64:")) if value.startswith("base64:") else value.encode()
    if len(data) < 8 or len(data) != 8 + 4 * data[1]:
        return ""
    parts = struct.unpack(f"<{data[1]}I", data[8:])
    return "-".join(["S", str(data[0]), str(int.from_bytes(data[2:8], "big")), *map(str, parts)])
