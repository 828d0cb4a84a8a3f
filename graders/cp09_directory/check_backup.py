"""CP09-O1: the backup and recovery plan of the directory, tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graders import programs
from graders.check import check
from graders.cp09_directory.check_second import ANSWER_SECONDS, expect_root
from graders.cp09_directory.pair import ADDRESSES, NEW, Pair
from graders.cp09_directory.remote_backup import AFTERWARDS
from graders.cp09_directory.trial import Undo
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

PROGRAM = Path(__file__).with_name("remote_backup.py")
SAVE, RESTORE = "/usr/local/sbin/sauver-domaine", "/usr/local/sbin/restaurer-domaine"
FOLDER = "/var/tmp"  # noqa: S108 - a folder of its own is made there
LIMIT_SECONDS = 600.0
"""Of the subject: ten minutes for each program."""
NORMAL_ACCOUNT = "512"
"""userAccountControl of an ordinary account (MS-ADTS 2.2.16)."""
SPOILED = {"half": "archive tronquée", "strange": "fichier qui n'est pas une archive", "absent": "archive absente"}


@check("CP09-O1.a", causes=("CP09-S1.h",), nodes=("dc2",), seconds=3600)
def check_restored(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline, undo: Undo
) -> None:
    """La sauvegarde faite par dc2 se restaure : mêmes comptes, mêmes groupes, et le mot de passe d'un compte tout neuf.

    La sonde crée un compte témoin dans l'annuaire. Sur dc2, « sauver-domaine » fait alors une archive dans un dossier
    vide ; la description du témoin est changée ; « restaurer-domaine » restaure l'archive dans un autre dossier, et la
    base restaurée est lue : c'est le domaine de l'agence, avec tous ses comptes et groupes d'aujourd'hui, et le témoin
    tel qu'il était, mot de passe compris. L'archive n'est lisible que de root. Pendant ce temps le contrôleur reste en
    service, et sa base n'est pas remplacée. Les deux dossiers sont supprimés.
    """
    request = _request(probe)
    _make_canary(Pair(bench, probe), request, expect, deadline, undo)
    told = programs.ask(login, NEW, PROGRAM, request, deadline)
    judge_backup(told, text(bench, "base_dn"), expect)


@check("CP09-O1.b", needs=("CP09-O1.a",), nodes=("dc2",), seconds=3600)
def check_refused(probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """La restauration d'une archive tronquée, d'un autre fichier ou d'une archive absente échoue, et le dit.

    « restaurer-domaine » se termine alors par un code de retour non nul.
    """
    told = programs.ask(login, NEW, PROGRAM, _request(probe), deadline)
    judge_refusals(told, expect)


def judge_refusals(told: dict[str, Any], expect: Expect) -> None:
    """Conclude from what remote_backup told of the archives from which nothing may be restored."""
    programs.unhurried(list(told["bad"].values()))
    for name, label in SPOILED.items():
        one = told["bad"][name]
        seen = "pas terminée à temps" if one["late"] else f"code de retour {one['status']}"
        expect.true(f"restauration, {label}", "code de retour non nul", seen, one["status"] not in {0, None})


def judge_backup(told: dict[str, Any], base: str, expect: Expect) -> None:
    """Conclude from what remote_backup told. Raises ProbeError when it could not measure."""
    if told["left"]:
        raise ProbeError(f"{told['left']} is still there on {NEW}")
    programs.unhurried([told[name] for name in ("save", "restore") if name in told])
    expect.require(_expect_run(expect, "sauvegarde", told["save"]))
    files = told["files"]
    expect.require(expect.equal("fichiers que la sauvegarde laisse dans le dossier", 1, len(files)))
    archive = files[0]
    closed = archive["regular"] and archive["owner"] == 0 and int(archive["mode"], 8) & 0o077 == 0
    seen = f"compte {archive['owner']}, droits {archive['mode']}"
    expect.true("propriétaire et droits de l'archive", "root, et personne d'autre", seen, closed)
    if told["changed"]:
        raise ProbeError(f"the canary could not be changed on {NEW}: {told['changed']}")
    expect.require(_expect_run(expect, "restauration", told["restore"]))
    served = "en service d'un bout à l'autre"
    expect.equal("contrôleur, pendant les deux", served, served if told["served"] else "arrêté, puis relancé")
    found = told["found"]
    expect.require(expect.equal("bases d'annuaire (sam.ldb) dans le dossier restauré", 1, found["bases"]))
    label = "base restaurée, ouverte par la bibliothèque de Samba"
    expect.require(expect.equal(label, "lisible", found.get("problem", "lisible")))
    expect.require(expect.equal("domaine de la base restaurée", base.lower(), found["domain"].lower()))
    for kind, what in (("people", "comptes"), ("groups", "groupes")):
        one = found[kind]
        expect.equal(f"{what} de la base restaurée", one["live"], one["restored"])
        expect.none(f"{what} qui y manquent", one["missing"])
        expect.none(f"{what} qui n'existent plus", one["more"])
    live, restored = found["canary"]["live"], found["canary"]["restored"]
    label = "domaine en service : description du témoin après la restauration"
    expect.require(expect.equal(label, AFTERWARDS, live.get("description")))
    if live.get("unicodePwd") != found["hash"]:
        raise ProbeError(f"the base at work on {NEW} does not tell the canary's password as it was given")
    expect.require(expect.equal("compte témoin", "présent", "présent" if restored else "absent"))
    expect.equal("description du témoin, changée depuis", found["word"], restored.get("description"))
    for name in ("pwdLastSet", "msDS-KeyVersionNumber"):
        expect.equal(f"{name} du témoin", live.get(name), restored.get(name))
    same = restored.get("unicodePwd") == found["hash"]
    expect.true("mot de passe du témoin", "celui qui vient de lui être donné",
                "celui-là" if same else "un autre" if "unicodePwd" in restored else "aucun", same)  # fmt: skip


def _expect_run(expect: Expect, label: str, told: dict[str, Any]) -> bool:
    seen = f"code de retour {told['status']}" if told["status"] is not None else "non exécutable"
    if told["late"]:
        seen = f"pas terminée au bout de {LIMIT_SECONDS / 60:g} min"
    words = f"{seen} ({told['said']})" if told["status"] != 0 and told["said"] else seen
    return expect.true(label, "code de retour 0", words, told["status"] == 0)


def _request(probe: ProbeClient) -> dict[str, Any]:
    return {
        "folder": FOLDER,
        "save": SAVE,
        "restore": RESTORE,
        "limit": LIMIT_SECONDS,
        "canary": f"temoin-{probe.nonce('témoin')}"[:20],
        "word": probe.nonce("description du témoin"),
        "password": f"Zx-{probe.nonce('mot de passe du témoin')}-8",
    }


def _make_canary(pair: Pair, request: dict[str, Any], expect: Expect, deadline: Deadline, undo: Undo) -> None:
    expect_root(expect, pair, NEW, deadline.sooner(ANSWER_SECONDS))
    holders = [name for name in ADDRESSES if pair.root(name)["code"] == 0]
    dn = f"CN={request['canary']},OU=Centre,{text(pair.bench, 'base_dn')}"
    values = {
        "objectClass": "user",
        "sAMAccountName": request["canary"],
        "userAccountControl": NORMAL_ACCOUNT,
        "description": request["word"],
        "unicodePwd": request["password"],
    }
    undo("compte témoin", lambda: pair.forget(dn, holders))
    told = pair.add(NEW, dn, values)
    expect.require(expect.equal("création d'un compte témoin sur dc2", "accepté", pair.answer(told)))
