"""CP06-S6: use network monitoring (SNMP)."""

from __future__ import annotations

from typing import Any

from graders.check import check
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

WRITTEN = "plateau-ecriture"
NEAR = "serveurs"
AT_ONCE, PATIENCE = 6, 30.0
TRIALS = 3
"""A lost datagram is not an agent that has fallen silent."""
READ = "lecture en SNMPv3 par « supervision », avec chiffrement"


def _start(bench: Bench, probe: ProbeClient) -> None:
    for _, asked in _reads(bench):
        probe.prefetch("snmp.get", NEAR, timeout=PATIENCE, **asked)


@check("CP06-S6.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), seconds=120)
def check_snmp(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr et srv se laissent superviser en SNMPv3, et de cette seule façon.

    Depuis le réseau des serveurs, l'utilisateur demandé lit (authentification et chiffrement) ; il n'écrit pas, ne lit
    pas sans chiffrement, et la communauté « public » n'obtient rien. Depuis le LAN et depuis Internet, rien ne répond.
    """
    _start(bench, probe)
    names = {}
    for node, asked in _reads(bench):
        told = probe.call("snmp.get", NEAR, timeout=PATIENCE, **asked)
        names[node] = told["value"]
        observed = "accordée" if told["ok"] else f"refusée ({told['reason'] or 'pas de réponse'})"
        expect.true(f"{node} : {READ}", "accordée", observed, told["ok"])
    # Several at once: a refusal is a silence, and each costs its whole time.
    questions = _refused(bench, names)
    for start in range(0, len(questions), AT_ONCE):
        some = questions[start : start + AT_ONCE]
        for _, leg, asked in some:
            probe.prefetch("snmp.get", leg, timeout=PATIENCE, **asked)
        for label, leg, asked in some:
            told = probe.call("snmp.get", leg, timeout=PATIENCE, **asked)
            expect.equal(label, "refusée", "accordée" if told["ok"] else "refusée")
    # The silences above are refusals only if the agents could be heard meanwhile.
    if all(names.values()):
        heard = {node: _still_heard(probe, asked) for node, asked in _reads(bench)}
        if not any(heard.values()):
            raise ProbeError("snmp.get: the agents answered before the refusals and not after them")
        for node, yes in heard.items():
            expect.true(f"{node} : répond encore après les refus", "oui", "oui" if yes else "non", yes)


@check("CP06-S6.b", needs=("CP06-S6.a",), nodes=("rtr", "srv"), phase="reboot", seconds=120)
def check_snmp_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """rtr et srv se laissent encore superviser après un redémarrage.

    Depuis le réseau des serveurs, l'utilisateur demandé lit les deux machines.
    """
    reads = _reads(bench)
    told = converge(
        patience,
        lambda: {node: probe.call("snmp.get", NEAR, timeout=PATIENCE, **asked) for node, asked in reads},
        lambda told: all(one["ok"] for one in told.values()),
    )
    for node, one in told.items():
        observed = "accordée" if one["ok"] else f"refusée ({one['reason'] or 'pas de réponse'})"
        expect.true(f"{node} : {READ}", "accordée", observed, one["ok"])


def _still_heard(probe: ProbeClient, asked: dict[str, Any]) -> bool:
    return any(probe.call("snmp.get", NEAR, timeout=PATIENCE, **asked)["ok"] for _ in range(TRIALS))


def _reads(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    """Machine and parameters of what must be granted."""
    near = {"srv": text(bench, "serveurs_srv"), "rtr": text(bench, "serveurs_passerelle")}
    return [(node, {"address": address, "patience": 4.0, **_user(bench)}) for node, address in near.items()]


def _refused(bench: Bench, names: dict[str, str]) -> list[tuple[str, str, dict[str, Any]]]:
    """Label, leg and parameters of what must not be granted.

    What is written is the name it has already: an agent that lets itself be written is seen, and nothing changes.
    Contact and place would prove nothing: net-snmp refuses to write what its configuration says.
    """
    user = _user(bench)
    found = []
    for node, asked in _reads(bench):
        ways: dict[str, dict[str, Any]] = {
            "écriture par le même utilisateur": {**user, "write": names[node] or WRITTEN},
            "lecture sans chiffrement": {**user, "level": "authNoPriv"},
            "lecture avec un mauvais mot de passe": {**user, "auth": WRITTEN, "priv": WRITTEN},
            "communauté « public »": {"community": "public"},
            "communauté « private »": {"community": "private"},
        }
        found += [(f"{node} : {label}", NEAR, {"address": asked["address"], **way}) for label, way in ways.items()]
    far = [("srv", "le LAN", "lan", "serveurs_srv"), ("rtr", "Internet", "wan", "wan_rtr")]
    # A router answers at any of its addresses, from any of its networks.
    far += [("rtr", "le LAN", "lan", address) for address in ("lan_passerelle", "serveurs_passerelle", "wan_rtr")]
    return found + [(f"{node}, à {text(bench, address)} : lecture depuis {where}", leg,
                     {"address": text(bench, address), **user}) for node, where, leg, address in far]  # fmt: skip


def _user(bench: Bench) -> dict[str, Any]:
    return {"user": "supervision", "auth": text(bench, "snmp_auth"), "priv": text(bench, "snmp_chiffrement")}
