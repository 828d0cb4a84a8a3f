"""CP07-S5: the antivirus of the Web proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders import internet, samples
from graders.check import check
from graders.cp07_protection import web
from graders.expect import Expect

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench


@check("CP07-S5.b", causes=("CP07-S5.a",), nodes=("rtr", "srv"), seconds=240)
def check_web_antivirus(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le mandataire arrête les fichiers dangereux, quel que soit leur nom, et laisse passer les autres.

    Un site d'Internet offre, sous des noms tirés au hasard, le fichier EICAR et l'échantillon de l'agence, nus, dans un
    fichier plus gros ou dans une archive, et des fichiers sains de même taille : ceux-ci arrivent inchangés, les
    premiers n'arrivent pas.
    """
    internet.require(bench, probe)
    word = probe.nonce("antivirus")
    files = samples.files(bench, word)
    asks = [
        {
            "id": one.label,
            "url": f"http://{word}.example/{word}/{one.name}",
            **({"marker": samples.encoded(one.marker)} if one.dangerous else {}),
            **web.account(bench),
        }
        for one in files
    ]
    answers = web.fetch(bench, probe, asks, files={f"{word}/{one.name}": one.base64 for one in files})
    for one in files:
        answer = answers[one.label]
        if one.dangerous:
            came = answer["marked"] or answer["sha256"] == one.sha256
            observed = "reçu" if came else f"arrêté (code {answer['status']})"
            expect.true(one.label, "arrêté", observed, not came)
        else:
            same = answer["sha256"] == one.sha256
            observed = "reçu inchangé" if same else f"{answer['size']} octets, code {answer['status']}"
            expect.true(one.label, "reçu inchangé", observed, same)
