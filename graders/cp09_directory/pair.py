"""The two controllers of one domain, each asked by its own address: `dc`, which was there, and `dc2`, which joins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders.agency import LEG, bind_name, first, person
from graders.cp09_directory.trial import REFUSALS
from graders.probe_client import ProbeError
from graders.vantage import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graders.agency import Entry
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

OLD, NEW = "dc", "dc2"
ADDRESSES = {OLD: "lan_dc", NEW: "lan_dc2"}
"""Controller -> the value that holds its address."""
ADMINISTRATOR = "Administrator"
NO_SUCH_OBJECT = 32
"""LDAP code (RFC 4511, appendix A)."""


def other(name: str) -> str:
    """The controller that it is not."""
    return NEW if name == OLD else OLD


class Pair:
    """What the domain's administrator asks of each controller, over LDAPS and SMB."""

    def __init__(self, bench: Bench, probe: ProbeClient) -> None:
        self.bench, self.probe = bench, probe

    def address(self, name: str) -> str:
        return text(self.bench, ADDRESSES[name])

    def scratch(self, purpose: str) -> str:
        """DN of an object of the centre's, in its own unit."""
        return f"CN=controle-{self.probe.nonce(purpose)},OU=Centre,{text(self.bench, 'base_dn')}"

    def root(self, name: str) -> dict[str, Any]:
        """The controller's own entry (rootDSE), which anybody reads."""
        return dict(self.probe.call("ldap.search", LEG, timeout=30, address=self.address(name), base="", scope="base",
                                    attributes=["defaultNamingContext", "dnsHostName", "isSynchronized"]))  # fmt: skip

    def read(self, name: str, dn: str, *attributes: str) -> tuple[Entry | None, str]:
        """An entry (None: there is none), and why it could not be read."""
        told = self._ask("ldap.search", name, base=dn, scope="base", attributes=list(attributes))
        if told["code"] == NO_SUCH_OBJECT:
            return None, ""
        return (told["entries"] or [None])[0], "" if told["code"] == 0 else self.answer(told)

    def add(self, name: str, dn: str, values: dict[str, str]) -> dict[str, Any]:
        return self._ask("ldap.add", name, dn=dn, values=values)

    def change(self, name: str, dn: str, values: dict[str, str]) -> dict[str, Any]:
        return self._ask("ldap.change", name, dn=dn, values=values)

    def delete(self, name: str, dn: str) -> dict[str, Any]:
        return self._ask("ldap.delete", name, dn=dn)

    def forget(self, dn: str, holders: Iterable[str] = tuple(ADDRESSES)) -> None:
        """Take an object of the centre's away. Raises ProbeError when a controller that may hold it still does."""
        for name in holders:
            told = self.delete(name, dn)
            if told["code"] not in {0, NO_SUCH_OBJECT}:
                raise ProbeError(f"{dn} could not be deleted on {name}: {self.answer(told)}")

    def described(self, name: str, dn: str) -> str:
        """The object's description there: `rien` when the object is not."""
        entry, problem = self.read(name, dn, "description")
        return problem or first(entry, "description") or "rien"

    def files(self, name: str, acts: list[list[str]]) -> list[dict[str, str]]:
        """What comes of acts on files there (smb.use); people are the administrator and somebody of the branch."""
        people = {ADMINISTRATOR: text(self.bench, "mdp_admin"),
                  person(self.bench, "commerciale").login: text(self.bench, "mdp_agence")}  # fmt: skip
        told = self.probe.call("smb.use", LEG, timeout=80, address=self.address(name),
                               domain=text(self.bench, "netbios"), people=people, acts=acts)  # fmt: skip
        return list(told)

    @staticmethod
    def answer(told: dict[str, Any]) -> str:
        """What came of a change, in words."""
        if told["code"] == 0:
            return "accepté"
        words = told["reason"] or ""
        return f"refusé ({words})" if told["code"] in REFUSALS else words or "pas de réponse"

    def _ask(self, probe: str, name: str, **params: Any) -> dict[str, Any]:
        who = bind_name(self.bench, ADMINISTRATOR)
        return dict(self.probe.call(probe, LEG, timeout=30, address=self.address(name), user=who,
                                    password=text(self.bench, "mdp_admin"), **params))  # fmt: skip
