"""The dossier's zip: files stored as they are, in order, without a clock, so that its bytes follow from its contents.

Any byte that differs from that form is found when it is read, also one that no file's content covers.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping

from graders.dossier import DossierError

HEADER = 30
"""Bytes of a file's header before its name."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def write(files: Mapping[str, bytes]) -> bytes:
    """The archive's bytes; files in the given order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100600 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def read(data: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files as they are, and the faults of the archive itself: file name -> what is wrong with it.

    Raises DossierError when it is no archive at all.
    """
    files: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError) as problem:
        raise DossierError(_why_not(data, str(problem))) from None
    for entry in entries:
        name = entry.filename
        begin = entry.header_offset + HEADER + len(name.encode())
        if entry.compress_type != zipfile.ZIP_STORED:  # could unpack to any size
            files[name] = data[begin : begin + entry.compress_size]
            faults[name] = "compressed, which no dossier is: this archive was made again"
            continue
        try:
            files[name] = archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
            files[name] = data[begin : begin + entry.file_size]
            faults[name] = "its bytes were changed"
    if not faults:
        place = _first_difference(data, write(files))
        if place is not None:
            faults[_name_at(archive, place)] = f"byte {place} of the archive was changed"
    return files, faults


def _why_not(data: bytes, problem: str) -> str:
    """In our words, why the bytes cannot be read as an archive, and what to do."""
    again = "copy it again from whoever sealed it"
    if not data:
        return f"not a dossier: the file is empty; {again}"
    if not data.startswith(b"PK"):
        return "not a dossier: not even a zip archive; give the <candidate>.dossier.zip that plateau dossier wrote"
    if b"PK\x05\x06" not in data[-65557:]:
        return f"not a dossier: the end of the archive is missing: the copy was cut short; {again}"
    return f"not a dossier: the directory of the archive was changed ({problem}); {again}"


def _first_difference(data: bytes, wanted: bytes) -> int | None:
    if data == wanted:
        return None
    length = min(len(data), len(wanted))
    low, high = 0, length
    while low < high:  # the first place where the beginnings differ
        middle = (low + high) // 2
        if data[: middle + 1] == wanted[: middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def _name_at(archive: zipfile.ZipFile, place: int) -> str:
    """The file whose header or content is at that byte."""
    before = [entry for entry in archive.infolist() if entry.header_offset <= place]
    if place >= archive.start_dir or not before:
        return "(directory of the archive)"
    return max(before, key=lambda entry: entry.header_offset).filename
