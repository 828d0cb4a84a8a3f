"""CP10-S1 and CP10-C3: the header of an adapted script, for its users and for those who wrote the first one."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterator

from graders.check import check
from graders.cp10_scripts.check_reuse import PARAMETERS, missing
from graders.cp10_scripts.journal import SCRIPT
from graders.expect import Expect
from graders.login import Login
from graders.vantage import text
from labs.bench import Bench

AUTHOR, ORIGIN = "Mireille Aubanel", "forge.libre.test/maubanel/ranger-journal"
PURPOSE, WRITTEN = "Range le journal des messages des Ateliers de la Durance", datetime.date(2019, 3, 11)
"""Of the third party's script (labs/catalogue/scripts/files/srv/ranger-journal.sh)."""
LICENCE = re.compile(r"(?:gpl|general public license|licence publique generale)[^0-9\n]{0,30}3\b")
"""In a text without capitals: `GPLv3`, `GPL-3.0-or-later`, « GNU GPL, version 3 », in full in both languages."""
DAY = re.compile(r"\d{4}-\d\d-\d\d")
LINES = 60
MARK = re.compile(r"\s*(?:#|//|--|\*|$)")
"""What begins a line of comment; an empty line does not end one."""
BLOCKS = (
    (re.compile(r"(\"\"\"|''')"), "{0}"),
    (re.compile(r"^=(?!cut|end)(\w)"), r"^=(?:cut|end)\b"),
    (re.compile(r"(?<!<)<<-?\s*['\"]?(\w+)"), r"^\s*{0}\s*$"),
    (re.compile(r"^\s*:\s*(['\"])"), "{0}"),
    (re.compile(r"^\s*(/)\*"), r"\*/"),
)
"""What begins a comment or a text of several lines, and what ends it: Python, Perl and Ruby, the shell's documents and
its quoted nothing, C."""
FIELDS = ("objet", "auteur", "date", "version", "parametres", "auteur d'origine", "origine", "licence", "copyright")
READ = f"[ ! -e %s ] || {{ echo present; head -n {LINES} %s | head -c 12000; }}"


@check("CP10-S1.b", nodes=("srv",))
def check_origin(login: Login, expect: Expect) -> None:
    """L'en-tête du script adapté garde l'auteur, l'origine et la licence du script dont il vient.

    La licence GPL le demande (version 3, article 5) : les mentions du script d'origine restent.
    """
    header = plain(_header(login, expect))
    expect.equal("auteur d'origine", AUTHOR, AUTHOR if plain(AUTHOR) in header else "non nommé")
    expect.equal("origine", ORIGIN, ORIGIN if ORIGIN in header else "non indiquée")
    expect.equal("licence", "GPL, version 3 ou ultérieure", "GPL, version 3 ou ultérieure"
                 if LICENCE.search(header) else "non indiquée")  # fmt: skip


@check("CP10-C3.b", nodes=("srv",))
def check_header(bench: Bench, login: Login, expect: Expect) -> None:
    """L'en-tête du script dit à quoi il sert, qui l'a adapté, quand, sa version et ses paramètres.

    Ce sont ceux du script adapté, non ceux du script d'origine.
    """
    fields = fields_of(_header(login, expect))
    purpose = fields.get("objet", "")
    own = len(purpose) >= 8 and plain(purpose) != plain(PURPOSE)
    expect.true("objet", "celui du script adapté", purpose or "absent", own)
    wanted, author = bench.candidate.name, fields.get("auteur", "")
    named = set(re.findall(r"\w+", plain(wanted))) <= set(re.findall(r"\w+", plain(author)))
    expect.true("auteur", wanted, author or "absent", named)
    moment = fields.get("date", "")
    expect.true("date", "AAAA-MM-JJ, celle de l'adaptation", moment or "absente", (day(moment) or WRITTEN) > WRITTEN)
    wanted, version = text(bench, "version"), fields.get("version", "")
    expect.true("version", wanted, version or "absente", version.lower().removeprefix("v").split()[:1] == [wanted])
    expect.all_of("paramètres", "tous", missing(fields.get("parametres", "")), len(PARAMETERS) + 1)


def fields_of(header: str) -> dict[str, str]:
    """Fields of a header, whatever marks its comments; the parameters go on until the next field, or until the code.

    >>> fields_of("#!/bin/sh\\n# Objet : essai\\n# Paramètres\\u00a0:\\n#   JOURNAL\\n#   --aide\\n# Auteur : Zoé")
    {'objet': 'essai', 'parametres': 'JOURNAL --aide', 'auteur': 'Zoé'}
    """
    found: dict[str, str] = {}
    name = ""
    for line, comment in _comments(header):
        words = line.strip().strip("#*/\"'; \t").strip()
        label, colon, rest = words.replace("\u00a0", " ").replace("’", "'").partition(":")
        label = " ".join(plain(label).strip(" -*").split())
        if colon and label in FIELDS:
            name = label if label not in found else ""
            found.setdefault(label, rest.strip())
        elif not comment:
            name = ""
        elif name == "parametres":
            found[name] = f"{found[name]} {words}".strip()
    return found


def _comments(header: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each is of a comment or of a text of several lines; what only ends one is left out."""
    end: re.Pattern[str] | None = None
    for line in header.splitlines():
        comment = end is not None or bool(MARK.match(line))
        if end is None:
            for begins, ends in BLOCKS:
                if opened := begins.search(line):
                    comment = True
                    end = re.compile(ends.format(re.escape(opened[1])))
                    if end.search(line, opened.end()):
                        end = None
                    break
        elif end.search(line):
            alone, end = end.pattern.startswith("^"), None
            if alone:
                continue
        yield line, comment


def day(told: str) -> datetime.date | None:
    """The date that a text begins with."""
    try:
        return datetime.date.fromisoformat(told[:10]) if DAY.match(told) else None
    except ValueError:
        return None


def plain(words: str) -> str:
    """Without accents or capitals.

    >>> plain("Éloïse")
    'eloise'
    """
    return "".join(one for one in unicodedata.normalize("NFD", words) if not unicodedata.combining(one)).casefold()


def _header(login: Login, expect: Expect) -> str:
    """The first lines of the script; the check stops when there is none."""
    told = str(login("srv").run(READ, SCRIPT, SCRIPT).stdout)
    expect.require(expect.equal(SCRIPT, "présent", "présent" if told.startswith("present\n") else "absent"))
    return told.partition("\n")[2]
