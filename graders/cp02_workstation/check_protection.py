"""CP02-S1: the workstation's antivirus, what it stops and how fresh its signatures are; CP02-C1: after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders import samples
from graders.check import check
from graders.cp02_workstation.remote import ask
from graders.expect import show
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graders.expect import Expect
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from graders.samples import Sample
    from labs.bench import Bench
    from labs.deadline import Deadline

PLACE, QUARANTINE = "/srv/echanges", "/var/quarantaine"
STOP_SECONDS, PUBLISH_SECONDS = 120, 300
"""What the subject gives: to stop a file, and to stop one whose signature was just published."""
GRACE = 60
"""Seconds beyond, for machines that are emulated."""
BIGGEST = 4096
"""Bytes of a sample that goes through the errand."""


@check("CP02-S1.c", nodes=("ws",), seconds=600)
def check_antivirus(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """L'antivirus de ws arrête les fichiers dangereux déposés dans les échanges, et ceux-là seulement.

    Dans un sous-dossier inédit de /srv/echanges, le contrôle dépose le fichier EICAR et l'échantillon de l'agence, nus
    ou dans une archive, et des fichiers sains de même taille : dans le délai, les premiers ont disparu ou ne se lisent
    plus, les autres sont intacts.
    """
    judge(told(bench, probe, login, deadline), sample_files(bench, probe, "dépôt"), expect)


@check("CP02-S1.e", causes=("CP02-S1.c",), nodes=("ws",), seconds=600)
def check_signatures(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """L'antivirus de ws prend les signatures que le miroir publie.

    Pendant le contrôle, le miroir ajoute à sa base la signature d'un échantillon inédit ; un fichier qui le contient,
    déposé dans les échanges, doit être arrêté dans le délai. Les fichiers sains déposés avec lui restent intacts.
    """
    answer = told(bench, probe, login, deadline)
    expect.require(expect.equal(PLACE, "présent", "présent" if answer["place"] else "absent"))
    harmless = {one.name for one in sample_files(bench, probe, "dépôt") if not one.dangerous}
    kept = "intacts" if harmless <= set(answer["same"]) else "modifiés ou retirés"
    expect.require(expect.equal("témoins : fichiers sains", "intacts", kept))
    limit = f"arrêté en {PUBLISH_SECONDS} s au plus"
    moment = answer["fresh"]
    observed = "pas arrêté" if moment is None else f"arrêté au bout de {moment:.0f} s"
    expect.true("échantillon dont la signature vient de paraître", limit, observed, moment is not None)


@check("CP02-C1.a", needs=("CP02-S1.c",), nodes=("ws",), phase="reboot", seconds=480)
def check_after_reboot(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Après un redémarrage, l'antivirus de ws arrête encore les fichiers dangereux, et ceux-là seulement.

    Le même dépôt, dans un autre sous-dossier, sans que personne ait ouvert de session.
    """
    word = probe.nonce("dépôt après redémarrage")
    files = sample_files(bench, probe, "dépôt après redémarrage")
    judge(ask(login, "remote_drop", request(word, files), deadline), files, expect)


def sample_files(bench: Bench, probe: ProbeClient, purpose: str) -> list[Sample]:
    """Dangerous files and harmless twins, small enough to be carried by an errand."""
    return [one for one in samples.files(bench, probe.nonce(purpose)) if len(one.content) <= BIGGEST]


def told(bench: Bench, probe: ProbeClient, login: Login, deadline: Deadline) -> dict[str, Any]:
    """What became of the files; the sample whose signature is new is among them."""
    # Nothing in it that another sample holds, and another one each time: what was published before is known since.
    word, marker = probe.nonce("dépôt"), probe.nonce(f"signature {login.round}")
    files = sample_files(bench, probe, "dépôt")
    wanted = request(word, files, fresh=f"{word}\n{marker}\n".encode())
    line = f"Essai.{word}:0:*:{marker.encode().hex()}"
    # It ends by itself, with the trial or soon after.
    seconds = PUBLISH_SECONDS + STOP_SECONDS + 2 * GRACE
    if not probe.call("mirror.offer", signature=line, seconds=seconds, reuse=True):
        raise ProbeError("the centre's mirror does not obey: restart plateau-centre on the probe")
    return ask(login, "remote_drop", wanted, deadline)


def request(word: str, files: Sequence[Sample], fresh: bytes = b"") -> dict[str, Any]:
    """What remote_drop is asked for."""
    return {
        "place": PLACE,
        "quarantine": QUARANTINE,
        "word": word,
        "files": {one.name: one.base64 for one in files},
        "dangerous": [one.name for one in files if one.dangerous],
        "limit": STOP_SECONDS + GRACE,
        "fresh": samples.encoded(fresh),
        "fresh_limit": PUBLISH_SECONDS + GRACE,
    }


def judge(answer: dict[str, Any], files: Sequence[Sample], expect: Expect) -> None:
    """Compare what became of each file."""
    expect.require(expect.equal(PLACE, "présent", "présent" if answer["place"] else "absent"))
    limit = f"arrêté en {STOP_SECONDS} s au plus"
    for one in files:
        if one.dangerous:
            moment = answer["stopped"].get(one.name)
            observed = "encore lisible" if moment is None else f"arrêté au bout de {moment:.0f} s"
            expect.true(one.label, limit, observed, moment is not None)
        else:
            same = one.name in answer["same"]
            expect.true(one.label, "intact", "intact" if same else "modifié ou retiré", same)
    if answer["left"]:
        raise ProbeError(f"left in the quarantine of ws: {show(answer['left'])}")
