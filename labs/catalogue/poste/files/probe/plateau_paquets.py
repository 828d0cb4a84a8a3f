"""Debian packages and the indexes of an archive, made in memory: the mirror publishes versions that nobody has seen."""

import gzip
import hashlib
import io
import tarfile
import time
from typing import Protocol

SUITE, COMPONENT = "agence", "main"
Files = dict[str, bytes]


class Signer(Protocol):
    """A key, as plateau_openpgp has it."""

    def detached(self, data: bytes, moment: int) -> str: ...
    def clearsigned(self, text: str, moment: int) -> str: ...


DISTS = f"dists/{SUITE}"

# The program of the package: it counts the readings of its data file, whose format depends on the version.
PROGRAM = """#!/bin/sh
# NAME VERSION
donnees=/var/lib/NAME/releves
read -r entete <"$donnees" || exit 2
if [ "$entete" != "format=FORMAT" ]; then
    echo "NAME VERSION : format de $donnees inconnu ($entete)" >&2
    exit 1
fi
echo "NAME VERSION : $(($(wc -l <"$donnees") - 1)) relevés"
"""
# Version n makes the file; the following one converts it, for good.
SCRIPT = """#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
donnees=/var/lib/NAME/releves
if [ ! -e "$donnees" ]; then
    mkdir -p /var/lib/NAME
    printf '%s\\n' format=1 '2026-01-05;08:00;21,4' '2026-01-05;12:00;22,9' '2026-01-05;16:00;22,1' >"$donnees"
fi
if [ FORMAT = 2 ] && grep -qx 'format=1' "$donnees"; then
    sed -i -e '1s/.*/format=2/' -e '2,$s/;/|/g' "$donnees"
fi
"""
PURGE = """#!/bin/sh
set -e
[ "$1" != purge ] || rm -rf /var/lib/NAME
"""


def package(name: str, version: str, layout: int) -> bytes:
    """A package for all architectures; `layout` is the format of its data file (1 or 2)."""

    def fill(text: str) -> bytes:
        return text.replace("NAME", name).replace("VERSION", version).replace("FORMAT", str(layout)).encode()

    sheet = "\n".join(f"{field}: {value}" for field, value in fields(name, version)) + "\n"
    model = f"{name} {version}\nmodèle de relevé, format {layout}\n".encode()
    control = _tar({"./control": (sheet.encode(), 0o644), "./postinst": (fill(SCRIPT), 0o755),
                    "./postrm": (fill(PURGE), 0o755)})  # fmt: skip
    data = _tar({f"./usr/bin/{name}": (fill(PROGRAM), 0o755), f"./usr/share/{name}/modele": (model, 0o644)})
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": control, "data.tar.gz": data}
    return b"!<arch>\n" + b"".join(_member(*one) for one in parts.items())


def fields(name: str, version: str) -> list[tuple[str, str]]:
    """The control fields of a package."""
    return [
        ("Package", name),
        ("Version", version),
        ("Architecture", "all"),
        ("Maintainer", "Centre <centre@plateau.test>"),
        ("Section", "utils"),
        ("Priority", "optional"),
        ("Description", "releves du poste\n Compte les releves tenus dans /var/lib."),
    ]


def archive(name: str, versions: dict[str, int], key: Signer | None, moment: int) -> Files:
    """The files of the archive: path -> bytes.

    `versions`: version -> format of its data; `key`: None for an archive that nobody signed.
    """
    files: Files = {}
    stanzas = []
    for version, layout in versions.items():
        deb = package(name, version, layout)
        path = f"pool/{name}_{version}_all.deb"
        files[path] = deb
        sums = [("Filename", path), ("Size", str(len(deb))), ("SHA256", hashlib.sha256(deb).hexdigest())]
        stanzas.append("\n".join(f"{field}: {value}" for field, value in [*fields(name, version), *sums]) + "\n")
    plain = "\n".join(stanzas).encode()
    place = f"{COMPONENT}/binary-amd64/Packages"
    indexes = {place: plain, f"{place}.gz": gzip.compress(plain, mtime=0)}
    release = _release(indexes, moment)
    files |= {f"{DISTS}/{path}": data for path, data in indexes.items()}
    files[f"{DISTS}/Release"] = release.encode()
    if key is not None:
        files[f"{DISTS}/InRelease"] = key.clearsigned(release, moment).encode()
        files[f"{DISTS}/Release.gpg"] = key.detached(release.encode(), moment).encode()
    return files


def _release(indexes: Files, moment: int) -> str:
    date = time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime(moment))
    head = ["Origin: Centre", "Label: Agence", f"Suite: {SUITE}", f"Codename: {SUITE}", f"Date: {date}",
            "Architectures: amd64", f"Components: {COMPONENT}", "SHA256:"]  # fmt: skip
    sums = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}" for path, data in indexes.items()]
    return "\n".join([*head, *sums]) + "\n"


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A compressed archive with the folders that lead to its files; the same bytes for the same content."""
    buffer = io.BytesIO()
    known: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, (content, mode) in files.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth]) + "/"
                if folder not in known:
                    known.add(folder)
                    entry = tarfile.TarInfo(folder)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _member(name: str, content: bytes) -> bytes:
    """A member of an ar archive."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)
