"""CP07-S5: configure, test and repair the protection of Internet access: the mail relay."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from graders.check import check
from graders.cp07_protection import post
from graders.expect import Expect, converge
from graders.vantage import text
from labs.deadline import Deadline

if TYPE_CHECKING:
    from graders.cp07_protection.post import Letter, Trial
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

STARTUP = 330.0
"""Seconds that mail may take to move after a restart: filters read all their rules first, and a server that did not
find its filter tries again after five minutes."""
STATES = {"accepted": "accepté", "refused": "refusé", "unanswered": "sans réponse"}


@check("CP07-S5.c", nodes=("rtr", "srv"), seconds=420)
def check_mail(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le courrier d'Internet parvient inchangé, en moins d'une minute, à la messagerie du siège.

    Un serveur d'Internet remet à l'adresse publique, pour le domaine de l'agence, des messages ordinaires, un message
    avec des pièces jointes saines et un message inhabituel mais légitime ; tous arrivent tels quels.
    """
    trial = post.hand_over(bench, probe, post.letters(bench, probe))
    for letter in trial.letters:
        if not letter.dangerous:
            expect.equal(letter.label, "remis inchangé", _fate(bench, trial, letter))


@check("CP07-S5.f", causes=("CP07-S5.c",), nodes=("rtr", "srv"), seconds=420)
def check_mail_protection(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Les messages porteurs de virus et le pourriel sont refusés ou retenus.

    Des messages avec le fichier EICAR, l'échantillon de l'agence, une archive qui en contient un, ou le texte d'essai
    GTUBE, ne parviennent pas à la messagerie du siège ; un message ordinaire remis après eux y parvient.
    """
    trial = post.hand_over(bench, probe, post.letters(bench, probe))
    last = trial.letters[-1]
    control = _fate(bench, trial, last)
    expect.require(expect.equal(f"témoin : {last.label}", "remis inchangé", control))
    for letter in trial.letters:
        if letter.dangerous:
            fate = _fate(bench, trial, letter)
            expect.true(letter.label, "refusé ou retenu", fate, not fate.startswith("remis"))


@check("CP07-S5.g", causes=("CP07-S5.c",), nodes=("rtr", "srv"), seconds=270)
def check_relay(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le relais n'accepte d'Internet que le courrier du domaine de l'agence.

    Un message d'Internet pour un autre domaine est refusé, quel que soit l'expéditeur annoncé, fût-il de l'agence ; un
    message pour l'agence est accepté.
    """
    word = probe.nonce("relay")
    tries = {
        "pour un autre domaine": (post.SENDER, post.STRANGER),
        "pour un autre domaine, d'un expéditeur qui se dit de l'agence": (post.recipient(bench), post.STRANGER),
        "pour un autre domaine, sans expéditeur": ("", post.STRANGER),
        "pour l'agence": (post.SENDER, post.recipient(bench)),
    }
    messages = [
        {"id": label, "sender": sender, "recipient": to, "data": post.note(word, sender or post.SENDER, to)}
        for label, (sender, to) in tries.items()
    ]
    told = probe.call("mail.send", "wan", timeout=250, address=text(bench, "wan_rtr"), port=25,
                      source=text(bench, "internet_web"), messages=messages)  # fmt: skip
    for label in tries:
        wanted = "accepted" if label == "pour l'agence" else "refused"
        expect.equal(f"message d'Internet {label}", STATES[wanted], STATES[told[label]["state"]])


@check("CP07-S5.i", needs=("CP07-S5.c",), nodes=("rtr", "srv"), phase="reboot", seconds=780)
def check_mail_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, deadline: Deadline) -> None:
    """Le courrier passe, et les virus et le pourriel sont arrêtés, après un redémarrage.

    Un message porteur du fichier EICAR et le texte d'essai GTUBE n'arrivent pas ; un message ordinaire arrive après.
    """
    *others, last = post.letters(bench, probe, "after the restart")
    chosen = [one for one in others if one.dangerous and one.label != "EICAR dans une archive jointe"]
    rounds = itertools.count(1)

    def moves() -> bool:
        first = post.letters(bench, probe, f"after the restart, {next(rounds)}")[0]
        return _fate(bench, post.hand_over(bench, probe, [first]), first) == "remis inchangé"

    # The services start in their own time: an ordinary message first, another one each time until one arrives.
    converge(deadline.sooner(STARTUP), moves, bool, 3.0)
    trial = post.hand_over(bench, probe, [*chosen, last])
    expect.require(expect.equal(f"témoin : {last.label}", "remis inchangé", _fate(bench, trial, last)))
    for letter in chosen:
        fate = _fate(bench, trial, letter)
        expect.true(letter.label, "refusé ou retenu", fate, not fate.startswith("remis"))


def _fate(bench: Bench, trial: Trial, letter: Letter) -> str:
    """What became of a letter, for the candidate."""
    copy = letter.delivered(trial.seen[letter.word], post.recipient(bench))
    if copy is not None:
        return "remis" if letter.dangerous else "remis inchangé" if letter.unchanged(copy) else "remis, mais changé"
    told = trial.handed[letter.label]
    if told["state"] == "accepted":
        return "retenu" if letter.dangerous else f"accepté, pas remis en {post.DELIVERY_SECONDS:g} s"
    return f"{STATES[told['state']]} ({told['stage']} : {told['code'] or told['reason']})"
