"""Which characters typst's own fonts have: PDF/A allows no missing glyph, so any other is shown by its number. Pure."""

from __future__ import annotations

import re
from typing import Any

# Latin, Greek, Cyrillic, phonetics, punctuation, currencies, arrows, mathematics, technical symbols, boxes, marks.
# Found by asking typst 0.15 for each character (a-3a, ua-1); tests compile all of them.
RANGES = (
    (0x20, 0x7E),
    (0xA0, 0xAC),
    (0xAE, 0x377),
    (0x386, 0x386),
    (0x388, 0x38A),
    (0x38E, 0x3A1),
    (0x3A3, 0x4FF),
    (0x1D00, 0x1F15),
    (0x2010, 0x2027),
    (0x202F, 0x2040),
    (0x20A0, 0x20C0),
    (0x2100, 0x211E),
    (0x2153, 0x2184),
    (0x2190, 0x23FF),
    (0x2460, 0x262F),
    (0x270C, 0x2727),
    (0x27B1, 0x2B73),
)
_MISSING = re.compile("[^\t\n" + "".join(f"{chr(a)}-{chr(b)}" for a, b in RANGES).replace("]", r"\]") + "]")


_LONG = re.compile(r"[^\s\u200b]{24}(?=[^\s\u200b])")
"""Where a word without spaces may be broken, so that it never leaves its column."""


def printable(data: Any) -> Any:
    """The same data with every character that cannot be printed shown as `⟦U+4E2D⟧`, and long words breakable.

    >>> printable({"name": "é 中"})
    {'name': 'é ⟦U+4E2D⟧'}
    """
    if isinstance(data, str):
        shown = _MISSING.sub(lambda match: f"⟦U+{ord(match.group()):04X}⟧", data)
        return shown if "\n" in shown else _LONG.sub("\\g<0>\u200b", shown)
    if isinstance(data, dict):
        return {key: printable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [printable(value) for value in data]
    return data
