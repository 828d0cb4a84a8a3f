"""CP02-S1: the workstation's office suite, by what it makes of a document."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from graders import pdftext, programs
from graders.check import check
from graders.cp02_workstation.remote import ask
from graders.opendocument import Page, document
from graders.pdftext import bare
from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graders.expect import Expect
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline

PROGRAM = "/usr/local/bin/en-pdf"
ACCOUNTS = ("games", "news", "lp", "man", "irc", "nobody")
"""Accounts of a Debian that nobody uses; the first that is there converts."""
LARGEST = 150_000
"""Bytes of a PDF of two pages, in the subject; what a machine answers may have 256 KiB in all."""
SECONDS = 360.0
"""Twice what the subject gives to a conversion."""


@check("CP02-S1.b", nodes=("ws",), seconds=900)
def check_office(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """La suite bureautique de ws convertit un document en PDF, sans écran, pour un compte ordinaire.

    Un document OpenDocument inédit, dont le nom a des espaces et des accents, est confié à en-pdf par un compte que
    personne n'utilise : ses textes et son tableau se retrouvent dans le PDF, page par page. Un document absent est une
    erreur.
    """
    name, pages = named(probe)
    told = ask(login, "remote_office", request(name, pages, absent(probe)), deadline)
    if told["left"]:
        raise ProbeError("the folder of the conversion could not be taken away on ws")
    runs = told["runs"]
    programs.unhurried(runs)
    expect.require(expect.equal(PROGRAM, "mené à son terme", ended(runs)))
    given, missing = runs
    judge(name, pages, given, expect)
    expect.true("code de retour pour un document absent", "non nul", str(missing["status"]), missing["status"] != 0)
    expect.equal("PDF d'un document absent", "aucun", "aucun" if missing["size"] is None else "écrit")


def judge(name: str, pages: list[Page], run: Mapping[str, Any], expect: Expect) -> None:
    """Compare what became of a document."""
    expect.equal(f"code de retour pour « {name} »", 0, run["status"])
    expect.equal(f"« {name} »", "tel quel", "tel quel" if run["same"] else "modifié")
    expect.require(expect.equal(f"PDF de « {name} »", "écrit", "écrit" if run["size"] else "aucun"))
    expect.require(expect.within(f"octets du PDF de « {name} »", 1, LARGEST, run["size"]))
    expect.require(expect.equal("PDF, pour le compte", "lisible", "lisible" if run["pdf"] else "fermé"))
    try:
        found = pdftext.pages(base64.b64decode(run["pdf"]))
    except pdftext.PdfError as problem:
        expect.true(f"PDF de « {name} »", "lisible", f"illisible ({problem})", False)
        return
    if expect.equal(f"pages du PDF de « {name} »", len(pages), len(found)):
        for number, (page, text) in enumerate(zip(pages, found, strict=True), start=1):
            lost = [one for one in page.texts if bare(one) not in text]
            expect.all_of(f"textes de « {name} », page {number}", "tous", lost, len(page.texts))


def ended(runs: list[dict[str, Any]]) -> str:
    """Whether the program came to its end each time; why it did not."""
    return next((str(one["err"]) for one in runs if one["status"] is None), "mené à son terme")


def named(probe: ProbeClient) -> tuple[str, list[Page]]:
    """The name of a document that nobody knows, and what is on its pages."""
    words = [probe.nonce(f"document {number}") for number in range(7)]
    return f"Compte rendu d'été v2.1 {words[0]}.odt", [
        Page(f"Réunion {words[1]}", (f"naïveté{words[2]}", f"œuvre{words[3]}"),
             (("Poste", "Reçu"), (words[4], f"à{words[5]}"))),
        Page(f"Décisions & suites {words[6]}", ("coïncidence", "affichée < officielle")),
    ]  # fmt: skip


def absent(probe: ProbeClient) -> str:
    """The name of a document that is not there."""
    return f"absent {probe.nonce('document absent')}.odt"


def request(name: str, pages: list[Page], missing: str) -> dict[str, Any]:
    """What remote_office is asked for."""
    content = base64.b64encode(document(pages)).decode()
    return {"program": PROGRAM, "accounts": ACCOUNTS, "documents": {name: content}, "absent": missing,
            "seconds": SECONDS, "largest": LARGEST}  # fmt: skip
