"""The messages that the mail checks of the lab `protection` hand over from the Internet."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from graders import samples
from graders.probe_client import ProbeError
from graders.vantage import text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from graders.samples import Sample
    from labs.bench import Bench

DATE = "@DATE@"
"""The probe writes the date of the moment there: the same message must be judged again from the same words."""
SENDER = "claire.martin@fournisseur.example"
STRANGER = "victime@ailleurs.example"
DELIVERY_SECONDS, SETTLE_SECONDS = 60.0, 8.0
CLEAN_TWINS = (
    "fichier EICAR",
    "EICAR dans une archive zip",
    "échantillon de l'agence",
    "échantillon dans une archive zip",
)
"""Dangerous files whose harmless twins are sent too: one of each extension, so that nobody refuses by the name."""
HANDING_SECONDS = 300.0
"""For all letters together: a filter may take its time with each."""

ORDINARY = """Bonjour,

La livraison prévue jeudi arrivera à l'agence vendredi matin, avant dix heures.
Merci de prévenir l'accueil. Référence de la commande : {word}

Cordialement,
Claire Martin
"""
UNUSUAL = """BONJOUR !

La réunion de rentrée est avancée : rendez-vous LUNDI à 9 h, salle Verlaine. Prix du repas : 18,50 € par personne,
boissons comprises (offre valable pour les 40 premiers inscrits !!!). Inscription, gratuite et sans engagement :
http://www.fournisseur.example/inscription?ref={word}&n=12

À très bientôt,
Claire
"""


@dataclass(frozen=True)
class Letter:
    """A message and what is looked for of it at the head office."""

    label: str
    word: str
    data: bytes
    body: str
    attachments: tuple[Sample, ...] = ()
    dangerous: bool = False

    def delivered(self, seen: list[dict[str, Any]], recipient: str) -> dict[str, Any] | None:
        """The copy that reached the recipient, among the messages with the letter's word; for a dangerous letter, one
        that still has what is dangerous, whoever of the head office got it."""
        for one in seen:
            if self.dangerous:
                if self._has_danger(one):
                    return one
            elif recipient.lower() in (name.lower() for name in one["recipients"]):
                return one
        return None

    def unchanged(self, copy: dict[str, Any]) -> bool:
        """Whether text and attachments are those that were sent."""
        same = str(copy["text"]).split() == self.body.split()
        return same and sorted(copy["attachments"]) == sorted(one.sha256 for one in self.attachments)

    def _has_danger(self, copy: dict[str, Any]) -> bool:
        if self.attachments:
            return any(one.sha256 in copy["attachments"] for one in self.attachments)
        return samples.GTUBE in str(copy["text"])


@dataclass(frozen=True)
class Trial:
    """All letters of a grading, in the order in which they are handed over, and the probe's answers."""

    letters: tuple[Letter, ...]
    handed: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def recipient(bench: Bench) -> str:
    return f"accueil@{text(bench, 'domaine')}"


def letters(bench: Bench, probe: ProbeClient, occasion: str = "") -> list[Letter]:
    """Ordinary ones first and last: the last one shows that what did not come before it was stopped.

    Those of another occasion have other words: what arrived before the restart is not taken for what comes after it.
    """
    by_label = {one.label: one for one in samples.files(bench, probe.nonce("mail samples"))}

    def letter(label: str, template: str, subject: str, *joined: str, dangerous: bool = False) -> Letter:
        word = probe.nonce(f"mail {occasion} {label}")
        body = template.format(word=word)
        attachments = tuple(by_label[name] for name in joined)
        return Letter(label, word, _compose(bench, word, subject, body, attachments), body, attachments, dangerous)

    spam = f"Bonjour,\n\n{samples.GTUBE}\n\n{{word}}\n"
    clean = tuple(f"fichier sain de même taille ({name})" for name in CLEAN_TWINS)
    return [
        letter("message ordinaire", ORDINARY, "Livraison de jeudi"),
        letter("message avec des pièces jointes saines", ORDINARY, "Bon de livraison", *clean),
        letter("message inhabituel mais légitime", UNUSUAL, "RÉUNION DE RENTRÉE : INSCRIVEZ-VOUS !"),
        letter("pièce jointe EICAR", ORDINARY, "Facture", "fichier EICAR", dangerous=True),
        letter("échantillon de l'agence en pièce jointe", ORDINARY, "Devis", "échantillon de l'agence", dangerous=True),
        letter("EICAR dans une archive jointe", ORDINARY, "Photos", "EICAR dans une archive zip", dangerous=True),
        letter("pourriel (GTUBE)", spam, "Votre commande", dangerous=True),
        letter("message ordinaire, en dernier", ORDINARY, "Livraison de vendredi"),
    ]


def require(bench: Bench, probe: ProbeClient) -> None:
    """Hand the head office's server a message from beside it. Raises ProbeError when it does not take it."""
    address, word = text(bench, "messagerie"), probe.nonce("head office's mail")
    message = {"id": "témoin", "sender": SENDER, "recipient": recipient(bench),
               "data": note(word, SENDER, recipient(bench))}  # fmt: skip
    told = probe.call("mail.send", "serveurs", reuse=True, address=address, port=25, messages=[message], window=10.0)
    seen = probe.call("mail.received", reuse=True, words=[word], window=10.0)
    if told["témoin"]["state"] != "accepted" or not seen[word]:
        raise ProbeError(
            f"the probe's own mail server {address} takes nothing: restart plateau-messagerie on the probe"
        )


def hand_over(bench: Bench, probe: ProbeClient, chosen: list[Letter]) -> Trial:
    """Hand letters over from the Internet and see which reach the head office; the same letters are sent once.

    Raises ProbeError when the head office's server, which is the probe's, takes no mail.
    """
    require(bench, probe)
    messages = [
        {"id": one.label, "sender": SENDER, "recipient": recipient(bench), "data": base64.b64encode(one.data).decode()}
        for one in chosen
    ]
    handed = probe.call(
        "mail.send", "wan", timeout=HANDING_SECONDS, reuse=True, address=text(bench, "wan_rtr"), port=25,
        source=text(bench, "internet_web"), messages=messages,
    )  # fmt: skip
    awaited = [one.word for one in chosen if not one.dangerous and handed[one.label]["state"] == "accepted"]
    others = [one.word for one in chosen if one.word not in awaited]
    seen = probe.call(
        "mail.received", timeout=DELIVERY_SECONDS + SETTLE_SECONDS + 10, reuse=True, words=awaited, others=others,
        window=DELIVERY_SECONDS if awaited else 0.0, settle=SETTLE_SECONDS if others and awaited else 0.0,
    )  # fmt: skip
    return Trial(tuple(chosen), handed, seen)


def note(word: str, sender: str, to: str) -> str:
    """A short message, as the probe takes it."""
    head = f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: essai {word}\r\nDate: {DATE}\r\n"
    return base64.b64encode(f"{head}Message-ID: <{word}@fournisseur.example>\r\n\r\nBonjour.\r\n".encode()).decode()


def _compose(bench: Bench, word: str, subject: str, body: str, attachments: tuple[Sample, ...]) -> bytes:
    """A message as a person's mail program writes it, the same bytes for the same words."""
    message = EmailMessage()
    message["From"] = f"Claire Martin <{SENDER}>"
    message["To"] = f"Accueil <{recipient(bench)}>"
    message["Subject"] = subject
    message["Date"] = "Mon, 05 Jan 2026 09:00:00 +0100"
    message["Message-ID"] = f"<{word}@fournisseur.example>"
    message.set_content(body)
    for one in attachments:
        message.add_attachment(one.content, maintype="application", subtype="octet-stream", filename=one.name)
    if attachments:
        message.set_boundary(f"=_{word}")
    raw = message.as_bytes().replace(b"Mon, 05 Jan 2026 09:00:00 +0100", DATE.encode())
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
