"""What the domain's rules do on ws: commands that people run as root, and what a session shows when it opens."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.agency import person
from graders.cp09_directory.check_member import RECOVERY_SECONDS
from graders.errand import LATE, Errand, run_errand
from graders.expect import converge
from graders.probe_client import ProbeError
from graders.vantage import text
from graders.workstation import NODE

if TYPE_CHECKING:
    from graders.login import Login
    from labs.bench import Bench
    from labs.deadline import Deadline

RULED, OTHERS = ("assistante", "technicien"), ("commerciale", "stagiaire", "directrice")
EVERYBODY = RULED + OTHERS
"""Values that name people: those whom the rule is for, and those whom it is not for."""
COMMAND = "/usr/local/sbin/releve-materiel"
RULED_COMMAND, WITHOUT_PASSWORD, OTHER_COMMAND, NEIGHBOUR = "regle", "sans", "autre", "voisine"
"""What somebody tries: the command with a password, without one, another command, a program beside the command."""
ALL_KINDS = (RULED_COMMAND, WITHOUT_PASSWORD, OTHER_COMMAND, NEIGHBOUR)
GRANTED, REFUSED, UNKNOWN = "accordée", "refusée", "mot de passe refusé"
GREETED, SILENT, TOO_SOON = "affiché", "absent", "affiché, mais avant la saisie du nom aussi"
BY_HAND = "absent une fois /etc/motd vidé et les stratégies appliquées de nouveau"
PAUSE = 40
"""Seconds between two attempts of somebody whose password is not taken: winbind then looks for a controller again."""
# Everybody at once, as a refusal waits some seconds before it is told, but one kind after the other: fifteen passwords
# at a time took an emulated machine a hundred seconds. sudo tells in other words whether a password is not the right
# one or somebody has no right; at somebody's first time it also gives a lecture (sudoers(5)), whose last line speaks of
# a password.
TRY = """
d=$(mktemp -d)
essai() {{
  nom=$1 genre=$2; shift 2
  for fois in $(seq {tries}); do
    printf '%s\\n' {password} |
      LC_ALL=C timeout 100 runuser -u "$nom" -- sudo -k -p '' "$@" >/dev/null 2>"$d/$nom.$genre.dit"
    statut=$?
    sed -i '/password you type/d' "$d/$nom.$genre.dit"
    [ $genre != {without} ] && [ $statut != 0 ] && [ $fois != {tries} ] || break
    grep -qi password "$d/$nom.$genre.dit" || break
    sleep {pause}
  done
  echo "$nom $genre $statut $(tr -c '[:print:]' ' ' <"$d/$nom.$genre.dit" | tail -c 200)" >"$d/$nom.$genre"
}}
trap 'rm -rf "$d" {command}-voisin' EXIT
trap 'exit 1' TERM INT HUP
for nom in {who_ruled}; do essai "$nom" {ruled} -S {command} & done
wait
for nom in {who_other}; do essai "$nom" {other} -S id -u & done
wait
[ -z "{who_neighbour}" ] || cp {command} {command}-voisin
for nom in {who_neighbour}; do essai "$nom" {neighbour} -S {command}-voisin & done
wait
rm -f {command}-voisin
for nom in {who_without}; do essai "$nom" {without} -n {command} & done
[ -z {account} ] || {{ {session} }}
wait
cat "$d"/*.{ruled} "$d"/*.{without} "$d"/*.{other} "$d"/*.{neighbour} 2>/dev/null
echo {opening}
cat "$d/accueil" 2>/dev/null
echo
echo {before}
for place in /etc /run /usr/lib; do cat $place/issue $place/issue.d/*.issue; done 2>/dev/null
echo
echo {ending}
"""
# A session on the console needs a terminal, which script(1) gives and login(1) must lead; nobody is asked for a
# password, as root opens it. `exit` is typed until somebody reads it: login throws away what came before.
SESSION = """
while sleep 2; do echo exit || break; done 2>/dev/null |
  timeout 100 script -qec 'exec login -f '{account} /dev/null >"$d/accueil" 2>&1 ||
  echo "statut-$?" >>"$d/accueil"
"""
OPENING, BEFORE, ENDING = "ouverture de session", "avant le nom", "fin des essais de regles"
"""What agetty(8) shows before it asks for a name follows BEFORE."""
MOTD = "/etc/motd"
# The file is emptied, not removed, so that it keeps its rights. Samba's client writes it when it differs from what the
# policy says; it also writes nothing, and says so, when it cannot read the policy.
AGAIN = """
d=$(mktemp -d)
cat {motd} >"$d/motd"
rendre() {{ [ -s {motd} ] || cat "$d/motd" >{motd}; rm -r "$d"; }}
trap rendre EXIT
trap 'exit 1' TERM INT HUP
true >{motd}
[ ! -s {motd} ] || echo {full}
for fois in 1 2 3; do
  timeout 100 samba-gpupdate --force >"$d/dit" 2>&1 || echo "statut-$?" >>"$d/dit"
  [ ! -s {motd} ] || break
  sleep {pause}
done
{session}
cat "$d/accueil"
echo
echo {applied}
grep -e '^statut-' -e '[Ff]ailed downloading' "$d/dit"
echo
echo {ending}
"""
APPLIED, FULL = "regles appliquees", "motd plein"
"""What `samba-gpupdate` said when it failed follows APPLIED; FULL is told of a file that nobody can empty."""


@dataclass(frozen=True)
class Effects:
    """What was seen on ws."""

    tries: dict[tuple[str, str], str]
    """(account, what was tried) -> GRANTED, REFUSED, UNKNOWN, or what happened."""
    greeting: str
    """GREETED when a session showed the message, SILENT when it did not, TOO_SOON when the console shows it anyway."""

    def of(self, account: str, what: str) -> str:
        return self.tries.get((account, what), "non essayée")


def effects_on_ws(
    bench: Bench,
    login: Login,
    who: Mapping[str, Sequence[str]],
    deadline: Deadline,
    *,
    greeting: bool = False,
    tries: int = 3,
) -> Effects:
    """Let people try commands (what is tried -> values that name who tries it), and open a session if asked.

    Raises ProbeError when one neither ran nor was refused in time.
    """
    names = {kind: " ".join(shlex.quote(person(bench, one).login) for one in who.get(kind, ())) for kind in ALL_KINDS}
    account = shlex.quote(person(bench, "commerciale").login) if greeting else "''"
    program = TRY.format(
        who_ruled=names[RULED_COMMAND], who_without=names[WITHOUT_PASSWORD], who_other=names[OTHER_COMMAND],
        who_neighbour=names[NEIGHBOUR], password=shlex.quote(text(bench, "mdp_agence")), command=COMMAND,
        ruled=RULED_COMMAND, without=WITHOUT_PASSWORD, other=OTHER_COMMAND, neighbour=NEIGHBOUR, tries=tries,
        pause=PAUSE, account=account, session=SESSION.format(account=account),
        opening=shlex.quote(OPENING), before=shlex.quote(BEFORE), ending=shlex.quote(ENDING),
    )  # fmt: skip
    return told(run_errand(login, Errand(NODE, program, ENDING), deadline), text(bench, "message"))


def greeted_again(bench: Bench, login: Login, deadline: Deadline) -> str:
    """Whether the message comes back: its file is emptied, and the rules applied again by force.

    GREETED when a session shows it then, BY_HAND when not. The file holds afterwards what a policy wrote, or else what
    it held. Raises ProbeError when that could not be tried, or the rules could not be applied.
    """
    program = AGAIN.format(
        motd=shlex.quote(MOTD), full=shlex.quote(FULL), applied=shlex.quote(APPLIED), ending=shlex.quote(ENDING),
        session=SESSION.format(account=shlex.quote(person(bench, "commerciale").login)), pause=PAUSE // 4,
    )  # fmt: skip
    shown, _, problem = run_errand(login, Errand(NODE, program, ENDING), deadline).partition(f"{APPLIED}\n")
    if FULL in shown:
        raise ProbeError(f"{MOTD} of ws could not be emptied")
    seen = _greeting(shown, "", text(bench, "message"))
    if seen == SILENT and problem.strip():
        raise ProbeError(f"samba-gpupdate on ws: {' '.join(problem.split())}")
    return GREETED if seen == GREETED else BY_HAND


def recovered(bench: Bench, login: Login, who: Sequence[str], deadline: Deadline) -> Effects:
    """Who runs the command after a restart of all the machines, waited for: ws may start before the controller."""

    def settled(seen: Effects) -> bool:
        return all(
            seen.of(person(bench, one).login, RULED_COMMAND) == (GRANTED if one in RULED else REFUSED) for one in who
        )

    return waited_for(bench, login, who, deadline, RECOVERY_SECONDS, settled)


def waited_for(
    bench: Bench,
    login: Login,
    who: Sequence[str],
    deadline: Deadline,
    seconds: float,
    settled: Callable[[Effects], bool],
) -> Effects:
    """Who runs the command, asked again until it is settled or that time is over.

    A machine that is still starting may not answer at all. Raises ProbeError when it does not in the end either.
    """
    problem: ProbeError | None = None

    def look() -> Effects:
        nonlocal problem
        problem = None
        try:
            return effects_on_ws(bench, login, {RULED_COMMAND: who}, deadline, tries=1)
        except ProbeError as silence:
            problem = silence
            return Effects({}, SILENT)

    seen = converge(deadline.sooner(seconds), look, settled, interval=5.0)
    if problem is not None:
        raise problem
    return seen


def told(output: str, message: str) -> Effects:
    """What the program saw, from what it wrote.

    >>> rows = "a.b regle 0 \\na.c regle 1 a.c is not in the sudoers file.\\n"
    >>> seen = told(f"{rows}ouverture de session\\nBonjour\\n", "Bonjour")
    >>> seen.of("a.b", "regle"), seen.of("a.c", "regle"), seen.greeting
    ('accordée', 'refusée', 'affiché')
    """
    rows, _, shown = output.partition(f"{OPENING}\n")
    opened, _, before = shown.partition(f"{BEFORE}\n")
    found = {}
    for row in rows.splitlines():
        account, what, status, words = [*row.split(" ", 3), "", "", ""][:4]
        if what in ALL_KINDS:
            found[account, what] = _verdict(what, status, words)
    return Effects(found, _greeting(opened, before, message))


def _verdict(what: str, status: str, words: str) -> str:
    if status == "0":
        return GRANTED
    if f"statut-{status}" == LATE:
        raise ProbeError("sudo on ws had not ended after 100 s")
    if "not allowed" in words or "not in the sudoers" in words or "may not run" in words:
        return REFUSED
    if "password" in words:
        return REFUSED if what == WITHOUT_PASSWORD else UNKNOWN
    return f"échec ({' '.join(words.split()) or status})"


def _greeting(opened: str, before: str, message: str) -> str:
    if LATE in opened:
        raise ProbeError("a session on the console of ws had not opened after 100 s")
    if message not in " ".join(opened.split()):
        return SILENT
    return TOO_SOON if message in " ".join(before.split()) else GREETED
