"""CP10-S2 and CP10-C4: a script, judged by what it does with inputs that its author has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graders import programs
from graders.check import check
from graders.cp10_scripts import runner
from graders.cp10_scripts.runner import status
from graders.errand import Errand
from graders.expect import Expect, show
from graders.login import Login
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

SCRIPT = "/usr/local/bin/preparer-dossiers"
HEADER = "identifiant;nom;service"
MANY_SECONDS = 300.0
"""More than the subject gives for 500 people: how fast a script goes here depends on the centre's machines too."""
OF_OTHERS = ["/home", "/tmp", "/var/tmp"]  # noqa: S108  # nothing is written there
"""Where others than root may put a program in the place of one that the script calls."""
# The script itself, links followed, then every folder above it; `+` where an access list says more than the mode.
OWNERS = """
f=$(readlink -e %s) || exit 0
while :; do
  case $(ls -ld "$f") in ??????????+*) list=+ ;; *) list=- ;; esac
  stat -c "%%U %%G %%a $list %%n" "$f"
  [ "$f" != / ] || break
  f=$(dirname "$f")
done
"""


@dataclass(frozen=True)
class Row:
    """A line of an export, and whether the script must refuse it."""

    login: str
    name: str
    team: str
    good: bool = True

    @property
    def text(self) -> str:
        return f"{self.login};{self.name};{self.team}"


def hidden_rows(word: str) -> list[Row]:
    """Lines that are right but awkward, with those that must be refused among them."""
    return [
        Row(f"zoe.{word}", "Zoé Œuvrard", "Études"),
        Row(f"jean luc.{word}", "Jean Luc d'Été", "Après vente"),
        Row(f"metas.{word}", "$(touch injection) `touch injection` && touch injection | tee injection", "Accueil"),
        Row(f"../fuite.{word}", "Chemin qui sort", "Accueil", good=False),
        Row(f"etoile.{word}", "* ? [a] & < >", "R&D *"),
        Row("", "Sans identifiant", "Accueil", good=False),
        Row(f"-rf.{word}", "Tiret au début", "-service"),
        Row(f"$(touch injection).{word}", "Commande dans l'identifiant", "Après $(touch injection)"),
        Row(f"l'ami.{word}", "Apostrophe", "L'atelier `touch injection`"),
        Row(f".cache.{word}", "Point au début", "Accueil", good=False),
        Row(f"fuite/a.{word}", "Barre au milieu", "Accueil", good=False),
        Row(f"sans.{word}", "Sans service", "", good=False),
        Row(f"point.{word}", "Service caché", ".fuite", good=False),
        Row(f"barre.{word}", "Service à étages", "fuite/b", good=False),
        Row(f"sortie.{word}", "Service qui sort", "../../fuite", good=False),
    ]


def two_rows(probe: ProbeClient) -> list[Row]:
    word = probe.nonce("behaviour")
    return [Row(f"lea.{word}", "Léa Noël", "Accueil"), Row(f"hugo.{word}", "Hugo Faÿ", "Après vente")]


def one_row(probe: ProbeClient) -> Row:
    return Row(f"droits.{probe.nonce('safety')}", "Droits", "Accueil")


def many_rows(word: str, count: int = 500) -> list[Row]:
    return [Row(f"compte{number:03}.{word}", f"Nom {number}", f"Service {number % 7}") for number in range(count)]


@check("CP10-S2.a", nodes=("srv",), seconds=420, errands=lambda _bench, probe: [_results(probe)])
def check_result(probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script crée les bons dossiers pour des exports qu'il n'a jamais vus, et rien d'autre.

    Accents, espaces, caractères du shell, doublons, lignes vides ; un export sans personne, un autre de 500
    personnes. Une ligne dangereuse est refusée sans arrêter les autres, et aucun texte n'est exécuté. Le script est
    lancé sous root, dans des dossiers de root.
    """
    word = probe.nonce("hidden rows")
    rows = hidden_rows(word)
    empty, full, many = answers(login, _results(probe), deadline)
    expect.require(expect.equal("export sans personne : code de retour", "0", status(empty)))
    expect.equal("export sans personne : dossiers créés", {}, empty["tree"])
    wrong = misplaced([row for row in rows if row.good], full["tree"])
    expect.true("export inédit : dossiers et fichiers", "ceux des lignes acceptées", show(wrong) if wrong else
                "ceux des lignes acceptées", not wrong)  # fmt: skip
    expect.equal("export inédit : fichiers créés ailleurs", [], full["strays"])
    refused = full["status"] not in {None, 0} and bool(full["err"].strip())
    expect.equal("lignes dangereuses signalées (erreur et code de retour)", "oui", "oui" if refused else "non")
    ended = many["status"] is not None
    expect.true("export de 500 personnes : fin du script", "oui", "oui" if ended else status(many), ended)
    wrong = misplaced(many_rows(word), many["tree"])
    expect.true(
        "export de 500 personnes : dossiers et fichiers", "tous", show(wrong[:6]) if wrong else "tous", not wrong
    )


@check("CP10-S2.b", causes=("CP10-S2.a",), nodes=("srv",), seconds=120,
       errands=lambda bench, probe: [_behaviour(bench, probe)])  # fmt: skip
def check_behaviour(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script peut être relancé, simulé, et dit quand il échoue.

    Une simulation annonce chaque dossier et ne crée rien ; un second passage réussit sans rien changer, ni les fichiers
    déposés depuis ; un export absent, ou illisible pour le compte de la tâche, donne un code de retour non nul et un
    message sur la sortie d'erreur.
    """
    rows = two_rows(probe)
    dry, once, twice, absent, unreadable = answers(login, _behaviour(bench, probe), deadline)
    expect.require(expect.equal("simulation : code de retour", "0", status(dry)))
    expect.equal("simulation : dossiers créés", {}, dry["tree"])
    silent = unannounced(rows, dry["out"])
    expect.all_of("simulation : dossiers annoncés sur la sortie standard", "tous", silent, len(rows))
    expect.equal("premier passage : code de retour", "0", status(once))
    expect.equal("premier passage : dossiers manquants", [], misplaced(rows, once["tree"]))
    expect.equal("second passage : code de retour", "0", status(twice))
    expect.equal("second passage : dossiers changés", "non", "non" if twice["start"] == twice["tree"] else "oui")
    for what, one in (("export absent", absent), ("export illisible", unreadable)):
        expect.true(f"{what} : code de retour", "non nul", status(one), one["status"] not in {None, 0})
        told = "rien" if not one["err"].strip() else "un message"
        expect.equal(f"{what} : sortie d'erreur", "un message", told)
        expect.equal(f"{what} : dossiers créés", {}, one["tree"])


@check("CP10-C4.a", causes=("CP10-S2.a",), nodes=("srv",), errands=lambda _bench, probe: [_safety(probe)])
def check_safety(probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script appartient à root et n'est modifiable que par lui ; les dossiers créés ne sont pas ouverts à tous.

    Sont regardés le fichier du script, les dossiers où il se trouve vraiment, et les droits d'un dossier qu'il crée.
    Il est lancé là où les dossiers personnels et temporaires sont sans fichiers : un programme qui s'y trouve peut être
    changé par d'autres que root.
    """
    lines = login("srv").run(OWNERS, SCRIPT).stdout.splitlines()
    expect.require(expect.equal("script", "présent", "présent" if lines else "absent"))
    for index, line in enumerate(lines):
        owner, group, mode, listed, name = line.split(" ", 4)
        expect.require(expect.equal(f"{name} : propriétaire", "root", owner))
        # A folder may be its group's: Debian has given /usr/local to `staff`, which nobody is in. With an access list,
        # the group's bits say what the list gives at most.
        theirs = listed == "+" or (index == 0 and group != "root")
        shared = int(mode, 8) & 0o002 or (int(mode, 8) & 0o020 and theirs)
        expect.equal(f"{name} : modifiable par d'autres que root", "non", "oui" if shared else "non")
    row = one_row(probe)
    (told,) = answers(login, _safety(probe), deadline)
    expect.require(expect.equal(f"sans les fichiers de {', '.join(OF_OTHERS)} : code de retour", "0", status(told)))
    mode = told["tree"].get(f"{row.team}/{row.login}/", "dossier absent")
    expect.equal("droits d'un dossier de personne", "750", mode)


def run(
    name: str,
    lines: list[str] | None,
    *,
    root: str = "",
    options: list[str] | None = None,
    seconds: float = 30.0,
    used: list[str] | None = None,
    hidden: list[str] | None = None,
    account: str = "",
) -> dict[str, Any]:
    """One run of the script: its export (None: the file does not exist), and the folder that it is given.

    In folders of `used`, somebody has left a file, and a line in the one that is there; in those of `hidden`, the
    script sees folders and no file. It is run by root, or by `account`, who then may not read the export.
    """
    text = None if lines is None else "\n".join(lines) + "\n"
    return {"name": name, "text": text, "root": root or f"racine-{name}", "options": options or [],
            "seconds": seconds, "used": used or [], "hidden": hidden or [], "account": account}  # fmt: skip


def errand(runs: list[dict[str, Any]]) -> Errand:
    """Run the script as root on srv, once for each, one after the other; each has a limit of its own.

    One program for all the runs of a check: an emulated machine takes long to start one, and answers one question at a
    time.
    """
    return runner.errand("remote_folders", {"script": SCRIPT, "runs": runs})


def answers(login: Login, asked: Errand, deadline: Deadline) -> list[dict[str, Any]]:
    """What each run of the script gave.

    Raises ProbeError when the runs told nothing, or when one was not over in time on a machine that is slow anyway.
    """
    told: list[dict[str, Any]] = programs.answer(login, asked, deadline)
    programs.unhurried(told)
    return told


def misplaced(rows: list[Row], tree: dict[str, str]) -> list[str]:
    """What is missing, wrong or too much in a tree; empty when it holds the folders of `rows` and no more."""
    wanted = {}
    for row in rows:
        wanted[f"{row.team}/"] = ""
        wanted[f"{row.team}/{row.login}/"] = ""
        wanted[f"{row.team}/{row.login}/LISEZMOI.txt"] = row.name
    wrong = [f"{name} en trop" for name in tree if name not in wanted]
    for name, content in wanted.items():
        if name not in tree:
            wrong.append(f"{name} absent")
        elif content and tree[name].splitlines()[:1] != [content]:
            wrong.append(f"{name} : autre texte")
    return sorted(wrong)


def unannounced(rows: list[Row], told: str) -> list[str]:
    """People whose folder has no line of its own in what a simulation said."""
    paths = {row.login: f"{row.team}/{row.login}" for row in rows}
    lines = [[login for login, path in paths.items() if path in line] for line in told.splitlines()]
    return [row.login for row in rows if [row.login] not in lines]


def _results(probe: ProbeClient) -> Errand:
    word = probe.nonce("hidden rows")
    rows = hidden_rows(word)
    lines = [HEADER, rows[0].text, "", *(row.text for row in rows[1:]), "   ", rows[0].text]
    return errand([
        run("vide", [HEADER]),
        run("cache", lines),
        run("nombreux", [HEADER, *(row.text for row in many_rows(word))], seconds=MANY_SECONDS),
    ])  # fmt: skip


def _behaviour(bench: Bench, probe: ProbeClient) -> Errand:
    lines = [HEADER, *(row.text for row in two_rows(probe))]
    return errand([
        run("essai", lines, root="simulation", options=["--simulation"]),
        run("essai", lines, root="reel"),
        run("essai", lines, root="reel", used=[f"{row.team}/{row.login}" for row in two_rows(probe)]),
        run("absent", None, root="absent"),
        run("illisible", lines, account=text(bench, "tache_compte")),
    ])  # fmt: skip


def _safety(probe: ProbeClient) -> Errand:
    return errand([run("droits", [HEADER, one_row(probe).text], hidden=OF_OTHERS)])
