"""CP07-D1: measures against intrusion: those who guess passwords are banned for a while, and somebody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders.check import check
from graders.cp07_protection import post
from graders.expect import Expect
from graders.vantage import number, text
from labs.variants import render

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench

FIRST, LAST = 220, 249
"""The last numbers of the throw-away addresses."""
BAN_SECONDS, EARLY, LATE = 45.0, 10.0, 20.0
"""How soon the ban must be there after the last bad password (the subject says 20: a busy machine is late); how much
sooner or later than asked it may end."""
PAUSE = 90.0
"""Seconds before the intruder's last password: within the subject's five minutes, who goes slowly is banned too."""
ALERT_SECONDS, ALERT_GRACE = 60.0, 30.0
"""How long after the ban its message may come (the subject says a minute); what a busy machine gets beyond that."""
TRIES = 5
"""Attempts after a restart, each half a minute at least: what bans may start minutes after SSH on a busy machine."""
LASTING = 25.0
"""Seconds that a ban is watched after a restart: longer than sshd's own penalties."""


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("intrusion.trial", timeout=_limit(bench), **_trial(bench))


@check("CP07-D1.a", nodes=("srv",), early=_start, seconds=600)
def check_ban(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Qui se trompe trop souvent de mot de passe SSH est banni, lui seul, et pour la durée demandée.

    Depuis une adresse de passage du LAN, la sonde fait refuser par srv le nombre de mots de passe fixé, le dernier une
    minute et demie après les autres : SSH ne lui répond plus, avant la fin du temps demandé il ne répond toujours pas,
    après il répond de nouveau. Une autre adresse, qui a un échec de moins, et celle de la sonde obtiennent toujours une
    réponse.
    """
    seen = probe.call("intrusion.trial", timeout=_limit(bench), reuse=True, **_trial(bench))
    wanted, length = number(bench, "echecs_ssh"), number(bench, "ban_secondes")
    expect.require(expect.equal("SSH de srv répond au LAN avant l'essai", True, seen["clean"]))
    expect.equal("mots de passe refusés à la première adresse", wanted - 1, seen["below"]["refused"])
    answers = seen["below"]["banned"] is None and seen["others"]["below"]
    expect.equal(f"adresse qui a {wanted - 1} échecs", "a une réponse", _answered(answers))
    expect.equal("mots de passe refusés à l'intrus", wanted, seen["intruder"]["refused"])
    banned = seen["intruder"]["banned"]
    label = f"adresse qui a {wanted} échecs, en {BAN_SECONDS:g} s"
    expect.require(expect.equal(label, "bannie", "bannie" if banned is not None else "a une réponse"))
    expect.equal("autre adresse du LAN pendant le bannissement", "a une réponse", _answered(seen["others"]["leg"]))
    # It began between the last failure and the first silence: what is late in between is not held against anybody.
    released = seen["released"]
    least = None if released is None else round(released - banned, 1)
    label = "durée du bannissement, en secondes"
    wanted_span = f"{length} (de {length - EARLY:g} à {length + LATE:g})"
    observed = "toujours banni" if released is None else f"de {least:g} à {released:g}"
    ok = released is not None and least is not None and released >= length - EARLY and least <= length + LATE
    expect.true(label, wanted_span, observed, ok)


@check("CP07-D1.b", causes=("CP07-D1.a",), nodes=("srv",), seconds=600)
def check_alert(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Chaque bannissement est annoncé par un courriel au destinataire des alertes.

    Un message qui nomme l'adresse bannie arrive à la messagerie du siège, pour le destinataire demandé, dans la minute
    (une demi-minute de tolérance) ; aucun n'annonce l'adresse qui n'a pas été bannie.
    """
    post.require(bench, probe)
    seen = probe.call("intrusion.trial", timeout=_limit(bench), reuse=True, **_trial(bench))
    intruder, other = seen["intruder"]["address"], seen["below"]["address"]
    told = probe.call("mail.received", timeout=ALERT_SECONDS + 10, words=[intruder], others=[other],
                      window=ALERT_SECONDS, since=seen["began"])  # fmt: skip
    label = f"message à {text(bench, 'adresse_alertes')} avec l'adresse bannie ({intruder})"
    found, ban = _for_us(bench, told[intruder]), seen["intruder"]["since"]
    late = round(min(one["at"] for one in found) - ban) if found and ban is not None else 0
    limit = ALERT_SECONDS + ALERT_GRACE
    observed = "aucun" if not found else f"{late} s après le bannissement" if late > limit else "à temps"
    expect.true(label, f"un au moins, en {limit:g} s", observed, bool(found) and late <= limit)
    # One that quotes the log of the ban names the others who failed shortly before.
    announced = [one for one in told[other] if one not in told[intruder]]
    label = f"message qui n'annonce qu'une adresse non bannie ({other})"
    expect.equal(label, "aucun", "un" if _for_us(bench, announced) else "aucun")


@check("CP07-D1.c", needs=("CP07-D1.a",), nodes=("srv",), phase="reboot", seconds=600)
def check_ban_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le bannissement fonctionne encore après un redémarrage.

    Une adresse de passage est bannie au bout du même nombre d'échecs ; celle de la sonde garde sa réponse.
    """
    wanted, held = number(bench, "echecs_ssh"), False
    for _ in range(TRIES):
        seen = probe.call("intrusion.trial", timeout=_limit(bench), **{**_trial(bench), "watch": LASTING, "pause": 0.0})
        held = seen["intruder"]["banned"] is not None and seen["released"] is None
        if held:
            break
    label = f"adresse qui a {wanted} échecs, {LASTING:g} s durant"
    expect.equal(label, "bannie", "bannie" if held else "a une réponse")
    expect.equal("autre adresse du LAN pendant le bannissement", "a une réponse", _answered(seen["others"]["leg"]))


def _trial(bench: Bench) -> dict[str, Any]:
    """The parameters of intrusion.trial."""
    network = text(bench, "lan")
    return {
        "origin": "lan",
        "network": network,
        "pool": [render(f"{{{{ lan | host({last}) }}}}", bench.values) for last in range(FIRST, LAST + 1)],
        "address": text(bench, "serveurs_srv"),
        "failures": number(bench, "echecs_ssh"),
        "ban_window": BAN_SECONDS,
        "watch": number(bench, "ban_secondes") + LATE + BAN_SECONDS + 15,
        "pause": PAUSE,
    }


def _limit(bench: Bench) -> float:
    """Seconds for the whole trial: the logins take their time on an emulated machine."""
    return number(bench, "ban_secondes") + 260.0 + PAUSE


def _answered(yes: bool) -> str:
    return "a une réponse" if yes else "sans réponse"


def _for_us(bench: Bench, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of these messages that went to the recipient of the alerts."""
    wanted = text(bench, "adresse_alertes").lower()
    return [one for one in messages if wanted in (name.lower() for name in one["recipients"])]
