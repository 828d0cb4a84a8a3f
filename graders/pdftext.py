"""The text of a PDF that somebody else made: read apart from the grading, with little memory and time.

>>> pages(b"no PDF")
Traceback (most recent call last):
...
graders.pdftext.PdfError: invalid pdf header
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import unicodedata
from pathlib import Path

SECONDS = 60
MEMORY = 1 << 30
"""Bytes of address space for the program that reads."""


class PdfError(Exception):
    """What was given is no PDF, or cannot be read."""


def pages(data: bytes) -> list[str]:
    """The text of each page, without white space and ligatures. Raises PdfError."""
    try:
        done = subprocess.run([sys.executable, "-I", str(Path(__file__).resolve())], input=data, capture_output=True,
                              timeout=SECONDS, check=False)  # fmt: skip
    except subprocess.TimeoutExpired as problem:
        raise PdfError(f"not read in {SECONDS} s") from problem
    if done.returncode:
        raise PdfError(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] or "not read")
    return [bare(text) for text in json.loads(done.stdout)]


def bare(text: str) -> str:
    """A text as it can be compared with another: typesetting changes spaces and ligatures.

    >>> bare("e\\u0301le\\u0300ve \\ufb01ni")
    'élèvefini'
    """
    return "".join(unicodedata.normalize("NFKC", text).split())


def main() -> None:
    """Standard input: a PDF. Standard output: the texts of its pages, in JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        texts = [page.extract_text() for page in PdfReader(io.BytesIO(sys.stdin.buffer.read())).pages]
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as problem:
        sys.stderr.write(f"{str(problem) or type(problem).__name__}\n")
        sys.exit(1)
    json.dump(texts, sys.stdout)


if __name__ == "__main__":
    main()
