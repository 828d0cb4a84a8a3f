"""CP06-S6: use network monitoring: a server that polls what it must and tells people of outages."""

from __future__ import annotations

from typing import Any

from graders.check import check
from graders.expect import Expect, show
from graders.probe_client import ProbeClient
from graders.probes.monitoring import about, mentions, single, unrecovered
from graders.vantage import number, text
from labs.bench import Bench

POLL_GRACE, ALERT_GRACE = 20.0, 60.0
"""Seconds beyond the subject's delays that an emulated machine gets."""
SERVICES = (
    ("imprimante", "lan", "lan_imprimante", "port_imprimante"),
    ("borne", "lan", "lan_borne", ""),
    ("camera", "serveurs", "serveurs6_camera", "port_camera"),
    ("nas", "serveurs", "serveurs_nas", "port_nas"),
    ("boutique", "wan", "siege_boutique", ""),
)
"""Names of values: equipment, leg, address, port (80 where there is none)."""
OUTAGES = {"borne": "off", "camera": "stopped", "nas": "off", "boutique": "slow"}
"""Of the access point and the NAS, the one that is drawn gives a page in error instead."""
SPARED = "imprimante"
"""Nothing happens to it before the restart: nobody may be told that something did."""
WHAT = {"error": "page en erreur", "stopped": "service arrêté", "off": "équipement éteint", "slow": "page trop lente"}
CALL_SECONDS, SECONDS = 520.0, 560.0


def _start(bench: Bench, probe: ProbeClient) -> None:
    probe.prefetch("monitoring.trial", timeout=CALL_SECONDS, **_trial(bench))


@check("CP06-S6.c", causes=("CP07-S1.c",), nodes=("rtr", "mon"), early=_start, seconds=SECONDS)
def check_polls(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """mon interroge chaque équipement de la liste à la fréquence prévue.

    La sonde, qui joue les équipements, relève les connexions venues de mon sur le port de chaque service ; vingt
    secondes de tolérance.
    """
    asked = _trial(bench)
    told = probe.call("monitoring.trial", timeout=CALL_SECONDS, reuse=True, **asked)
    allowed = number(bench, "periode") + POLL_GRACE
    for name, times in told["polls"].items():
        longest = max(later - sooner for sooner, later in zip([0.0, *times], [*times, asked["watch"]], strict=True))
        label = f"{name} : plus longue attente entre deux interrogations, en secondes ({len(times)} relevées)"
        expect.true(label, f"au plus {show(allowed)}", show(round(longest)), longest <= allowed)


@check("CP06-S6.d", causes=("CP06-S6.c", "CP07-S1.c"), nodes=("rtr", "mon"), seconds=SECONDS)
def check_alerts(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Une panne est signalée à l'astreinte dans le délai, son équipement nommé, et son retour aussi.

    La sonde arrête un service, éteint un équipement, met une page en erreur et une autre en retard, lit les messages
    que reçoit le serveur de messagerie du siège, puis rétablit tout. L'équipement qui va bien n'est pas mis en cause.
    Un message qui nomme plusieurs équipements n'est l'alerte d'aucun. Une minute de tolérance sur les délais.
    """
    asked = _trial(bench)
    told = probe.call("monitoring.trial", timeout=CALL_SECONDS, reuse=True, **asked)
    for row in judge(asked, told, text(bench, SPARED)):
        expect.true(*row)


@check("CP06-S6.e", needs=("CP06-S6.d",), nodes=("rtr", "mon"), phase="reboot", seconds=SECONDS)
def check_alerts_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """La supervision alerte encore après un redémarrage.

    Une fois les machines redémarrées, la sonde arrête le service de l'imprimante, qui n'a pas encore été en panne,
    attend le message, puis le rétablit.
    """
    # A tool may tell nothing of what keeps changing (flap detection): this one has not changed yet.
    asked = _trial(bench, {SPARED: "stopped"}, watch=45.0)
    told = probe.call("monitoring.trial", timeout=CALL_SECONDS, **asked)
    for row in judge(asked, told, ""):
        expect.true(*row)


def judge(asked: dict[str, Any], told: dict[str, Any], spared: str) -> list[tuple[str, str, str, bool]]:
    """Label, expected, observed and verdict: alerts, then messages of the end, then who was accused for nothing."""
    recipient, stopped, restarted = asked["recipient"], told["stopped"], told["restarted"]
    everybody = [service["id"] for service in asked["services"]]
    mails = single(told["mails"], everybody)
    wanted = f"un message en {show(asked['limit'])} s au plus"
    end = float("inf") if restarted is None else restarted
    rows = []
    for name, state in asked["outages"].items():
        found = about(mails, name, recipient, stopped, end)
        observed = f"après {show(round(found[0]['at'] - stopped))} s" if found else _instead(asked, told, name)
        rows.append((f"{name}, {WHAT[state]} : alerte à {recipient}", wanted, observed, bool(found)))
    if restarted is not None:
        left = unrecovered(mails, list(asked["outages"]), recipient, stopped, restarted)
        for name in asked["outages"]:
            observed = "aucun message de lui seul et d'un autre objet que l'alerte" if name in left else "reçu"
            rows.append((f"{name}, rétabli : message à {recipient}", wanted, observed, name not in left))
    if spared:
        accused = [one["subject"] for one in told["mails"] if one["at"] >= stopped and mentions(one, spared)]
        observed = show(accused) if accused else "aucun"
        rows.append((f"messages qui mettent en cause {spared}, qui va bien", "aucun", observed, not accused))
    return rows


def _instead(asked: dict[str, Any], told: dict[str, Any], name: str) -> str:
    """What came instead of the alert."""
    found = [one for one in told["mails"] if one["at"] >= told["stopped"] and mentions(one, name)]
    for one in found:
        named = [service["id"] for service in asked["services"] if mentions(one, service["id"])]
        if asked["recipient"] in one["to"] and len(named) > 1:
            return f"message qui nomme {show(named)}"
    others = sorted({to for one in found for to in one["to"]})
    return f"message à {show(others)}" if others else "aucun message"


def _trial(bench: Bench, outages: dict[str, str] | None = None, watch: float = 105.0) -> dict[str, Any]:
    """Parameters of monitoring.trial; more than twice the longest wait is watched, so that a rarer poll shows."""
    inside = [text(bench, "serveurs_mon"), text(bench, "serveurs6_mon")]
    made = outages or {**OUTAGES, text(bench, "page_en_erreur"): "error"}
    services = [
        {
            "id": text(bench, name),
            "leg": leg,
            "address": text(bench, address),
            "port": number(bench, port) if port else 80,
            "sources": [text(bench, "wan_rtr")] if leg == "wan" else inside,
        }
        for name, leg, address, port in SERVICES
    ]
    return {
        "services": services,
        "outages": {text(bench, name): state for name, state in made.items()},
        "recipient": text(bench, "astreinte"),
        "mail": {"leg": "wan", "address": text(bench, "siege_mail")},
        "watch": watch,
        "limit": number(bench, "delai_alerte") + ALERT_GRACE,
    }
