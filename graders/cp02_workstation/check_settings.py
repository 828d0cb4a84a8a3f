"""CP02-S1: install, configure and test the workstation's system."""

from __future__ import annotations

import shlex

from graders.agency import person
from graders.check import check
from graders.errand import LATE, Errand, run_errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

# Time zone by the file that every program reads; the name as the machine itself tells it.
SETTINGS = """
cmp -s /etc/localtime /usr/share/zoneinfo/%s && echo fuseau
timeout 8 hostname -f
. /etc/default/locale && echo "$LANG"
"""
# Everybody at once: a refusal waits some seconds before it is told. A password that is not taken is given once more: a
# busy controller answers the workstation too late. That sudo is not for somebody is told in other words, and final.
BECOME = """
d=$(mktemp -d)
for nom in {people}; do
  {{ timeout 60 id -u "$nom" >/dev/null && echo connu || echo "statut-$?"
    grep -q "^$nom:" /etc/passwd && echo local
    for essai in 1 2; do
      printf '%s\\n' {password} |
        LC_ALL=C timeout 100 runuser -u "$nom" -- sudo -k -S -p '' id -u 2>"$d/$nom.dit" &&
        {{ timeout 100 runuser -u "$nom" -- sudo -k -n true 2>"$d/$nom.dit" && echo sans-mot-de-passe; break; }}
      echo "statut-$?"
      grep -qi password "$d/$nom.dit" || break
      sleep 5
    done
  }} >"$d/$nom" 2>/dev/null &
done
wait
for nom in {people}; do echo "$nom" $(cat "$d/$nom"); done
rm -r "$d"
echo {ending}
"""
END = "fin-des-essais"
ADMINISTRATORS = {"technicien": "oui", "commerciale": "non", "assistante": "non"}
"""The assistant is of the technical service, and not of its group."""


@check("CP02-S1.a", nodes=("ws",), seconds=60)
def check_settings(bench: Bench, login: Login, expect: Expect) -> None:
    """ws a le fuseau horaire de l'agence, son nom complet et la langue française.

    Le fuseau est comparé à sa définition, le nom complet est celui que ws se donne.
    """
    lines = login("ws").run(SETTINGS, text(bench, "fuseau")).stdout.split()
    zone = lines[:1] == ["fuseau"]
    expect.true("fuseau horaire", text(bench, "fuseau"), text(bench, "fuseau") if zone else "un autre", zone)
    name, language = [*lines[1 if zone else 0 :], "", ""][:2]
    expect.equal("nom complet de ws", f"ws.{text(bench, 'domaine')}", name.lower())
    expect.true("langue", "fr_FR.UTF-8", language, language.lower().replace("-", "") == "fr_fr.utf8")


@check("CP02-S1.d", causes=("CP09-S4.a", "CP09-S2.b", "CP09-S1.d", "CP09-S1.a"), nodes=("ws", "dc"), seconds=240,
       errands=lambda bench, _probe: [_attempts(bench)])  # fmt: skip
def check_administrators(bench: Bench, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Sur ws, les membres de GG_Technique, et eux seuls, deviennent administrateur avec leur mot de passe.

    Trois comptes du domaine essaient « sudo » avec leur mot de passe : celui de GG_Technique, celui de la personne qui
    assiste ce service sans être du groupe, et un de Commerce. Sans mot de passe, « sudo » refuse aussi le premier.
    """
    lines = run_errand(login, _attempts(bench), deadline).splitlines()
    told = {words[0]: words[1:] for words in map(str.split, lines) if words}
    for who, wanted in ADMINISTRATORS.items():
        name = person(bench, who).login
        words = told.get(name, [])
        if LATE in words:
            raise ProbeError(f"sudo by {name} on ws had not ended after 100 s")
        known = "non" if "connu" not in words else "compte local" if "local" in words else "oui"
        expect.equal(f"compte {name} du domaine connu de ws", "oui", known)
        became = "sans mot de passe" if "sans-mot-de-passe" in words else "oui" if "0" in words else "non"
        expect.equal(f"{name} devient administrateur", wanted, became)


def _attempts(bench: Bench) -> Errand:
    """Each of them tries sudo on ws."""
    names = " ".join(shlex.quote(person(bench, who).login) for who in ADMINISTRATORS)
    return Errand("ws", BECOME.format(people=names, ending=END, password=shlex.quote(text(bench, "mdp_agence"))), END)
