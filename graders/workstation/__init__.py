"""The branch's workstation `ws` seen from inside: a Debian one by its shell, a Windows one by PowerShell.

What is asked is the same, and checks do not know of which kind it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graders.agency import Entry
    from graders.devices import Windows
    from graders.errand import Errand
    from graders.login import Login
    from labs.bench import Bench
    from labs.deadline import Deadline

NODE = "ws"
FIELDS = ("compte", "numéro", "dossier", "propriétaire", "écriture")
"""Of a session that opened: account, number (uid or SID), personal folder, whose it is, what came of a write there."""
WRITTEN = "ecrit"
"""`écriture` when the session could write in its folder, and take the file away."""
Session = dict[str, str]
"""FIELDS of a session that opened, as far as they could be told; `problem` when none did."""
Row = tuple[str, str, str, bool]
"""Label, expected, observed, whether it is as it should be."""


@dataclass(frozen=True)
class Attempt:
    """What became of somebody who wanted to administer the machine. Both are French, for the candidate."""

    known: str
    """`oui` for an account of the domain."""
    became: str
    """`oui`, `non`, or how."""


class Workstation(Protocol):
    """What checks ask of `ws`."""

    def sessions(self, account: str, passwords: Sequence[str], deadline: Deadline) -> list[Session]:
        """Open a session with each password, as a person of the domain does; what each became.

        Raises ProbeError when one neither opened nor was refused: the centre's machines may be why.
        """
        ...

    def strangers(self, entry: Entry, session: Session) -> list[str]:
        """Why the account of an open session is not the directory's `entry`; empty when it is."""
        ...

    def settings(self) -> list[Row]:
        """Time zone, full name and language, compared with the bench's values."""
        ...

    def administrators(self, accounts: Sequence[str], password: str, deadline: Deadline) -> dict[str, Attempt]:
        """Who of these becomes administrator, with the password; raises ProbeError as `sessions` does."""
        ...


def workstation_of(bench: Bench, login: Login, windows: Callable[[str], Windows]) -> Workstation:
    """The bench's workstation, by what the lab says of the machine."""
    from graders.workstation.debian import DebianWorkstation
    from graders.workstation.windows import WindowsWorkstation

    if bench.node(NODE).model.windows is None:
        return DebianWorkstation(bench, login)
    return WindowsWorkstation(bench, windows(NODE))


def attempts_early(bench: Bench, accounts: Sequence[str], password: str) -> list[Errand]:
    """The errands that `administrators` will ask for, to be started when the grading begins."""
    from graders.workstation.debian import attempts

    return [attempts(accounts, password)] if bench.node(NODE).model.windows is None else []


def plain(name: str) -> str:
    """An account's name without its domain, which a member may show before or after it.

    >>> plain("NEVERS\\\\Essai.Commerce"), plain("essai.commerce@nevers.test")
    ('essai.commerce', 'essai.commerce')
    """
    return name.rpartition("\\")[2].partition("@")[0].lower()


def elsewhere(folder: Any) -> bool:
    """Whether a personal folder is one of its own, not a place of the system's."""
    return folder not in {"", "/", "/root", "/nonexistent"}
