"""CP02-S1: install, configure and test the workstation's system."""

from __future__ import annotations

from collections.abc import Callable

from graders.agency import person
from graders.check import check
from graders.devices import Windows
from graders.expect import Expect
from graders.login import Login
from graders.vantage import text
from graders.workstation import attempts_early, workstation_of
from labs.bench import Bench
from labs.deadline import Deadline

Asked = Callable[[str], Windows]
ADMINISTRATORS = {"technicien": "oui", "directrice": "non", "commerciale": "non", "assistante": "non"}
"""One of each group; the assistant is of the technical service, and not of its group."""


@check("CP02-S1.a", nodes=("ws",), seconds=60)
def check_settings(bench: Bench, login: Login, windows: Asked, expect: Expect) -> None:
    """ws a le fuseau horaire de l'agence, son nom complet et la langue française.

    Le fuseau est comparé à sa définition, le nom complet est celui que ws se donne. Sous Windows, la langue est celle
    des paramètres régionaux du système.
    """
    for label, wanted, observed, ok in workstation_of(bench, login, windows).settings():
        expect.true(label, wanted, observed, ok)


@check("CP02-S1.d", causes=("CP09-S4.a", "CP09-S2.b", "CP09-S1.d", "CP09-S1.a"), nodes=("ws", "dc"), seconds=360,
       errands=lambda bench, _probe: attempts_early(bench, *_asked(bench)))  # fmt: skip
def check_administrators(bench: Bench, login: Login, windows: Asked, expect: Expect, deadline: Deadline) -> None:
    """Sur ws, les membres de GG_Technique, et eux seuls, deviennent administrateur avec leur mot de passe.

    Quatre comptes du domaine essaient avec leur mot de passe : celui de GG_Technique, celui de la personne qui assiste
    ce service sans être du groupe, un de Commerce et celui de la direction. Sous Debian, par « sudo », qui sans mot de
    passe refuse aussi le premier ; sous Windows, en ouvrant une session.
    """
    found = workstation_of(bench, login, windows).administrators(*_asked(bench), deadline)
    for who, wanted in ADMINISTRATORS.items():
        name = person(bench, who).login
        expect.equal(f"compte {name} du domaine connu de ws", "oui", found[name].known)
        expect.equal(f"{name} devient administrateur", wanted, found[name].became)


def _asked(bench: Bench) -> tuple[list[str], str]:
    """Who tries, and with which password."""
    return [person(bench, who).login for who in ADMINISTRATORS], text(bench, "mdp_agence")
