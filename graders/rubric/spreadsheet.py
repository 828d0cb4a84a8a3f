"""The same form as a spreadsheet: what is typed there joins the YAML form, and never replaces it."""

from __future__ import annotations

import contextlib
import datetime
import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from pydantic import ValidationError

from graders.report.text import short
from graders.report.workbook import as_put, headings, pack, put, wrap
from graders.rubric import Opinion, RowMark, Rubric
from graders.rubric.forms import save
from labs.errors import InputError
from labs.models.loader import complaint, read_yaml
from labs.sessionfiles import write_private

ROWS, COMPETENCES = "Grille", "Compétences"
OBSERVED = "Observé par la machine"
ROW_TITLES = ["Ligne", "Intitulé", "Classe", OBSERVED, "Niveau (1 à 4)", "Observations", "Évaluateur", "Date"]
ROW_FIELDS = {"level": 5, "comment": 6, "evaluator": 7, "date": 8}
OPINION_TITLES = ["Compétence", "Intitulé", "Critères satisfaits (oui/non)", "Observations", "Évaluateur", "Date"]
OPINION_FIELDS = {"satisfied": 3, "comment": 4, "evaluator": 5, "date": 6}
DAY = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")
"""A date as France writes it, typed into a cell that holds text."""
LEGEND = "Niveaux : 1 insuffisant, 2 fragile, 3 satisfaisant, 4 très satisfaisant."


def write(path: Path, rubric: Rubric) -> None:
    """Write the spreadsheet from the form; what it held was read before, see `read_into`."""
    from openpyxl import Workbook
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    sheet = book.active
    sheet.title = ROWS
    headings(sheet, ROW_TITLES, [10, 44, 8, 60, 12, 50, 20, 12])
    levels = DataValidation(type="list", formula1='"1,2,3,4"', allow_blank=True, promptTitle=ROWS, prompt=LEGEND)
    sheet.add_data_validation(levels)
    for line, (name, mark) in enumerate(rubric.rows.items(), 2):
        for column, value in enumerate((name, mark.title, mark.row_class, "\n".join(mark.observed)), 1):
            wrap(put(sheet, line, column, value))
        _typed(sheet, line, mark, ROW_FIELDS)
        levels.add(sheet.cell(row=line, column=ROW_FIELDS["level"]))
    sheet = book.create_sheet(COMPETENCES)
    headings(sheet, OPINION_TITLES, [12, 60, 18, 60, 20, 12])
    words = DataValidation(type="list", formula1='"oui,non"', allow_blank=True)
    sheet.add_data_validation(words)
    for line, (name, opinion) in enumerate(rubric.competences.items(), 2):
        wrap(put(sheet, line, 1, name))
        wrap(put(sheet, line, 2, opinion.title))
        _typed(sheet, line, opinion, OPINION_FIELDS)
        words.add(sheet.cell(row=line, column=OPINION_FIELDS["satisfied"]))
    write_private(path, pack(book))


def read_into(path: Path, form_path: Path) -> int:
    """Put what was typed into the spreadsheet into the YAML form; return how many values were new.

    Raises InputError naming the cell when it says something else than the form, or something that cannot be.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, data_only=True)
    except (InvalidFileException, BadZipFile, OSError, KeyError, ValueError) as problem:
        raise InputError(f"{path}: not a spreadsheet that can be read ({problem})") from None
    form: Any = read_yaml(form_path)
    joined = 0
    sheets: tuple[tuple[str, str, type[RowMark | Opinion], dict[str, int], list[str]], ...] = (
        (ROWS, "rows", RowMark, ROW_FIELDS, ROW_TITLES),
        (COMPETENCES, "competences", Opinion, OPINION_FIELDS, OPINION_TITLES),
    )
    for title, section, model, fields, columns in sheets:
        if title not in book.sheetnames:
            raise InputError(f"{path}: no sheet {title!r}; delete the file, and `plateau rubric` writes it again")
        found = [cell.value for cell in book[title][1]][: len(columns)]
        if found != columns:
            missing = next((one for one in columns if one not in found), columns[0])
            raise InputError(f"{path}: {title}!1: no column {missing!r} in its place; put it back, or delete the file")
        for line, cells in enumerate(book[title].iter_rows(min_row=2), 2):
            name = cells[0].value
            if name is None:
                continue
            entry = form[section].get(str(name))
            if entry is None:
                raise InputError(f"{path}: {title}!A{line}: {name!r} is not in {form_path}")
            for field, column in fields.items():
                cell = cells[column - 1]
                joined += _join(f"{path}: {title}!{cell.coordinate}", entry, model, field, cell.value)
    if joined:
        save(form_path, form)
    return joined


def _join(place: str, entry: Any, model: type[RowMark | Opinion], field: str, value: object) -> int:
    typed = _plain(value)
    if typed in (None, ""):
        return 0
    known = entry.get(field)
    if known in (None, ""):
        try:
            model.model_validate({field: typed})
        except ValidationError as problems:
            raise InputError(f"{place}: {field}: {complaint(problems.errors()[0])}") from None
        entry[field] = typed
        return 1
    if str(known) != str(typed) and as_put(known) != str(typed):  # a long text was cut when it was put there
        told, form = (short(one, 60) for one in (typed, known))
        raise InputError(f"{place}: says {told!r}, the form says {form!r} ({field}); make them equal")
    return 0


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().lower() in {"oui", "non"}:
        return value.strip().lower()
    if isinstance(value, str) and DAY.fullmatch(value.strip()):
        with contextlib.suppress(ValueError):  # the 31st of February stays a text, and is refused as one
            return datetime.datetime.strptime(value.strip(), "%d/%m/%Y").date()
    return value.strip() if isinstance(value, str) else value


def _typed(sheet: Any, line: int, entry: RowMark | Opinion, fields: dict[str, int]) -> None:
    for field, column in fields.items():
        cell = put(sheet, line, column, getattr(entry, field))
        wrap(cell)
        if field == "date":
            cell.number_format = "dd/mm/yyyy"
