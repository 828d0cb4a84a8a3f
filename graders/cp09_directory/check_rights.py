"""CP09-S3: administer levels of rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graders.agency import (
    ADMINISTRATOR,
    LEG,
    NOTHING,
    READ,
    SHARES,
    STAFF,
    WRITE,
    Directory,
    Entry,
    bind_name,
    first,
    person,
    read_directory,
    sid_of,
)
from graders.check import check
from graders.cp09_directory.check_controller import act
from graders.cp09_directory.trial import Trial, Undo, trial_account
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

PRIVILEGED = {512: "Admins du domaine", 519: "Administrateurs de l'entreprise", 518: "Administrateurs du schéma"}
"""RID -> name of the group (MS-ADTS 6.1.1.6)."""
OPERATORS = {548: "Opérateurs de compte", 549: "Opérateurs de serveur", 550: "Opérateurs d'impression",
             551: "Opérateurs de sauvegarde"}  # fmt: skip
"""The same, of BUILTIN: whoever is in them may become administrator."""
VISITS_SECONDS = 160
RECOVERY_SECONDS = 400.0
"""As for the session on ws (CP09-S4.b): winbind may believe for 300 s that an account is not there."""
ENTITLED = {"GG_Commerce": "commerciale", "GG_Technique": "technicien", "GG_Direction": "directrice"}
"""Group -> the value that names who is in it."""
Act = tuple[str, str, str, str]
"""Login, verb, path and text of smb.use."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("smb.use", LEG, timeout=VISITS_SECONDS, **Visit(bench, probe).asked)


@check("CP09-S3.a", causes=("CP09-S2.a", "CP09-S2.b", "CP09-S1.d", "CP09-S1.a"), nodes=("dc",), seconds=240)
def check_delegation(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """L'assistance réinitialise les mots de passe de l'unité Commerce, et ceux-là seulement.

    Avec le compte de l'assistante, la sonde change le mot de passe du compte d'essai de Commerce, qui obtient alors un
    ticket avec le nouveau ; elle essaie la même chose sur celui de Direction, dont le mot de passe reste le même. Le
    compte d'essai de Direction n'arrive à rien dans Commerce ; mis dans GG_Assistance le temps de l'essai, il y arrive.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    helper = person(bench, "assistante").login
    trial = Trial(bench, probe, undo)
    for unit, allowed in (("commerce", True), ("direction", False)):
        account = trial_account(directory, unit)
        label = f"compte essai.{unit}"
        expect.require(expect.true(label, "présent", "présent" if account else "absent", bool(account)))
        assert account is not None
        new = trial.new_password(f"delegation {unit}")
        told = trial.answer(trial.reset(account, new, bind_name(bench, helper), text(bench, "mdp_agence")))
        expect.equal(f"réinitialisation de essai.{unit} par {helper}", "acceptée" if allowed else "refusée", told)
        label = f"ticket de essai.{unit} avec le mot de passe que l'assistante a voulu donner"
        expect.equal(label, "obtenu" if allowed else "refusé", trial.ticket(f"essai.{unit}", new))
    account, joins = trial_account(directory, "commerce"), trial_account(directory, "direction")
    assert account is not None
    assert joins is not None
    secret = trial.new_password("delegation to others")
    told = trial.answer(trial.give(joins, secret))
    expect.require(expect.equal("réinitialisation de essai.direction par l'administrateur", "acceptée", told))
    for added, wanted in (("", "refusée"), (", mis dans GG_Assistance", "acceptée")):
        if added:
            _expect_joined(expect, trial, directory, joins, "GG_Assistance")
        new = trial.new_password(f"delegation to others{added}")
        told = trial.answer(trial.reset(account, new, bind_name(bench, "essai.direction"), secret))
        expect.equal(f"réinitialisation de essai.commerce par essai.direction{added}", wanted, told)


def _expect_joined(expect: Expect, trial: Trial, directory: Directory, account: Entry, name: str) -> Entry:
    """The account is put into the group of that name; returns the group."""
    group = directory.account(name)
    told = trial.answer(trial.enrol(account, group)) if group else "groupe absent"
    label = f"entrée de {first(account, 'samaccountname')} dans {name} par l'administrateur"
    expect.require(expect.equal(label, "acceptée", told))
    assert group is not None
    return group


@check("CP09-S3.b", causes=("CP09-S1.d", "CP09-S1.a", "CP09-S2.b"), nodes=("srv", "dc"), seconds=420, early=_start)
def check_shares(bench: Bench, probe: ProbeClient, expect: Expect, undo: Undo) -> None:
    """Chacun lit, écrit, ou ne voit rien, sur chaque partage de srv, comme dans le tableau.

    Cinq personnes essaient vraiment, chacune avec son mot de passe : écrire un fichier, puis lire celui d'une personne
    qui en a le droit et, pour qui n'a pas celui d'écrire, le remplacer. srv reconnaît aussi le compte d'essai de
    Commerce à un mot de passe que seul l'annuaire connaît, et lui donne les droits des groupes où il est mis le temps
    de l'essai.
    """
    trial = Trial(bench, probe, undo)
    for who in ("stagiaire", "assistante"):
        login = person(bench, who).login
        expect.equal(
            f"ticket de {login}, qui n'a droit à rien", "obtenu", trial.ticket(login, text(bench, "mdp_agence"))
        )
    visit = Visit(bench, probe)
    undo("fichiers déposés dans les partages", visit.clean)
    visit.compare(expect, visit.made())
    _expect_of_the_domain(bench, probe, expect, trial)


@check("CP09-S3.d", needs=("CP09-S3.b",), causes=("CP09-S1.f",), nodes=("srv", "dc"), phase="reboot", seconds=900)
def check_shares_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline, undo: Undo) -> None:
    """Après un redémarrage, chacun retrouve les partages de srv, avec ses droits.

    Toutes les machines ont redémarré ensemble ; personne n'est intervenu. Les cinq personnes refont leurs essais.
    """
    visit = Visit(bench, probe, " after a restart")
    undo("fichiers déposés dans les partages", visit.clean)
    label = f"liste de commun par {person(bench, STAFF[0]).login}"
    listed = converge(deadline.sooner(RECOVERY_SECONDS), visit.listed, lambda seen: seen == "accordée", interval=3.0)
    expect.require(expect.equal(label, "accordée", listed))
    told = converge(deadline.sooner(RECOVERY_SECONDS), visit.made, visit.good, interval=3.0)
    visit.compare(expect, told)


def _expect_of_the_domain(bench: Bench, probe: ProbeClient, expect: Expect, trial: Trial) -> None:
    """srv lets in whom the directory lets in: an account of its own could not know a password given a moment ago."""
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    account = trial_account(directory, "commerce")
    expect.require(expect.equal("compte essai.commerce", "présent", "présent" if account else "absent"))
    assert account is not None
    login, new, wrong = "essai.commerce", trial.new_password("shares"), probe.nonce("wrong share")
    told = trial.answer(trial.give(account, new))
    expect.require(expect.equal(f"réinitialisation de {login}", "acceptée", told))
    tries = (("son nouveau mot de passe", new, "accordée"), ("un mauvais mot de passe", wrong, "refusée"))
    for label, password, wanted in tries:
        seen = probe.call("smb.use", LEG, timeout=80, address=text(bench, "lan_srv"), domain=text(bench, "netbios"),
                          people={login: password}, acts=[[login, "list", "", ""]],
                          again=password == new)[0]  # fmt: skip
        expect.equal(f"liste des partages de srv par {login}, avec {label}", wanted, act(seen))
    for group, who in ENTITLED.items():
        member = _expect_joined(expect, trial, directory, account, group)
        acts = [[login, "write", f"{share}/{wrong}.txt", wrong] for share in SHARES]
        acts += [[login, "list", share, ""] for share in SHARES]
        acts += [[login, "delete", f"{share}/{wrong}.txt", ""] for share in SHARES]
        seen = [act(one) for one in probe.call(
            "smb.use", LEG, timeout=120, address=text(bench, "lan_srv"), domain=text(bench, "netbios"),
            people={login: new}, acts=acts)]  # fmt: skip
        for (share, rights), written, listed in zip(SHARES.items(), seen, seen[len(SHARES) :], strict=False):
            right = rights[who]
            label = f"{share} : écriture de {login}, mis dans {group}"
            expect.equal(label, "accordée" if right == WRITE else "refusée", written)
            if right != NOTHING:
                expect.equal(f"{share} : lecture de {login}, mis dans {group}", "accordée", listed)
        trial.leave(account, member)


@check("CP09-S3.c", causes=("CP09-S2.a", "CP09-S1.a"), nodes=("dc",))
def check_privileged(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Aucune personne de l'agence n'est administrateur du domaine.

    Les groupes privilégiés, dont ceux des opérateurs, lus avec leurs groupes imbriqués, ne contiennent que le compte
    d'administrateur d'origine et, sur un contrôleur Windows, celui du centre.
    """
    directory, problem = read_directory(bench, probe)
    expect.require(expect.true("annuaire lu par une personne de l'agence", "oui", problem or "oui", not problem))
    for rid, name in PRIVILEGED.items():
        _expect_alone(expect, name, directory, directory.by_rid(rid), "")
    windows = bench.node("dc").model.windows
    _expect_alone(expect, "Administrateurs", directory, directory.builtin(544), windows.user if windows else "")
    for rid, name in OPERATORS.items():
        _expect_alone(expect, name, directory, directory.builtin(rid), "")


def _expect_alone(expect: Expect, name: str, directory: Directory, group: Entry | None, centre: str) -> None:
    wanted = "personne d'autre que l'administrateur d'origine"
    found = ["groupe introuvable"] if group is None else strangers(directory, group, centre)
    expect.equal(f"membres de « {name} »", wanted, show(found) if found else wanted)


def strangers(directory: Directory, group: Entry, centre: str = "") -> list[str]:
    """Who is in a privileged group beside the built-in administrator and the account `centre`.

    The promotion of a Windows server makes its local administrators, the grader among them, BUILTIN's of the domain.
    """
    found = [one for one in directory.everybody_in(group) if not sid_of(one).endswith(f"-{ADMINISTRATOR}")]
    names = sorted(first(one, "samaccountname") or one["dn"] for one in found)
    return [name for name in names if not centre or name.lower() != centre.lower()]


def granted(written: dict[str, str], read: dict[str, str], word: str) -> str:
    """The right that a person showed; what happened instead when the server answered neither yes nor no."""
    states = tuple("refused" if one["state"] == "logon refused" else one["state"] for one in (written, read))
    if states == ("granted", "granted") and read["text"] == word:
        return WRITE
    if states == ("refused", "granted") and read["text"] == word:
        return READ
    if states == ("refused", "refused"):
        return NOTHING
    return f"écriture : {act(written)} ; lecture : {act(read)}"


class Visit:
    """What people do on the shares of srv, with files of one purpose.

    Everybody writes a file, then reads the one of somebody entitled; who may not write puts another in its place. In
    the end each deletes their own.
    """

    def __init__(self, bench: Bench, probe: ProbeClient, purpose: str = "") -> None:
        self._bench, self._probe = bench, probe
        self._words = {share: probe.nonce(f"share {share}{purpose}") for share in SHARES}
        self._cells = [(share, who) for share, rights in SHARES.items() for who in rights]
        self._begun = False

    @property
    def asked(self) -> dict[str, Any]:
        """Parameters of smb.use."""
        return self._use(self._acts())

    def _acts(self) -> list[Act]:
        acts = [self._write(*cell) for cell in self._cells]
        acts += [self._read(*cell) for cell in self._cells]
        acts += [self._replace(share, who) for share, who in self._cells if SHARES[share][who] != WRITE]
        return acts + self._deletions()

    def _deletions(self) -> list[Act]:
        return [(self._login(who), "delete", self._path(share, who), "") for share, who in self._cells]

    def _use(self, acts: list[Act]) -> dict[str, Any]:
        return {
            "address": text(self._bench, "lan_srv"),
            "domain": text(self._bench, "netbios"),
            "people": {self._login(who): text(self._bench, "mdp_agence") for who in STAFF},
            "acts": [list(one) for one in acts],
        }

    def made(self) -> dict[Act, dict[str, str]]:
        """What came of each act."""
        self._begun = True
        told = self._probe.call("smb.use", LEG, timeout=VISITS_SECONDS, **self.asked)
        self._begun = False
        return dict(zip(self._acts(), told, strict=True))

    def listed(self) -> str:
        """Whether one person lists one share, which is soon told."""
        asked = self._use([(self._login(STAFF[0]), "list", "commun", "")])
        return act(self._probe.call("smb.use", LEG, timeout=60, **asked)[0])

    def clean(self) -> None:
        """Take away what a visit left that was cut short. Raises ProbeError when a file stays."""
        if self._begun:
            told = self._probe.call("smb.use", LEG, timeout=VISITS_SECONDS, **self._use(self._deletions()))
            if stays := [one["state"] for one in told if one["state"] not in {"granted", "refused", "ENOENT"}]:
                raise ProbeError(f"files of a visit of srv could not be removed: {stays[0]}")

    def good(self, told: dict[Act, dict[str, str]]) -> bool:
        return all(wanted == seen for _, wanted, seen in self._rows(told))

    def compare(self, expect: Expect, told: dict[Act, dict[str, str]]) -> None:
        for row in self._rows(told):
            expect.equal(*row)

    def _rows(self, told: dict[Act, dict[str, str]]) -> Iterator[tuple[str, str, str]]:
        for share, who in self._cells:
            login, right = self._login(who), SHARES[share][who]
            observed = granted(told[self._write(share, who)], told[self._read(share, who)], self._words[share])
            yield f"{share} : {login}", right, observed
            if right != WRITE:
                replaced = told[self._replace(share, who)]
                yield f"{share} : écriture de {login} dans le fichier d'un autre", "refusée", act(replaced)

    def _login(self, who: str) -> str:
        return person(self._bench, who).login

    def _path(self, share: str, who: str) -> str:
        return f"{share}/{self._words[share]}-{who}.txt"

    def _owned(self, share: str) -> str:
        """The file that the others try to read: of the last one who may write."""
        return self._path(share, [who for who, right in SHARES[share].items() if right == WRITE][-1])

    def _write(self, share: str, who: str) -> Act:
        return self._login(who), "write", self._path(share, who), self._words[share]

    def _read(self, share: str, who: str) -> Act:
        return self._login(who), "read", self._owned(share), ""

    def _replace(self, share: str, who: str) -> Act:
        return self._login(who), "write", self._owned(share), "remplacé"
