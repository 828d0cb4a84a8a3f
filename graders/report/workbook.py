"""Spreadsheets (XLSX) that come out the same each time, and whose texts are never formulas."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

from graders.report.marks import begins_formula
from graders.report.text import short, visible

if TYPE_CHECKING:
    from openpyxl import Workbook

EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
"""Written as the moment of every file: a spreadsheet says nothing about when it was rendered."""
LONGEST = 2000
"""Characters of one cell."""
COLOURS = {
    "met": "FFDDF0E3",
    "partial": "FFFFF0D6",
    "not_met": "FFFADCDC",
    "not_assessable": "FFEBE0F2",
    "not_applicable": "FFEEEEEE",
}


def put(sheet: Any, row: int, column: int, value: object) -> Any:
    """Write a number, a date or a text; a text is never taken for a formula."""
    cell = sheet.cell(row=row, column=column)
    if isinstance(value, int | float | datetime.date) or value is None:
        cell.value = value
    else:
        shown = as_put(value)
        cell.value = shown
        cell.data_type = "s"
        if begins_formula(shown):  # a text also after somebody has edited the cell
            cell.quotePrefix = True
    return cell


def as_put(value: object) -> str:
    """A text as a cell holds it."""
    return visible(short(value, LONGEST)).strip()


def headings(sheet: Any, titles: list[str], widths: list[int]) -> None:
    """The first line, frozen, with the columns' widths in characters."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for number, (title, width) in enumerate(zip(titles, widths, strict=True), 1):
        cell = put(sheet, 1, number, title)
        cell.font = Font(bold=True, color="FFFFFFFF")
        cell.fill = PatternFill("solid", fgColor="FF1F3A5F")
        cell.alignment = Alignment(wrap_text=True, vertical="center")
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.freeze_panes = "B2"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = 9
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows = "1:1"


def wrap(cell: Any, colour: str | None = None) -> None:
    """Break a cell's lines, with the colour of an outcome when it has one."""
    from openpyxl.styles import Alignment, PatternFill

    cell.alignment = Alignment(wrap_text=True, vertical="top")
    if colour:
        cell.fill = PatternFill("solid", fgColor=COLOURS[colour])


def pack(workbook: Workbook) -> bytes:
    """The file's bytes: the same workbook gives the same ones."""
    plain = io.BytesIO()
    workbook.properties.creator = "Plateau"
    workbook.properties.created = EPOCH.replace(tzinfo=None)
    workbook.save(plain)
    out = io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist(), key=lambda one: (one != "[Content_Types].xml", one)):
            content = source.read(name)
            if name == "docProps/core.xml":
                stamp = EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content)
    return out.getvalue()
