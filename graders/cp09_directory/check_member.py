"""CP09-S4: join a client and its entities."""

from __future__ import annotations

import shlex
from typing import Any

from graders.agency import LEG, read_directory
from graders.check import check
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.errand import LATE, Errand, run_errand
from graders.expect import Expect, converge, show
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

ACCOUNT = "essai.commerce"
RECOVERY_SECONDS = 400.0
"""How long after a restart of all the machines at once: winbind believes for 300 s that an account is not there, when
it was asked while the controller was still starting (smb.conf(5), winbind cache time)."""
# What opening a session does, without a terminal: PAM asks for the password on standard input, because nobody is not
# root. The session then tells who it is for, where, and whether it may write there. All at once: a refusal waits some
# seconds before it is told, and the first session of an account makes its folder.
OPEN = """
printf '%s\\n' {password} | timeout 100 runuser -u nobody -- su -l {account} -c '
  id -un; id -u; pwd; stat -c %U .; date >.plateau-session && rm .plateau-session && echo ecrit
' >{file} 2>&1 || echo "statut-$?" >>{file} &
"""
NEXT, END = "session-suivante", "fin des sessions"
FIELDS = ("compte", "numéro", "dossier", "propriétaire", "écriture")


@check("CP09-S4.a", causes=("CP09-S1.d", "CP09-S1.a", "CP09-S2.a"), nodes=("ws", "dc"), seconds=240)
def check_session(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """Une personne du domaine ouvre une session sur ws avec son mot de passe, dans un dossier personnel à elle.

    La sonde donne dans l'annuaire un mot de passe jamais utilisé au compte d'essai de Commerce : la session s'ouvre
    sur ws avec lui, et ne s'ouvre pas avec l'ancien. ws est connu de l'annuaire et du DNS.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    machine = directory.account("ws$")
    expect.equal("compte de l'ordinateur ws", "présent", "présent" if machine else "absent")
    name = f"ws.{text(bench, 'domaine')}"
    answer = probe.call("dns.query", LEG, server=text(bench, "lan_dc"), questions=[[name, "A"]], window=10)[0]
    found = sorted(one["data"] for one in answer.get("answers", []) if one["type"] == "A")
    expect.equal(f"{name} A", [text(bench, "lan_poste")], found)
    account = trial_account(directory, "commerce")
    expect.require(expect.equal(f"compte {ACCOUNT}", "présent", "présent" if account else "absent"))
    assert account is not None
    trial = Trial(bench, probe, undo)
    new = trial.new_password("session")
    told = trial.answer(trial.give(account, new))
    expect.require(expect.equal(f"réinitialisation de {ACCOUNT} par l'administrateur", "acceptée", told))
    opened, refused = open_sessions(login, deadline, [new, text(bench, "mdp_essai")])
    expect_session(expect, opened)
    uid = opened["numéro"]
    local = login("ws").run("cut -d: -f1,3 /etc/passwd").stdout.split()
    known = [one for one in local if one.startswith(f"{ACCOUNT}:") or one.endswith(f":{uid}")]
    expect.equal("compte ou numéro connu de ws sans le domaine", "rien", show(known))
    expect.equal("session avec l'ancien mot de passe", "refusée", "ouverte" if "numéro" in refused else "refusée")


@check("CP09-S4.b", needs=("CP09-S4.a",), nodes=("ws", "dc"), phase="reboot", seconds=600)
def check_session_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline
) -> None:
    """Après un redémarrage, une personne du domaine ouvre encore une session sur ws.

    Toutes les machines ont redémarré ensemble. Le mot de passe est celui du compte d'essai.
    """
    del probe
    usual = [text(bench, "mdp_essai")]
    opened = converge(deadline.sooner(RECOVERY_SECONDS), lambda: open_sessions(login, deadline, usual)[0],
                      lambda seen: "numéro" in seen, interval=3.0)  # fmt: skip
    expect_session(expect, opened)


def open_sessions(login: Login, deadline: Deadline, passwords: list[str]) -> list[dict[str, str]]:
    """Open sessions on ws with the test account, all at once; what each said, as session_of tells it.

    Raises ProbeError when one neither opened nor was refused in time: the centre's machines may be the slow ones.
    """
    files = [f'"$d/{index}"' for index in range(len(passwords))]
    lines = ["d=$(mktemp -d)"]
    lines += [OPEN.replace("{password}", shlex.quote(password)).replace("{account}", ACCOUNT).replace("{file}", file)
              for password, file in zip(passwords, files, strict=True)]  # fmt: skip
    lines += ["wait", *(f"echo {NEXT}; cat {file}" for file in files), 'rm -r "$d"', f"echo; echo {shlex.quote(END)}"]
    told = run_errand(login, Errand("ws", "\n".join(lines), END), deadline)
    if LATE in told:
        raise ProbeError("a session on ws was neither opened nor refused within 100 s")
    return [session_of(one) for one in told.split(f"{NEXT}\n")[1:]]


def session_of(told: str) -> dict[str, str]:
    """The fields of a session that opened; `problem` when none did.

    >>> session_of("Mot de passe : essai\\n2001\\n/home/essai\\nessai\\necrit\\n")["dossier"]
    '/home/essai'
    """
    lines = [line.rpartition(" : ")[2].rpartition(": ")[2].strip() for line in told.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.isdigit() and index:
            return dict(zip(FIELDS, lines[index - 1 :], strict=False))
    return {"problem": " ".join(told.split())[-200:] or "rien"}


def plain(name: str) -> str:
    """An account's name without its domain, which a member may show before or after it.

    >>> plain("NEVERS\\\\Essai.Commerce"), plain("essai.commerce@nevers.test")
    ('essai.commerce', 'essai.commerce')
    """
    return name.rpartition("\\")[2].partition("@")[0].lower()


def expect_session(expect: Expect, opened: dict[str, Any]) -> None:
    """The session is of the account, in a folder of its own where it may write."""
    label = f"session de {ACCOUNT} sur ws"
    observed = opened.get("problem", "ouverte")
    expect.require(expect.true(label, "ouverte", observed, "problem" not in opened))
    expect.equal("compte de la session", ACCOUNT, plain(opened["compte"]))
    expect.equal("propriétaire du dossier personnel", ACCOUNT, plain(opened.get("propriétaire", "")))
    home = opened.get("dossier", "")
    expect.true(
        "dossier personnel", "un dossier à part", home or "rien", home not in {"", "/", "/root", "/nonexistent"}
    )
    expect.equal("fichier écrit dans ce dossier", "ecrit", opened.get("écriture", ""))
