"""The text of a PDF that somebody else made: read apart from the grading, with little memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from graders.probe_client import ProbeError

PROGRAM = Path(__file__).with_name("pdfreader.py")
PATIENCE = 600.0
"""Seconds on the clock for a program that may use far fewer of the processor."""


class PdfError(Exception):
    """What was given is no PDF, or takes too much to read."""


def pages(data: bytes) -> list[str]:
    """The text of each page, as `bare` gives it.

    Raises PdfError when the PDF is why there is none, ProbeError when the reader did not do its work.
    """
    with tempfile.TemporaryFile() as told:
        try:
            done = subprocess.run([sys.executable, "-I", str(PROGRAM.resolve())], input=data, stdout=told,
                                  stderr=subprocess.PIPE, timeout=PATIENCE, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ProbeError(f"a PDF was not read in {PATIENCE:.0f} s") from None
        told.seek(0)
        answer = told.read()
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ProbeError(f"a PDF was not read: status {done.returncode} {why}".rstrip())
    read = json.loads(answer)
    if read["problem"]:
        raise PdfError(read["problem"])
    return [bare(text) for text in read["pages"]]


def bare(text: str) -> str:
    """A text as it can be compared with another: typesetting changes spaces and ligatures.

    >>> bare("e\\u0301le\\u0300ve \\ufb01ni")
    'élèvefini'
    """
    return "".join(unicodedata.normalize("NFKC", text).split())
