"""Run as a program, by `pdftext`: standard input a PDF, standard output the texts of its pages, in JSON.

It limits itself before it looks at what it was given. Status 0 whenever the PDF is why there is nothing to tell.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import signal
import sys
from typing import NoReturn

from pypdf import PdfReader

PROCESSOR_SECONDS = 60
MEMORY = 1 << 30
"""Bytes of address space."""
MOST_PAGES, MOST_TEXT = 50, 20_000
"""Of text, characters a page."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS + 5))
    signal.signal(signal.SIGXCPU, lambda *_: tell(f"not read in {PROCESSOR_SECONDS} s of the processor"))
    logging.disable()
    try:
        reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
        if len(reader.pages) > MOST_PAGES:
            tell(f"more than {MOST_PAGES} pages")
        texts = [page.extract_text()[:MOST_TEXT] for page in reader.pages]
    except Exception as problem:  # noqa: BLE001  # all that is read here is the PDF: whatever stops us is of its making
        tell(str(problem) or type(problem).__name__)
    tell("", texts)


def tell(problem: str, texts: list[str] | None = None) -> NoReturn:
    """Write the answer and leave."""
    json.dump({"problem": problem[:300], "pages": texts or []}, sys.stdout)
    sys.stdout.flush()
    sys.exit(0)


if __name__ == "__main__":
    main()
