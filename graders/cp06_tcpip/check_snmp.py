"""CP06-S6: use network monitoring (SNMP)."""

from __future__ import annotations

from typing import Any

from graders.check import check
from graders.expect import Expect
from graders.probe_client import ProbeClient
from graders.vantage import text
from labs.bench import Bench

WRITTEN = "plateau-ecriture"
READ = "lecture en SNMPv3 par « supervision », avec chiffrement"


def _start(bench: Bench, probe: ProbeClient) -> None:
    """All questions at once: a refusal is a silence, and each costs its whole time."""
    for _, leg, asked in _questions(bench):
        probe.prefetch("snmp.get", leg, **asked)


@check("CP06-S6.a", causes=("CP06-S5.a",), nodes=("rtr", "srv"), seconds=90)
def check_snmp(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """rtr et srv se laissent superviser en SNMPv3, et de cette seule façon.

    Depuis le réseau des serveurs, l'utilisateur demandé lit (authentification et chiffrement) ; il n'écrit pas, ne lit
    pas sans chiffrement, et la communauté « public » n'obtient rien. Depuis le LAN, rien ne répond.
    """
    _start(bench, probe)
    for label, leg, asked in _questions(bench):
        told = probe.call("snmp.get", leg, **asked)
        if label.endswith(READ):
            observed = "accordée" if told["ok"] else f"refusée ({told['reason'] or 'pas de réponse'})"
            expect.true(label, "accordée", observed, told["ok"])
            # The name it has already: an agent that lets itself be written is seen, and nothing changes. Contact and
            # place would prove nothing: net-snmp refuses to write what its configuration says.
            again = probe.call("snmp.get", leg, **asked, write=told["value"] or WRITTEN)
            written = label.replace(READ, "écriture par le même utilisateur")
            expect.equal(written, "refusée", "accordée" if again["ok"] else "refusée")
        else:
            expect.equal(label, "refusée", "accordée" if told["ok"] else "refusée")


def _questions(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    """Label, leg and parameters of every question."""
    user = {"user": "supervision", "auth": text(bench, "snmp_auth"), "priv": text(bench, "snmp_chiffrement")}
    ways: dict[str, dict[str, Any]] = {
        READ: user,
        "lecture sans chiffrement": {**user, "level": "authNoPriv"},
        "lecture avec un mauvais mot de passe": {**user, "auth": WRITTEN, "priv": WRITTEN},
        "communauté « public »": {"community": "public"},
        "communauté « private »": {"community": "private"},
    }
    near = {"srv": text(bench, "serveurs_srv"), "rtr": text(bench, "serveurs_passerelle")}
    far = {"srv": text(bench, "serveurs_srv"), "rtr": text(bench, "lan_passerelle")}
    asked = [(f"{node} : {label}", "serveurs", {"address": address, **way})
             for node, address in near.items() for label, way in ways.items()]  # fmt: skip
    return asked + [(f"{node} : lecture depuis le LAN", "lan", {"address": address, **user})
                    for node, address in far.items()]  # fmt: skip
