"""What an antivirus and an antispam must stop, the harmless twins that must pass, and files made of them.

Everything is computed from the bench and from words of the grading: the same ones give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.vantage import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from labs.bench import Bench

# In pieces, so that this file is not taken for what it describes.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The antivirus test file (eicar.org)."""
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""The antispam test text (spamassassin.apache.org/gtube)."""


@dataclass(frozen=True)
class Sample:
    """A file with a name nobody knows. `marker`: bytes that are in it and in nothing else."""

    label: str
    name: str
    content: bytes
    marker: bytes
    dangerous: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def base64(self) -> str:
        return encoded(self.content)


def encoded(content: bytes) -> str:
    """Bytes as the probes take them."""
    return base64.b64encode(content).decode()


def files(bench: Bench, word: str) -> list[Sample]:
    """Dangerous files and harmless ones of the same sizes, one after the other, harmless ones first and last."""
    sample = text(bench, "echantillon").encode()
    noise = _noise(word, 24_000)
    kinds: list[tuple[str, str, bytes, Callable[[bytes], bytes]]] = [
        ("fichier EICAR", "txt", EICAR, lambda core: core),
        ("fichier EICAR sans extension", "", EICAR, lambda core: core),
        ("EICAR dans une archive zip", "zip", EICAR, lambda core: _zipped(f"{word}.txt", core)),
        ("échantillon de l'agence", "pdf", sample, lambda core: b"Bonjour,\n" + core + b"\nFin.\n"),
        ("échantillon au milieu d'un fichier de 48 ko", "dat", sample, lambda core: noise + core + noise),
        ("échantillon dans une archive zip", "docx", sample, lambda core: _zipped("notes.txt", b"Notes\n" + core)),
    ]
    found = []
    for number, (label, extension, core, wrap) in enumerate(kinds):
        end = f".{extension}" if extension else ""
        names = [_word(word, f"name {number} {kind}") + end for kind in ("twin", "core")]
        twin = bytes(reversed(core))
        good, bad = wrap(twin), wrap(core)
        zipped = extension in {"zip", "docx"}
        found.append(Sample(f"fichier sain de même taille ({label})", names[0], good, b"", False))
        found.append(Sample(label, names[1], bad, bad[30:-60] if zipped else core, True))
    return [*found, Sample("fichier sain, en dernier", _word(word, "last"), noise, b"", False)]


def _zipped(name: str, content: bytes) -> bytes:
    """An archive with one file, the same bytes for the same content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name, (2026, 1, 5, 9, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, content)
    return buffer.getvalue()


def _noise(word: str, size: int) -> bytes:
    """Bytes that look like nothing."""
    blocks = (hashlib.sha256(f"{word} {number}".encode()).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def _word(word: str, purpose: str) -> str:
    """A name that nothing announces."""
    return hashlib.sha256(f"{word} {purpose}".encode()).hexdigest()[:10]
