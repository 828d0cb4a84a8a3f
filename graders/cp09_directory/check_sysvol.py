"""CP09-S1.i: SYSVOL, which Samba does not replicate, follows from one controller to the other."""

from __future__ import annotations

from graders.agency import person
from graders.check import check
from graders.cp09_directory.check_controller import act
from graders.cp09_directory.pair import ADMINISTRATOR, NEW, OLD, Pair
from graders.cp09_directory.trial import Undo
from graders.expect import Expect, converge, show
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

COPY_SECONDS = 120.0
"""Of the subject."""
MARGIN_SECONDS = 30.0
"""For the copy itself and the grader's own questions."""
ABSENT = "absent"


@check("CP09-S1.i", causes=("CP09-S1.h",), nodes=("dc", "dc2"), seconds=600)
def check_sysvol(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline, undo: Undo) -> None:
    """SYSVOL a le même contenu sur les deux contrôleurs, et ce qui y change sur dc2 l'est sur dc en deux minutes.

    Une personne de l'agence lit tous les fichiers de SYSVOL sur chacun : ils sont les mêmes, ceux de l'agence compris.
    L'administrateur dépose ensuite un fichier inconnu dans NETLOGON de dc2 : une personne de l'agence le lit sur dc,
    sans pouvoir le changer. Il disparaît de dc quand l'administrateur le supprime de dc2.
    """
    pair = Pair(bench, probe)
    domain, who = text(bench, "domaine"), person(bench, "commerciale").login
    told = {name: pair.files(name, [[who, "tree", f"sysvol/{domain}", ""]])[0] for name in (OLD, NEW)}
    for name, one in told.items():
        expect.require(expect.equal(f"lecture de tous les fichiers de SYSVOL sur {name}", "accordée", act(one)))
    there = {name: set(one["text"].splitlines()) for name, one in told.items()}
    script = f"scripts/ouverture.cmd, avec {text(bench, 'jeton_script')}"
    read = pair.files(NEW, [[who, "read", "netlogon/ouverture.cmd", ""]])[0]
    expect.true("script d'ouverture de session sur dc2", script, read["text"] or act(read),
                text(bench, "jeton_script") in read["text"])  # fmt: skip
    policies = {path.split("/")[1] for path in paths(there[NEW]) if path.lower().startswith("policies/{")}
    expect.true("stratégies sur dc2", "trois au moins", show(sorted(policies)), len(policies) > 2)
    expect.none("fichiers de dc qui ne sont pas les mêmes sur dc2", sorted(paths(there[OLD] - there[NEW])))
    expect.none("fichiers de dc2 qui ne sont pas les mêmes sur dc", sorted(paths(there[NEW] - there[OLD])))
    expect_copy(pair, expect, deadline, undo)


def expect_copy(pair: Pair, expect: Expect, deadline: Deadline, undo: Undo) -> None:
    """A file that the administrator leaves on dc2 comes to dc in time, with its rights, and goes again."""
    who, word = person(pair.bench, "commerciale").login, pair.probe.nonce("contenu de SYSVOL")
    path = f"netlogon/controle-{pair.probe.nonce('fichier de SYSVOL')}.txt"
    undo("fichier d'essai dans NETLOGON", lambda: forget(pair, path))
    told = pair.files(NEW, [[ADMINISTRATOR, "write", path, word]])[0]
    expect.require(expect.equal("dépôt d'un fichier dans NETLOGON de dc2 par l'administrateur", "accordée", act(told)))

    def seen(wanted: str) -> str:
        return converge(deadline.sooner(COPY_SECONDS + MARGIN_SECONDS), lambda: _content(pair, who, path),
                        lambda found: found == wanted, interval=4.0)  # fmt: skip

    expect.require(expect.equal("ce fichier sur dc, lu par une personne de l'agence", word, seen(word)))
    written = pair.files(OLD, [[who, "write", path, "essai"]])[0]
    expect.equal("changé là par une personne de l'agence", "refusée", act(written))
    told = pair.files(NEW, [[ADMINISTRATOR, "delete", path, ""]])[0]
    expect.require(expect.equal("suppression de ce fichier de dc2 par l'administrateur", "accordée", act(told)))
    expect.equal("ce fichier sur dc", ABSENT, seen(ABSENT))


def forget(pair: Pair, path: str) -> None:
    """Take the grader's file away from both, the source first. Raises ProbeError when one may still hold it."""
    for name in (NEW, OLD):
        told = pair.files(name, [[ADMINISTRATOR, "delete", path, ""]])[0]
        if told["state"] not in {"granted", "ENOENT"}:
            raise ProbeError(f"{path} could not be deleted on {name}: {told['state']} {told['text']}")


def paths(lines: set[str]) -> set[str]:
    """Paths of a `tree` of smb.use, without the sums.

    >>> paths({"1a2b scripts/a b.cmd"})
    {'scripts/a b.cmd'}
    """
    return {line.partition(" ")[2] for line in lines}


def _content(pair: Pair, who: str, path: str) -> str:
    told = pair.files(OLD, [[who, "read", path, ""]])[0]
    return told["text"] if told["state"] == "granted" else ABSENT if told["state"] == "ENOENT" else act(told)
