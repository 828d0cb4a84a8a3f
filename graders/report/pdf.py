"""PDF documents: typst lays out the data of `document`; PDF/A-3, tagged, records attached, the same bytes each time.

typst's own fonts are the only ones used, so that a document does not depend on the machine that renders it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from graders.report.glyphs import printable

TEMPLATES = Path(__file__).parent / "templates"
Template = Literal["record", "feedback"]
Attachment = tuple[str, str, str]
"""File name, MIME type, content."""


def compile_pdf(template: Template, data: dict[str, Any], attachments: list[Attachment], moment: int) -> bytes:
    """The document's bytes; `moment` (seconds since 1970) is the only time in it.

    Raises ValueError when it cannot be laid out, which is a mistake of the template.
    """
    import typst

    compiler = typst.Compiler(str(TEMPLATES / f"{template}.typ"), root=str(TEMPLATES), ignore_system_fonts=True)
    try:
        made = compiler.compile(
            format="pdf",
            sys_inputs={"data": json.dumps(printable(data)), "attachments": json.dumps(attachments)},
            pdf_standards=["a-3a", "ua-1"],
            timestamp=moment,
        )
    except typst.TypstError as problem:
        raise ValueError(f"{template}.typ: {problem.diagnostic}") from None
    assert isinstance(made, bytes)
    return made
