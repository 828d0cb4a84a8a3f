"""Markdown to one self-contained HTML page, printable on A4; raw HTML in the text is shown, never interpreted."""

from __future__ import annotations

import html
import re

STYLE = """
@page { size: A4; margin: 16mm 15mm 18mm; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 52rem; color: #1c2733; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .6rem; color: #12395f; }
h2 { font-size: 1.25rem; margin: 1.8rem 0 .5rem; padding-bottom: .2rem; color: #12395f;
  border-bottom: 2px solid #d5e0ea; }
h3 { font-size: 1.05rem; margin: 1.3rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92em; }
th, td { border: 1px solid #c3cfda; padding: .3rem .5rem; text-align: left; vertical-align: top; }
th { background: #eef3f8; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Consolas, monospace; background: #eef3f8; padding: 0 .2em;
  border-radius: 3px; overflow-wrap: anywhere; }
pre { background: #eef3f8; padding: .7rem; overflow-x: auto; }
pre code { background: none; padding: 0; }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; }
@media print {
  body { font-size: 10.5pt; padding: 0; max-width: none; }
  h2, h3 { break-after: avoid; }
  table, figure, pre, li { break-inside: avoid; }
  th, code, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
NO_BREAK, THIN_NO_BREAK = "\u00a0", "\u202f"
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def page(markdown: str, language: str, figures: dict[str, str] | None = None) -> str:
    """The page; a paragraph that is exactly a key of `figures` becomes that (trusted) SVG."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for key, svg in (figures or {}).items():
        body = body.replace(f"<p>{key}</p>", f"<figure>{svg}</figure>")
    title = next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "Plateau")
    return (
        f'<!doctype html>\n<html lang="{html.escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def french(markdown: str) -> str:
    """Put French typography in place of plain typing: no-break spaces and apostrophes; code is left alone.

    >>> french("Durée : l'an « vu » !") == "Durée\\u00a0: l’an «\\u00a0vu\\u00a0»\\u202f!"
    True
    """
    parts = CODE.split(markdown)
    return "".join(part if index % 2 else _spaced(part) for index, part in enumerate(parts))


def escape(text: str) -> str:
    r"""A plain text as Markdown that shows exactly it, also inside a table.

    >>> escape("a|b *c*")
    'a\\|b \\*c\\*'
    """
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", " ".join(text.split()))


def _spaced(text: str) -> str:
    text = re.sub(r" (?=[;!?](?:\s|$))", THIN_NO_BREAK, text)
    text = re.sub(r" (?=:(?:\s|$))", NO_BREAK, text)
    text = re.sub(r"(?<=\d) (?=(?:h|min|heures|secondes|points)\b)", NO_BREAK, text)
    text = re.sub(r"(?<=\w)'(?=\w)", "’", text)
    return text.replace("« ", f"«{NO_BREAK}").replace(" »", f"{NO_BREAK}»")
