"""Text documents in OpenDocument format (OASIS ODF 1.3), made to be converted by somebody else's program."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

MIMETYPE = "application/vnd.oasis.opendocument.text"
_MANIFEST = f"""<?xml version="1.0" encoding="UTF-8"?>
<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.3">
<manifest:file-entry manifest:full-path="/" manifest:version="1.3" manifest:media-type="{MIMETYPE}"/>
<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>
</manifest:manifest>
"""
_CONTENT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" office:version="1.3">
<office:automatic-styles>
<style:style style:name="Saut" style:family="paragraph">
<style:paragraph-properties fo:break-before="page"/></style:style>
<style:style style:name="Gras" style:family="text"><style:text-properties fo:font-weight="bold"/></style:style>
</office:automatic-styles>
<office:body><office:text>
{body}</office:text></office:body>
</office:document-content>
"""
_DATE = (2026, 1, 5, 8, 0, 0)


@dataclass(frozen=True)
class Page:
    """What is on a page: a title, words whose first half is bold, and the cells of a table, row by row."""

    title: str
    words: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...] = ()

    @property
    def texts(self) -> list[str]:
        """Everything that a reader sees on it."""
        return [self.title, *self.words, *(cell for row in self.cells for cell in row)]


def document(pages: Sequence[Page]) -> bytes:
    """The .odt file, each page after the first beginning with a page break; the same pages give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        parts = {
            "mimetype": MIMETYPE,  # ODF 1.3, part 2, 3.3: first, and not compressed
            "content.xml": _CONTENT.replace("{body}", "".join(_page(page, index) for index, page in enumerate(pages))),
            "META-INF/manifest.xml": _MANIFEST,
        }
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), text)
    return stream.getvalue()


def _page(page: Page, index: int) -> str:
    style = ' text:style-name="Saut"' if index else ""
    lines = [f"<text:p{style}>{escape(page.title)}</text:p>"]
    for word in page.words:
        first, rest = word[: len(word) // 2], word[len(word) // 2 :]
        lines.append(f'<text:p><text:span text:style-name="Gras">{escape(first)}</text:span>{escape(rest)}</text:p>')
    if page.cells:
        lines.append(f'<table:table><table:table-column table:number-columns-repeated="{len(page.cells[0])}"/>')
        for row in page.cells:
            cells = "".join(
                f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
                for cell in row
            )
            lines.append(f"<table:table-row>{cells}</table:table-row>")
        lines.append("</table:table>")
    return "".join(f"{line}\n" for line in lines)
