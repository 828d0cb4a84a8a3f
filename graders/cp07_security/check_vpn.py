"""CP07-S3: administer secure remote access."""

from __future__ import annotations

import shlex
from typing import Any

from graders.check import check
from graders.cp07_security.identity import flaw
from graders.expect import Expect, converge
from graders.login import Login
from graders.probe_client import ProbeClient
from graders.vantage import number, text
from labs.bench import Bench
from labs.deadline import Deadline

PROFILES = {"wireguard": "/home/candidat/nomade.conf", "openvpn": "/home/candidat/nomade.ovpn"}
DEPARTED = {"wireguard": "/home/candidat/ancien.conf", "openvpn": "/home/candidat/ancien.ovpn"}
"""The profile of somebody whose access was revoked."""
LIMIT = 32768
LAN_PORT, SSH, CLOSED_PORT = 80, 22, 445
DOORS = (("lan_passerelle", 22), ("nomades_rtr", 22), ("internet_web", 80))
"""Services that are not the probe's: rtr's administration, and a web site of the Internet."""
SECRETS = (
    r"^[[:space:]]*PrivateKey[[:space:]]*=[[:space:]]*[A-Za-z0-9+/]{42}"
    r"|^-+BEGIN [A-Z ]*PRIVATE KEY|^-+BEGIN OpenVPN Static key"
)
READABLE = f"""
as_nobody() {{ setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }}
as_nobody find /etc/passwd -readable -exec grep -l root {{}} + >/dev/null || exit 9
set -- -e {shlex.quote(SECRETS)}
for key in $({{ wg show all private-key | cut -f 2
               sed -n 's/^[[:space:]]*PrivateKey[[:space:]]*=//p' {PROFILES["wireguard"]}; }} 2>/dev/null |
             tr -d ' \\t\\r' | grep -xE '[A-Za-z0-9+/]{{43}}=' | sed 's/+/[+]/g'); do
  set -- "$@" -e "$key"
done
as_nobody find /etc /home /opt /srv /usr/local /var /tmp -xdev -type f \\
  -size -64k -readable -exec grep -lsE "$@" {{}} + 2>/dev/null
true
"""
"""Files with a private key that nobody in particular can read.

Not only those whose format says so: what `wg genkey` writes looks like a public key, so the keys in use are looked for.
It first shows that it can find: a machine without the tools has not hidden its keys well.
"""


@check("CP07-S3.a", nodes=("rtr", "ws"), seconds=90)
def check_remote_access(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """Avec le profil remis, un nomade rejoint le LAN depuis Internet, par un tunnel chiffré.

    La sonde prend le profil déposé sur rtr et s'en sert depuis Internet, sur le port prévu : elle obtient l'adresse
    prévue, atteint le poste et une machine du LAN, qui la voit sous cette adresse ; rien de ce qu'elle dit ne passe en
    clair.
    """
    kind, profile = _profile(login, expect)
    seen = _use(bench, probe, kind, profile, reuse=True)
    label = f"tunnel établi avec {PROFILES[kind]}"
    expect.require(expect.true(label, "oui", "oui" if seen["up"] else f"non ({seen['reason']})", seen["up"]))
    expect.equal("adresse du nomade", text(bench, "nomade"), seen["address"])
    expect.equal("serveur du tunnel", f"UDP {number(bench, 'port_nomades')}", seen["server"])
    host = text(bench, "lan_controle")
    for address in (text(bench, "lan_poste"), host):
        answered = seen["pings"][address] > 0
        expect.equal(f"{address} (LAN), ping à travers le tunnel", "répond", "répond" if answered else "ne répond pas")
    for word, port in {"lan": LAN_PORT, "lan ssh": SSH}.items():
        source = seen["words"][word] or "flux non arrivé"
        expect.equal(f"adresse du nomade vue par {host}, TCP {port}", text(bench, "nomade"), source)
    expect.equal("contenu lisible sur Internet", "non", "oui" if seen["clear"] else "non")


@check("CP07-S3.b", needs=("CP07-S3.a",), nodes=("rtr",), seconds=90)
def check_remote_access_limits(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """L'accès distant ne donne que ce qu'il doit, et seulement à qui détient la clé.

    Le nomade n'atteint ni les invités, ni le siège, ni Internet, ni l'administration de rtr, ni un autre service du
    LAN ; le même profil avec une autre clé n'ouvre rien ; aucune clé privée n'est lisible par tout le monde sur rtr.
    """
    kind, profile = _profile(login, expect)
    seen = _use(bench, probe, kind, profile, reuse=True)
    control = seen["words"].get("lan")
    expect.require(expect.true("témoin : le nomade atteint le LAN", "oui", "oui" if control else "non", bool(control)))
    for word in _words(bench):
        if word.get("beyond"):
            expect.equal(word["id"], "refusé", "arrivé" if seen["words"][word["id"]] else "refusé")
    for address in (text(bench, "siege_hote"), text(bench, "invites_controle")):
        answered = seen["pings"][address] > 0
        expect.equal(f"{address}, ping à travers le tunnel", "refusé", "répond" if answered else "refusé")
    for door, opened in seen["doors"].items():
        expect.equal(f"nomade vers {door} (TCP)", "refusé", "passe" if opened else "refusé")
    stranger = _use(bench, probe, kind, profile, stranger=True)
    reached = any(stranger["words"].values()) or any(stranger["pings"].values()) or stranger["up"]
    expect.equal("accès avec une clé inconnue", "refusé", "accepté" if reached else "refusé")
    search = login("rtr").run(READABLE)
    if search.rc != 0:
        raise RuntimeError(
            f"recherche des clés lisibles : {search.stderr.strip()[-200:] or 'setpriv, find ou grep absent'}"
        )
    exposed = [path for path in search.stdout.split("\n") if path]
    label = "fichiers de rtr avec une clé privée, lisibles par tout le monde"
    expect.none(label, exposed)


@check("CP07-S3.d", needs=("CP07-S3.a",), nodes=("rtr",), seconds=90)
def check_revoked_access(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """L'accès d'une personne qui a quitté l'entreprise est révoqué.

    Le profil remis pour elle est bien celui d'une autre personne, pour le même serveur ; il n'ouvre plus rien, alors
    que celui du nomade fonctionne au même moment.
    """
    kind, profile = _profile(login, expect)
    former = _former(login, kind, expect)
    wrong = flaw(kind, profile, former)
    expect.require(
        expect.true("accès distinct au même serveur", "oui", f"non ({wrong})" if wrong else "oui", not wrong)
    )
    _expect_refused(bench, probe, kind, profile, former, expect)


@check("CP07-S3.e", needs=("CP07-S3.c", "CP07-S3.d"), nodes=("rtr",), phase="reboot", seconds=120)
def check_revoked_access_after_reboot(bench: Bench, probe: ProbeClient, login: Login, expect: Expect) -> None:
    """L'accès révoqué l'est encore après un redémarrage.

    Le profil de la personne qui a quitté l'entreprise n'ouvre rien, alors que celui du nomade fonctionne.
    """
    kind, profile = _profile(login, expect)
    _expect_refused(bench, probe, kind, profile, _former(login, kind, expect), expect)


def _former(login: Login, kind: str, expect: Expect) -> str:
    """The profile of the person who left; the check ends here when there is none."""
    former = _issued(login, DEPARTED[kind])
    label = f"profil déposé sur rtr ({DEPARTED[kind]})"
    expect.require(expect.true(label, "oui", "oui" if former else "non", bool(former)))
    return former


def _expect_refused(bench: Bench, probe: ProbeClient, kind: str, profile: str, former: str, expect: Expect) -> None:
    refused = _use(bench, probe, kind, former)
    control = _use(bench, probe, kind, profile)["words"].get("lan")
    expect.require(expect.true("témoin : le nomade atteint le LAN", "oui", "oui" if control else "non", bool(control)))
    reached = any(refused["words"].values()) or any(refused["pings"].values()) or refused["up"]
    expect.equal("accès avec le profil révoqué", "refusé", "accepté" if reached else "refusé")


@check("CP07-S3.c", needs=("CP07-S3.a",), nodes=("rtr",), phase="reboot", seconds=120)
def check_remote_access_after_reboot(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, patience: Deadline
) -> None:
    """L'accès distant fonctionne encore après un redémarrage.

    Le nomade se connecte avec le même profil et atteint le LAN.
    """
    kind, profile = _profile(login, expect)
    seen = converge(patience, lambda: _use(bench, probe, kind, profile), lambda seen: bool(seen["words"].get("lan")))
    source = seen["words"].get("lan") or f"flux non arrivé ({seen['reason'] or 'tunnel établi'})"
    expect.equal("adresse du nomade vue du LAN", text(bench, "nomade"), source)


def _profile(login: Login, expect: Expect) -> tuple[str, str]:
    """Kind and content of the profile that was issued; the check ends here when there is none."""
    found = {}
    for kind, path in PROFILES.items():
        if content := _issued(login, path):
            found[kind] = content
    label = f"profil déposé sur rtr ({' ou '.join(PROFILES.values())})"
    expect.require(expect.equal(label, 1, len(found)))
    return next(iter(found.items()))


def _issued(login: Login, path: str) -> str:
    """Content of a profile on rtr; empty when there is none."""
    answer = login("rtr").run("test -f %s && head -c %s -- %s", path, str(LIMIT), path)
    return answer.stdout if answer.rc == 0 and answer.stdout.strip() else ""


def _words(bench: Bench) -> list[dict[str, Any]]:
    """What the remote user tries; what lies beyond must not arrive, whatever the client's routes say."""
    lan, guest, office = (text(bench, name) for name in ("lan_controle", "invites_controle", "siege_hote"))
    refused = {
        f"nomade vers le LAN, TCP {CLOSED_PORT}": ("lan", lan, CLOSED_PORT),
        "nomade vers les invités, TCP 80": ("invites", guest, 80),
        "nomade vers le siège, TCP 80": ("siege", office, 80),
    }
    return [
        {"id": "lan", "leg": "lan", "address": lan, "port": LAN_PORT},
        {"id": "lan ssh", "leg": "lan", "address": lan, "port": SSH},
        *({"id": label, "leg": leg, "address": address, "port": port, "beyond": True}
          for label, (leg, address, port) in refused.items()),
    ]  # fmt: skip


def _use(
    bench: Bench, probe: ProbeClient, kind: str, profile: str, *, stranger: bool = False, reuse: bool = False
) -> dict[str, Any]:
    """What the profile gives: the answer of vpn.use."""
    trial: dict[str, Any] = {
        "kind": kind,
        "profile": profile,
        "pings": [text(bench, name) for name in ("lan_poste", "lan_controle")],
        "beyond": [text(bench, name) for name in ("siege_hote", "invites_controle")],
        "words": _words(bench),
        "doors": [[text(bench, name), port] for name, port in DOORS],
        "stranger": stranger,
    }
    answer: dict[str, Any] = probe.call("vpn.use", timeout=60, reuse=reuse, origin="wan", **trial)
    return answer
