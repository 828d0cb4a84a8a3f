"""A lab's topology as a drawing (SVG) and as text: segments are bars, machines are boxes plugged into them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Literal

from labs.models.lab import Lab, Node

Language = Literal["fr", "en"]
Addresses = Mapping[tuple[str, str], str]
"""(node, segment) -> address, for those that are known."""

GUTTER, COLUMN, MARGIN, BOX_WIDTH, BOX_HEIGHT, BAND, TOP = 150, 216, 16, 196, 58, 150, 24
WORDS = {
    "fr": {"centre": "centre", "desc": "{node} ({title}) : {cards}.", "on": "{card} sur {segment}{address}"},
    "en": {"centre": "centre", "desc": "{node} ({title}): {cards}.", "on": "{card} on {segment}{address}"},
}


def text(lab: Lab, language: Language = "fr", addresses: Addresses | None = None) -> str:
    """The topology for a terminal: under each segment, the machines plugged into it."""
    known = addresses or {}
    width = max(len(node.name) for node in lab.nodes)
    lines = []
    for segment in lab.segments:
        lines.append(f"{segment.name}  {segment.title[language]}")
        plugs = [(node, card) for node in lab.nodes for card, name in _plugs(node) if name == segment.name]
        for index, (node, card) in enumerate(plugs):
            branch = "└─" if index == len(plugs) - 1 else "├─"
            owner = f"  ({WORDS[language]['centre']})" if node.owner == "grader" else ""
            address = known.get((node.name, segment.name), "")
            lines.append(f"  {branch} {node.name:<{width}}  {card:<5} {address}{owner}".rstrip())
    return "\n".join(lines)


def svg(lab: Lab, language: Language = "fr", addresses: Addresses | None = None) -> str:
    """The topology as an accessible SVG drawing, without script, style sheet or outside reference."""
    known = addresses or {}
    order = [segment.name for segment in lab.segments]
    width = 2 * MARGIN + GUTTER + COLUMN * len(lab.nodes)
    last_has_box = any(_row(node, order) == len(order) - 1 for node in lab.nodes)
    height = TOP + BAND * (len(order) - 1) + (BAND - 20 if last_has_box else 56)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="topology-title topology-desc" font-family="system-ui, Arial, sans-serif" font-size="13">',
        f'<title id="topology-title">{_escaped(lab.title[language])}</title>',
        f'<desc id="topology-desc">{_escaped(describe(lab, language, known))}</desc>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for index, segment in enumerate(lab.segments):
        y = TOP + BAND * index
        left = MARGIN + GUTTER
        parts.append(f'<rect x="{left}" y="{y}" width="{width - MARGIN - left}" height="8" rx="4" fill="#2f6ea5"/>')
        parts.append(f'<text x="{MARGIN}" y="{y + 9}" font-weight="700" fill="#12395f">{_escaped(segment.name)}</text>')
        for line, words in enumerate(_wrapped(segment.title[language], 22)):
            parts.append(f'<text x="{MARGIN}" y="{y + 25 + 15 * line}" font-size="11.5">{_escaped(words)}</text>')
    for column, node in enumerate(lab.nodes):
        parts += _machine(node, column, order, language, known)
    return "\n".join([*parts, "</svg>"])


def describe(lab: Lab, language: Language, addresses: Addresses) -> str:
    """The drawing in words, for a reader who does not see it."""
    words = WORDS[language]
    sentences = []
    for node in lab.nodes:
        cards = ", ".join(
            words["on"].format(card=card, segment=name, address=_suffix(addresses.get((node.name, name))))
            for card, name in _plugs(node)
        )
        sentences.append(words["desc"].format(node=node.name, title=node.title[language], cards=cards))
    return " ".join(sentences)


def _machine(node: Node, column: int, order: list[str], language: Language, addresses: Addresses) -> list[str]:
    row = _row(node, order)
    left = MARGIN + GUTTER + COLUMN * column + (COLUMN - BOX_WIDTH) // 2
    top = TOP + BAND * row + 52
    plugs = sorted(_plugs(node), key=lambda plug: -order.index(plug[1]))  # the longest cable to the left of the labels
    parts = []
    for position, (card, segment) in enumerate(plugs):
        x = left + 16 + 24 * position
        bar = TOP + BAND * order.index(segment)
        above = order.index(segment) <= row
        start, end = (bar + 8, top) if above else (top + BOX_HEIGHT, bar)
        parts.append(f'<line x1="{x}" y1="{start}" x2="{x}" y2="{end}" stroke="#5b7083" stroke-width="2"/>')
        parts.append(f'<circle cx="{x}" cy="{bar + 4}" r="5" fill="#ffffff" stroke="#12395f" stroke-width="2"/>')
        label = " ".join(filter(None, (card, addresses.get((node.name, segment)))))
        y = bar + 28 if above else bar - 26
        parts.append(f'<text x="{x + 8}" y="{y}" font-size="12" fill="#1c2733">{_escaped(label)}</text>')
    grader = node.owner == "grader"
    look = 'fill="#f4f4f4" stroke="#777777" stroke-dasharray="5 3"' if grader else 'fill="#eaf3fb" stroke="#2f6ea5"'
    parts.append(
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" {look} stroke-width="2"/>'
    )
    owner = f" ({WORDS[language]['centre']})" if grader else ""
    parts.append(
        f'<text x="{left + 10}" y="{top + 19}" font-weight="700" fill="#12395f">{_escaped(node.name + owner)}</text>'
    )
    for line, words in enumerate(_wrapped(node.title[language], 29)):
        parts.append(
            f'<text x="{left + 10}" y="{top + 35 + 15 * line}" font-size="11.5" fill="#1c2733">{_escaped(words)}</text>'
        )
    return parts


def _row(node: Node, order: list[str]) -> int:
    """The bar under which the machine is drawn: the first of those it is plugged into."""
    return min(order.index(segment) for _, segment in _plugs(node))


def _plugs(node: Node) -> list[tuple[str, str]]:
    """(card, segment) of each connection; a trunk is one card on several segments."""
    plugs = []
    for index, nic in enumerate(node.nics, start=1):
        names = [nic.segment] if nic.segment else list((nic.trunk or {}).values())
        plugs += [(f"eth{index}", name) for name in names if name]
    return plugs


def _wrapped(words: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(words, width, max_lines=2, placeholder=" …")


def _suffix(address: str | None) -> str:
    return f" ({address})" if address else ""


def _escaped(words: str) -> str:
    return html.escape(words, quote=True)
