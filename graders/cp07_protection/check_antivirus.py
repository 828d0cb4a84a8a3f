"""CP07-S5: the antivirus of the Web proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders import internet, samples
from graders.check import check
from graders.cp07_protection import web
from graders.cp07_protection.outage import SCANNERS, Outage, Undo
from graders.expect import Expect

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from graders.samples import Sample
    from labs.bench import Bench


@check("CP07-S5.b", causes=("CP07-S5.a",), nodes=("rtr", "srv"), seconds=420)
def check_web_antivirus(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, undo: Undo) -> None:
    """Le mandataire arrête les fichiers dangereux, quel que soit leur nom, et laisse passer les autres.

    Un site d'Internet offre, sous des noms tirés au hasard, le fichier EICAR et l'échantillon de l'agence, nus, dans un
    fichier plus gros ou dans une archive, et des fichiers sains de même taille : ceux-ci arrivent inchangés, les
    premiers n'arrivent pas, pas même quand les services de l'antivirus sont arrêtés.
    """
    internet.require(bench, probe)
    word = probe.nonce("antivirus")
    files = samples.files(bench, word)
    answers = _ask(bench, probe, word, files)
    for one in files:
        answer = answers[one.label]
        if one.dangerous:
            came = _came(answer, one)
            observed = "reçu" if came else f"arrêté (code {answer['status']})"
            expect.true(one.label, "arrêté", observed, not came)
        else:
            same = answer["sha256"] == one.sha256
            observed = "reçu inchangé" if same else f"{answer['size']} octets, code {answer['status']}"
            expect.true(one.label, "reçu inchangé", observed, same)
    dangerous = [one for one in files if one.dangerous][:1]
    for outage in [Outage(login, name) for name in SCANNERS]:  # both are looked for while both are at work
        if outage:
            outage.begin(undo)
            # Another name each time: what came before may be in a cache.
            answer = _ask(bench, probe, probe.nonce(f"without {outage.name}"), dangerous)[dangerous[0].label]
            outage.end()
            observed = "reçu" if _came(answer, dangerous[0]) else f"arrêté (code {answer['status']})"
            label = f"{dangerous[0].label}, antivirus en panne ({outage.name} arrêté)"
            expect.true(label, "arrêté", observed, not _came(answer, dangerous[0]))


def _ask(bench: Bench, probe: ProbeClient, word: str, files: list[Sample]) -> dict[str, dict[str, Any]]:
    """Fetch files through the proxy, from a site that has them under `word`."""
    asks = [
        {
            "id": one.label,
            "url": f"http://{word}.example/{word}/{one.name}",
            **({"marker": samples.encoded(one.marker)} if one.dangerous else {}),
            **web.account(bench),
        }
        for one in files
    ]
    return web.fetch(bench, probe, asks, files={f"{word}/{one.name}": one.base64 for one in files})


def _came(answer: dict[str, Any], file: Sample) -> bool:
    return bool(answer["marked"]) or answer["sha256"] == file.sha256
