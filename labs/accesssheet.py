"""The sheet that a candidate gets: how to reach each of their machines. Nothing on it is the grader's."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from labs.page import escape, french, page
from labs.sessionfiles import SessionFiles, write_private
from labs.subject import duration
from labs.windows import password

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor

ACCOUNT = "candidat"
RESERVED = """\
## Réservé au centre

- La carte `eth0` de chaque machine : n'en changez ni l'adresse ni la route, et ne la filtrez pas.
- Le compte `root`, ses clés SSH et l'agent de virtualisation : ne les désactivez pas.
- Les machines de contrôle du centre : elles ne vous sont pas accessibles.

Si une machine ne répond plus, prévenez le formateur : il peut la redémarrer, ou remettre toutes vos machines dans leur
état de départ ; dans ce second cas, votre travail est perdu.
"""


def write(bench: Bench, hypervisor: Hypervisor, files: SessionFiles, user: str | None = None) -> list[Path]:
    """Write access/<candidate>/acces.md and .html, readable by the trainer only; return the files."""
    folder = files.access / bench.candidate.id
    folder.mkdir(parents=True, exist_ok=True)
    known = {}
    for node in bench.graded_nodes:
        public = files.public_host_key(bench.candidate.id, node.name)
        if public.exists():
            known[node.name] = fingerprint(public.read_text(encoding="ascii"))
    text = markdown(bench, hypervisor, user, known)
    written = [folder / "acces.md", folder / "acces.html"]
    for path, content in zip(written, (text, page(text, "fr")), strict=True):
        write_private(path, content.encode())
    return written


def fingerprint(public: str) -> str:
    """What ssh shows of a public key (ssh-keygen(1), -l), from its line.

    >>> fingerprint("ssh-ed25519 AAAA comment")
    'SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw'
    """
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _version(bench: Bench) -> list[str]:
    """In a training version, which one, and what it asks for."""
    training, lab = bench.session.training, bench.session.lab
    if training is None:
        return []
    parts = ", ".join(escape(task.title["fr"]) for task in lab.tasks)
    told = f"{escape(training.title['fr'])}** ({duration(lab.duration_minutes)}, {lab.points:g} points)"
    return [f"**Version d'entraînement : {told}.", "", f"À faire : {parts}. Le sujet dit ce qui est déjà en place.", ""]


def _windows(bench: Bench) -> list[str]:
    """Who the candidate is on Windows machines, where there are some."""
    names = [f"`{node.name}`" for node in bench.graded_nodes if node.model.windows]
    if not names:
        return []
    account = "le compte d'administrateur d'origine (`Administrateur` ou `Administrator`)"
    where = "Sur les machines Windows" if len(names) > 1 else "Sur la machine Windows"
    users = sorted({f"`{node.model.windows.user}`" for node in bench.graded_nodes if node.model.windows})
    reserved = f"La carte `centre` et le compte {', '.join(users)} y sont réservés au centre."
    return [f"{where} ({', '.join(names)}) : {account} — mot de passe : `{password(bench)}`", "", reserved, ""]


def markdown(
    bench: Bench, hypervisor: Hypervisor, user: str | None = None, fingerprints: Mapping[str, str] | None = None
) -> str:
    """The sheet as Markdown; a machine without an address yet is shown without one.

    `user` opens console pages, with the password of the machines; without one, pages are for the trainer only.
    `fingerprints` tells for each machine what its SSH key looks like, so that nobody else's is taken for it.
    """
    windows = _windows(bench)
    where = "chaque machine Debian" if windows else "chaque machine"
    lines = [
        "# Fiche d'accès",
        "",
        f"**{escape(bench.session.file.title)}** — {escape(bench.candidate.name)}",
        "",
        *_version(bench),
        f"Compte, sur {where} : `{ACCOUNT}` — mot de passe : `{bench.password}`",
        "",
        "Ce compte peut tout faire avec `sudo`.",
        "",
        *windows,
        "## Machines",
        "",
        f"| Machine | Rôle | {'Connexion' if windows else 'Connexion SSH'} |",
        "|---|---|---|",
    ]
    consoles, pages, keys = [], [], []
    for node in bench.graded_nodes:
        endpoint = hypervisor.status(node.spec.key).ssh
        command = f"`ssh -p {endpoint[1]} {ACCOUNT}@{endpoint[0]}`" if endpoint else "—"
        if endpoint and node.model.windows:
            command = f"Bureau à distance : `{endpoint[0]}`"
        lines.append(f"| `{node.name}` | {escape(node.model.title['fr'])} | {command} |")
        if endpoint is None:
            continue
        if known := (fingerprints or {}).get(node.name):
            keys.append(f"| `{node.name}` | `{known}` |")
        console = hypervisor.console(node.spec.key)
        if console.vnc is not None:
            password = f"`{console.vnc_password}`" if console.vnc_password else "aucun"
            consoles.append(f"| `{node.name}` | `{console.vnc[0]}:{console.vnc[1]}` | {password} |")
        if console.url is not None and user is not None:
            pages.append(f"| `{node.name}` | <{console.url}> |")
    if keys:
        lines += [
            "",
            "À la première connexion, SSH montre l'empreinte de la clé de la machine : n'acceptez que celle-ci.",
            "",
            "| Machine | Empreinte |",
            "|---|---|",
            *keys,
        ]
    if pages:
        lines += [
            "",
            "## Consoles",
            "",
            "La console reste utilisable quand le réseau de la machine ne l'est plus.",
            f"Utilisateur de ces pages : `{user}` — mot de passe : celui des machines.",
            "",
            "| Machine | Page |",
            "|---|---|",
            *pages,
        ]
    if consoles:
        lines += [
            "",
            "## Consoles (VNC)",
            "",
            "La console reste utilisable quand le réseau de la machine ne l'est plus.",
        ]
        lines += ["", "| Machine | Adresse | Mot de passe VNC |", "|---|---|---|", *consoles]
    return french("\n".join([*lines, "", RESERVED]))
