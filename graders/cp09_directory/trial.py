"""Trials on the centre's test accounts: a password given, tried, and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graders.agency import LEG, NOT_THEM, NOT_YET, Directory, bind_name, first, ticket
from graders.probe_client import ProbeError
from graders.vantage import text

if TYPE_CHECKING:
    from graders.agency import Entry
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

Undo = Callable[[str, Callable[[], object]], None]
"""What the fixture `undo` gives: what it puts back, and how."""
REFUSALS = {19, 49, 50, 53}
"""LDAP codes that are the directory's own no: constraint, credentials, rights, unwilling (RFC 4511, appendix A)."""
TICKETS = {"granted": "obtenu", "wrong password": "refusé", "expired": "refusé : mot de passe expiré",
           "revoked": "refusé : compte verrouillé ou désactivé", "unknown": "refusé : compte inconnu",
           "skew": "refusé : horloges décalées", "unreachable": "pas de réponse"}  # fmt: skip
"""State of kerberos.obtain -> what became of the ticket."""
ALREADY = 68
"""The result `entryAlreadyExists`: the change was made, and its answer was lost."""
ADMINISTRATORS = ("Administrator", "Administrateur")
"""The built-in administrator's name, which depends on the language of the server."""


def trial_account(directory: Directory, unit: str) -> Entry | None:
    """The centre's test account of a unit: the only ones that trials change."""
    return directory.account(f"essai.{unit}")


class Trial:
    """Gives test accounts other passwords; the one of the subject is put back when the check has ended (`undo`).

    `controller` is the value with the address of the controller that is asked.
    """

    def __init__(self, bench: Bench, probe: ProbeClient, undo: Undo, controller: str = "lan_dc") -> None:
        self.bench, self.probe, self._undo = bench, probe, undo
        self._address = text(bench, controller)
        self._changed: set[str] = set()
        self._enrolled: set[tuple[str, str]] = set()

    def new_password(self, purpose: str) -> str:
        """A password nobody has used, that any usual rule accepts."""
        return f"Zx-{self.probe.nonce(purpose)}-8"

    def reset(self, account: Entry, password: str, user: str, secret: str) -> dict[str, Any]:
        """Ask the directory, as `user`, to give the account that password; what ldap.change answered."""
        self._remember(account)
        return self._ask("ldap.change", dn=account["dn"], values={"unicodePwd": password}, user=user, password=secret)

    def administer(self, account: Entry, values: dict[str, str], how: str = "replace") -> dict[str, Any]:
        """Change attributes as the domain's administrator; `how` as ldap.change has it."""
        return self._as_administrator("ldap.change", dn=account["dn"], values=values, how=how)

    def read(self, base: str, attributes: list[str]) -> Entry:
        """Attributes of one entry as the domain's administrator sees them; nothing when they cannot be read."""
        told = self._as_administrator("ldap.search", base=base, scope="base", attributes=attributes)
        return dict(told["entries"][0]) if told["entries"] else {}

    def give(self, account: Entry, password: str) -> dict[str, Any]:
        """Give the account that password as the domain's administrator; what ldap.change answered."""
        self._remember(account)
        return self.administer(account, {"unicodePwd": password})

    def move(self, dn: str, parent: str) -> dict[str, Any]:
        """Put an entry under another parent as the domain's administrator; what ldap.move answered."""
        return self._as_administrator("ldap.move", dn=dn, parent=parent)

    def enrol(self, account: Entry, group: Entry) -> dict[str, Any]:
        """Put the account into a group, until `leave` or the end of the check; what ldap.change answered.

        One whom the candidate put there stays.
        """
        if self._is_in(account, group):
            return {"code": 0, "reason": ""}
        login, name = first(account, "samaccountname"), first(group, "samaccountname")
        self._undo(f"{login} dans {name}", lambda: self.leave(account, group))
        self._enrolled.add((account["dn"], group["dn"]))
        told = self.administer(group, {"member": account["dn"]}, "add")
        return {"code": 0, "reason": ""} if told["code"] == ALREADY else told

    def leave(self, account: Entry, group: Entry) -> None:
        """Take the account out of a group that it was put into. Raises ProbeError when it stays there."""
        if (account["dn"], group["dn"]) not in self._enrolled:
            return
        told = self.administer(group, {"member": account["dn"]}, "delete")
        if told["code"] != 0 and self._is_in(account, group):
            raise ProbeError(f"{account['dn']} could not be taken out of {group['dn']}: {told['reason']}")
        self._enrolled.discard((account["dn"], group["dn"]))

    def ticket(self, login: str, password: str) -> str:
        """How the Kerberos service answers that password, in words: a silence is no refusal."""
        asked = {**ticket(self.bench, login, password), "address": self._address}
        told = self.probe.call("kerberos.obtain", LEG, timeout=50, **asked)
        return TICKETS.get(told["state"], told["reason"] or "autre réponse")

    def let_in(self, account: Entry) -> None:
        """Unlock an account that its candidate's own trial of the rules left locked."""
        if first(self.read(account["dn"], ["lockoutTime"]), "lockouttime") not in {"", "0"}:
            self.administer(account, {"lockoutTime": "0"})

    def unlock(self, login: str, account: Entry) -> None:
        """Let the account in again. Raises ProbeError when it does not get in with the subject's password."""
        told = self.administer(account, {"lockoutTime": "0"})
        if told["code"] != 0 or self.ticket(login, text(self.bench, "mdp_essai")) != TICKETS["granted"]:
            raise ProbeError(f"{login} could not be unlocked: {told['reason']}")

    @staticmethod
    def answer(told: dict[str, Any]) -> str:
        """What the directory answered to a change, in words."""
        if told["code"] == 0:
            return "acceptée"
        return "refusée" if told["code"] in REFUSALS else told["reason"]

    def _as_administrator(self, probe: str, **asked: Any) -> dict[str, Any]:
        for name in ADMINISTRATORS:
            told = self._ask(probe, user=bind_name(self.bench, name), password=text(self.bench, "mdp_admin"), **asked)
            if told["code"] != NOT_THEM:
                break
        return told

    def _ask(self, probe: str, **asked: Any) -> dict[str, Any]:
        """What the controller answers, asked twice if need be. Raises ProbeError when it is silent: that is no no."""
        for _ in range(2):
            told = self.probe.call(probe, LEG, timeout=30, address=self._address, **asked)
            if told["code"] not in NOT_YET:
                return dict(told)
        raise ProbeError(f"{probe}: the directory does not answer: {told['reason']}")

    def _is_in(self, account: Entry, group: Entry) -> bool:
        return account["dn"].lower() in {dn.lower() for dn in self.read(group["dn"], ["member"]).get("member", ())}

    def _remember(self, account: Entry) -> None:
        """Once for each account: let it in, so that a trial of the candidate's does not count, and note the undoing."""
        login = str(account["samaccountname"][0])
        if login not in self._changed:
            self._changed.add(login)
            self.let_in(account)
            self._undo(f"mot de passe de {login}", lambda: self._put_back(login, account))

    def _put_back(self, login: str, account: Entry) -> None:
        """Raises ProbeError when the account does not have the subject's password in the end."""
        usual = text(self.bench, "mdp_essai")
        if self.ticket(login, usual) != TICKETS["granted"]:
            told = self.administer(account, {"unicodePwd": usual})
            if told["code"] != 0:
                raise ProbeError(f"the password of {login} could not be put back: {told['reason']}")
