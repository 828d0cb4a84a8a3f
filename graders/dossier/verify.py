"""Check a dossier's seal and make its marks again, from the file alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders import rubric
from graders.dossier import (
    FORMAT,
    MANIFEST,
    PUBLIC_KEY,
    RECORDS,
    RESULTS,
    SIGNATURE,
    STATEMENT,
    SUMS,
    DossierError,
    archive,
    envelope,
    keys,
    manifest,
)
from graders.dossier.collect import results
from labs.errors import PlateauError
from labs.models.loader import load


@dataclass(frozen=True)
class Verification:
    """What was found. The dossier is good when there is no fault."""

    about: dict[str, Any]
    key: str
    """Number of the key that signed; empty when none could be read."""
    trusted: bool
    """Whether that key is the one that was expected, not merely the one that came along."""
    faults: tuple[str, ...]
    """One line each, naming the file."""
    files: int
    marks: dict[str, Any]
    """The candidate's results as made again here; empty when they could not be."""


def verify(data: bytes, scratch: Path, expected: keys.PublicKey | None) -> Verification:
    """Verify a dossier; `scratch` is an empty folder. Raises DossierError when it is no dossier at all."""
    files, damaged = archive.read(data)
    if not {MANIFEST, STATEMENT, RECORDS} & set(files):
        raise DossierError("not a dossier, though a zip archive; give what plateau dossier wrote")
    faults: list[str] = []
    about: dict[str, Any] = {}
    key, trusted = "", False
    try:
        public = keys.read_public(_text(files, PUBLIC_KEY), PUBLIC_KEY)
        signer = expected or public
        key, trusted = signer.id, expected is not None
        if expected is not None and public != expected:
            faults.append(f"{PUBLIC_KEY}: key {public.id} came along, not the expected {expected.id}")
        faults += _seal(files, signer)
    except DossierError as problem:
        faults.append(str(problem))
    try:
        listed = json.loads(_text(files, MANIFEST))
        if listed.get("format") != FORMAT:
            raise DossierError(f"{MANIFEST}: format {listed.get('format')}, this version reads {FORMAT}")
        faults += manifest.compare(listed, files)
        about = {name: value for name, value in listed.items() if name not in ("files", "format")}
    except (DossierError, ValueError, KeyError, TypeError, AttributeError) as problem:
        faults.append(str(problem) if isinstance(problem, DossierError) else f"{MANIFEST}: not a manifest ({problem})")
    # A changed file is named by the manifest, with its line; the archive names what no manifest covers.
    faults = [f"{name}: {what}" for name, what in damaged.items() if not _named(name, faults)] + faults
    marks, wrong = _again(files, scratch)
    return Verification(about, key, trusted, tuple(dict.fromkeys(faults + wrong)), len(files), marks)


def _named(file: str, faults: list[str]) -> bool:
    return any(fault.startswith(f"{file}:") for fault in faults)


def _seal(files: dict[str, bytes], key: keys.PublicKey) -> list[str]:
    """Both signatures, and that they speak of the files that are here."""
    faults = []
    sums = files.get(SUMS, b"")
    if SUMS not in files:
        faults.append(f"{SUMS}: missing")
    try:
        keys.check(_text(files, SIGNATURE), sums, key, SIGNATURE)
    except DossierError as problem:
        faults.append(str(problem))
    parts = [line.partition("  ") for line in sums.decode("utf-8", "replace").splitlines()]
    listed = {name: digest for digest, _, name in parts}
    try:
        statement = envelope.open_sealed(_text(files, STATEMENT), key, STATEMENT)
        stated = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    except (DossierError, ValueError, KeyError, TypeError) as problem:
        return [*faults, str(problem) if isinstance(problem, DossierError) else f"{STATEMENT}: not a statement"]
    for name in sorted({*stated, *listed}):
        now = manifest.digest(files[name]) if name in files else "missing"
        if stated.get(name) != now and name == MANIFEST:  # any other file is named, with its line, by the manifest
            faults.append(f"{name}: its content was changed")
        if listed.get(name) != stated.get(name):
            faults.append(f"{SUMS}: speaks of another {name} than {STATEMENT}")
    return faults


def _again(files: dict[str, bytes], scratch: Path) -> tuple[dict[str, Any], list[str]]:
    """The marks made again from the records and the form of human marks, compared with those that were sealed."""
    try:
        rubrics = {}
        for name, content in files.items():
            folder, _, file = name.partition("/")
            if folder == rubric.FOLDER and file.endswith(".yaml") and "/" not in file:
                path = scratch / "marks.yaml"
                path.write_bytes(content)
                rubrics[file.removesuffix(".yaml")] = load(path, rubric.Rubric)
        made = results(files[RECORDS], rubrics)
        again: dict[str, Any] = json.loads(made)["candidates"][0]
    except (KeyError, IndexError, ValueError, TypeError, PlateauError) as problem:
        return {}, [f"{RECORDS}: the marks cannot be made again ({problem})"]
    try:
        whole = json.loads(files[RESULTS])
        if whole == json.loads(made):
            return again, []
        sealed = whole["candidates"][0]
        differing = sorted(name for name in {*again, *sealed} if again.get(name) != sealed.get(name))
    except (KeyError, IndexError, ValueError, TypeError):
        return again, [f"{RESULTS}: not results"]
    return again, [f"{RESULTS}: the marks made again differ in: {', '.join(differing) or 'the header'}"]


def _text(files: dict[str, bytes], name: str) -> str:
    if name not in files:
        raise DossierError(f"{name}: missing")
    try:
        return files[name].decode()
    except UnicodeDecodeError:
        raise DossierError(f"{name}: its bytes were changed") from None
