"""Text for people: evidence made harmless and visible, numbers, dates and French typography. Pure."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE = "Europe/Paris"
NBSP = "\u00a0"
NARROW = "\u202f"

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# Controls (C0 but tab and newline, DEL, C1), soft hyphen, zero-width and bidirectional marks, line separators,
# surrogates, specials, tags: everything that could hide, reorder or break what a reader sees.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def _show(match: re.Match[str]) -> str:
    return f"\u27e6U+{ord(match.group()):04X}\u27e7"


def visible(text: str) -> str:
    """The text with colour codes removed and every control or invisible character shown.

    >>> visible("\\x1b[31mred\\x1b[0m a\\x00b \\u202eevil")
    'red a⟦U+0000⟧b ⟦U+202E⟧evil'
    """
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _HIDDEN.sub(_show, _COLOUR.sub("", text) if "\x1b" in text else text)


def json_text(data: object, indent: int = 1) -> str:
    """A JSON document without control or invisible characters: they are written by number, and read back as they were.

    >>> json_text("a\\u202eb", 0) == '"a' + chr(92) + 'u202eb"'
    True
    """
    document = json.dumps(data, ensure_ascii=False, indent=indent)
    return _HIDDEN.sub(lambda match: json.dumps(match.group())[1:-1], document)


def cut(text: str, head: int, tail: int) -> tuple[str, int, str]:
    """Beginning, number of characters left out, and end of a text that may be huge."""
    left_out = len(text) - head - tail
    if left_out <= 0:
        return text, 0, ""
    return text[:head], left_out, text[len(text) - tail :] if tail else ""


def short(text: object, limit: int = 400) -> str:
    """One value on one line or two: cut in its middle when it is long."""
    head, left_out, tail = cut(str(text), limit * 3 // 4, limit // 4)
    return f"{head} […] {tail}" if left_out else head


@lru_cache(maxsize=8192)  # titles and labels repeat from candidate to candidate
def typo(text: str, lang: str) -> str:
    """French spaces that may not break, before double punctuation and inside guillemets."""
    if lang != "fr":
        return text
    text = re.sub(r" ([;!?])", NARROW + r"\1", text)
    text = re.sub(r" ([:%»])", NBSP + r"\1", text)
    return text.replace("« ", "«" + NBSP).replace("n° ", "n°" + NBSP)


def number(value: float, lang: str) -> str:
    """At most two decimals, with the decimal mark of the language.

    >>> number(12.5, "fr"), number(4.0, "en")
    ('12,5', '4')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    text = "0" if text in ("-0", "") else text
    return text.replace(".", ",") if lang == "fr" else text


def moment(stamp: str) -> datetime | None:
    """An ISO 8601 time as UTC, or None when it is not one."""
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def local(stamp: str, lang: str) -> str:
    """The time where the exam takes place (Europe/Paris), e.g. `22/11/2026 à 14:05`; UTC if zones are unknown here."""
    when = moment(stamp)
    if when is None:
        return stamp
    when = here(when)
    suffix = " UTC" if when.tzinfo is UTC else ""
    at = "à" if lang == "fr" else "at"
    return f"{when:%d/%m/%Y}{NBSP}{at}{NBSP}{when:%H:%M}{suffix}"


def here(when: datetime) -> datetime:
    """The same moment on the clock of where the exam takes place; in UTC if zones are unknown here.

    >>> here(datetime(2026, 11, 23, 23, 30, tzinfo=UTC)).date()
    datetime.date(2026, 11, 24)
    """
    try:
        return when.astimezone(ZoneInfo(ZONE))
    except ZoneInfoNotFoundError:
        return when.astimezone(UTC)


def local_day(stamp: str) -> date:
    """The day of an ISO 8601 time where the exam takes place. Raises ValueError when it is none."""
    when = moment(stamp)
    if when is None:
        raise ValueError(f"{stamp!r}: not a time")
    return here(when).date()


def css_string(text: str) -> str:
    """A CSS string literal that cannot end early: every character but plain letters and digits is escaped."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x}" for c in text) + '"'


def flatten(value: object, path: str = "") -> list[tuple[str, str]]:
    """Nested values as (path, value) lines: `{"lan": {"prefix": 24}}` gives `[("lan.prefix", "24")]`."""
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in flatten(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        if all(not isinstance(item, dict | list) for item in value):
            return [(path, ", ".join(map(str, value)))]
        return [line for number, item in enumerate(value, 1) for line in flatten(item, f"{path}.{number}")]
    return [(path, str(value))]
