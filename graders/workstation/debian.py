"""A Debian workstation: PAM's own sessions, and sudo."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graders.errand import LATE, Errand, run_errand
from graders.probe_client import ProbeError
from graders.vantage import text
from graders.workstation import FIELDS, NODE, Attempt, Row, Session

if TYPE_CHECKING:
    from graders.agency import Entry
    from graders.login import Login
    from labs.bench import Bench
    from labs.deadline import Deadline

# What opening a session does, without a terminal: PAM asks for the password on standard input, because nobody is not
# root. The session then tells who it is for, where, and whether it may write there. All at once: a refusal waits some
# seconds before it is told, and the first session of an account makes its folder.
OPEN = """
printf '%s\\n' {password} | timeout 100 runuser -u nobody -- su -l {account} -c '
  id -un; id -u; pwd; stat -c %U .; date >.plateau-session && rm .plateau-session && echo ecrit
' >{file} 2>&1 || echo "statut-$?" >>{file} &
"""
NEXT, END_OF_SESSIONS = "session-suivante", "fin des sessions"
# Time zone by the file that every program reads; the name as the machine itself tells it.
SETTINGS = """
cmp -s /etc/localtime /usr/share/zoneinfo/%s && echo fuseau
timeout 8 hostname -f
. /etc/default/locale && echo "$LANG"
"""
# Everybody at once: a refusal waits some seconds before it is told. A password that is not taken is given twice more: a
# controller that answers too late is taken for an absent one, by SSSD for a minute. That sudo is not for somebody is
# told in other words, and final.
BECOME = """
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
for nom in {people}; do
  {{ timeout 60 id -u "$nom" >/dev/null && echo connu || echo "statut-$?"
    grep -q "^$nom:" /etc/passwd && echo local
    for essai in 1 2 3; do
      printf '%s\\n' {password} |
        LC_ALL=C timeout 100 runuser -u "$nom" -- sudo -k -S -p '' id -u 2>"$d/$nom.dit" &&
        {{ timeout 100 runuser -u "$nom" -- sudo -k -n true 2>"$d/$nom.dit" && echo sans-mot-de-passe; break; }}
      echo "statut-$?"
      sed -i '/password you type/d' "$d/$nom.dit"
      [ $essai -lt 3 ] && grep -qi password "$d/$nom.dit" || break
      sleep {pause}
    done
  }} >"$d/$nom" 2>/dev/null &
done
wait
for nom in {people}; do echo "$nom" $(cat "$d/$nom"); done
echo {ending}
"""
END_OF_ATTEMPTS = "fin-des-essais"
PAUSE = 40
"""Seconds between two attempts of somebody whose password is not taken."""


class DebianWorkstation:
    """Asked as root of the machine."""

    def __init__(self, bench: Bench, login: Login) -> None:
        self._bench, self._login = bench, login

    def sessions(self, account: str, passwords: Sequence[str], deadline: Deadline) -> list[Session]:
        files = [f'"$d/{index}"' for index in range(len(passwords))]
        lines = ["d=$(mktemp -d)", """trap 'rm -rf "$d"' EXIT"""]
        lines += [
            OPEN.replace("{password}", shlex.quote(password)).replace("{account}", account).replace("{file}", file)
            for password, file in zip(passwords, files, strict=True)
        ]
        ending = END_OF_SESSIONS
        lines += [
            "wait",
            *(f"echo {NEXT}; cat {file}" for file in files),
            f"echo; echo {shlex.quote(ending)}",
        ]
        told = run_errand(self._login, Errand(NODE, "\n".join(lines), ending), deadline)
        if LATE in told:
            raise ProbeError("a session on ws was neither opened nor refused within 100 s")
        return [session_of(one) for one in told.split(f"{NEXT}\n")[1:]]

    def strangers(self, entry: Entry, session: Session) -> list[str]:
        account, uid = entry["samaccountname"][0].lower(), session["numéro"]
        local = self._login(NODE).run("cut -d: -f1,3 /etc/passwd").stdout.split()
        return [one for one in local if one.startswith(f"{account}:") or one.endswith(f":{uid}")]

    def settings(self) -> list[Row]:
        wanted, name = text(self._bench, "fuseau"), f"{NODE}.{text(self._bench, 'domaine')}"
        lines = self._login(NODE).run(SETTINGS, wanted).stdout.split()
        zone = lines[:1] == ["fuseau"]
        seen, language = [*lines[1 if zone else 0 :], "", ""][:2]
        french = language.lower().replace("-", "") == "fr_fr.utf8"
        return [
            ("fuseau horaire", wanted, wanted if zone else "un autre", zone),
            (f"nom complet de {NODE}", name, seen.lower(), seen.lower() == name),
            ("langue", "fr_FR.UTF-8", language, french),
        ]

    def administrators(self, accounts: Sequence[str], password: str, deadline: Deadline) -> dict[str, Attempt]:
        lines = run_errand(self._login, attempts(accounts, password), deadline).splitlines()
        told = {words[0]: words[1:] for words in map(str.split, lines) if words}
        found = {}
        for account in accounts:
            words = told.get(account, [])
            if LATE in words:
                raise ProbeError(f"sudo by {account} on ws had not ended after 100 s")
            known = "non" if "connu" not in words else "compte local" if "local" in words else "oui"
            became = "sans mot de passe" if "sans-mot-de-passe" in words else "oui" if "0" in words else "non"
            found[account] = Attempt(known, became)
        return found


def attempts(accounts: Sequence[str], password: str) -> Errand:
    """Each of them tries sudo on ws."""
    names = " ".join(map(shlex.quote, accounts))
    program = BECOME.format(people=names, ending=END_OF_ATTEMPTS, password=shlex.quote(password), pause=PAUSE)
    return Errand(NODE, program, END_OF_ATTEMPTS)


def session_of(told: str) -> Session:
    """The fields of a session that opened; `problem` when none did.

    >>> session_of("Mot de passe : essai\\n2001\\n/home/essai\\nessai\\necrit\\n")["dossier"]
    '/home/essai'
    """
    lines = [line.rpartition(" : ")[2].rpartition(": ")[2].strip() for line in told.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.isdigit() and index:
            return dict(zip(FIELDS, lines[index - 1 :], strict=False))
    return {"problem": " ".join(told.split())[-200:] or "rien"}
