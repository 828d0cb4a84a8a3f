"""Copies: tokens and names of one candidate's variant that were seen on another's machines. Pure.

Only a sign, told to the trainer: it gives no verdict and appears in no document of a candidate.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graders.records import Run
from graders.report.text import flatten

SHORTEST = 6
"""Characters of a value that is looked for: shorter ones occur by chance."""
NUMBERS = re.compile(r"[\d\s.,:/-]*")


@dataclass(frozen=True)
class Likeness:
    """A value of `owner`'s variant, seen at `candidate`'s."""

    candidate: str
    owner: str
    name: str
    """The value's name in the lab, e.g. `jeton_web`."""
    value: str
    places: tuple[str, ...]
    """Where: `CP06-S2.a probe:lan`, or a file of the run's folder."""


def distinctive(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Candidate -> the texts that only their variant has: value -> its name. Addresses and numbers are left out."""
    texts = {who: {text: name for name, text in flatten(dict(mine)) if _tells(text)} for who, mine in values.items()}
    everything = {who: [text for _, text in flatten(dict(mine))] for who, mine in values.items()}
    return {
        who: {
            text: name
            for text, name in mine.items()
            if not any(text in other for one, others in everything.items() if one != who for other in others)
        }
        for who, mine in texts.items()
    }


def find(
    run: Run, values: Mapping[str, Mapping[str, Any]], files: Mapping[str, Iterable[tuple[str, str]]]
) -> list[Likeness]:
    """The likenesses, by candidate; `files` maps a candidate to (name, text) of what else was collected from them."""
    owned = distinctive(values)
    seen: dict[tuple[str, str, str], list[str]] = {}
    for candidate in values:
        others = {text: (who, name) for who, mine in owned.items() if who != candidate for text, name in mine.items()}
        for place, text in [*_measured(run, candidate), *files.get(candidate, ())]:
            for value, (who, _name) in others.items():
                if value in text and _whole(value, text):
                    places = seen.setdefault((candidate, who, value), [])
                    if place not in places:
                        places.append(place)
    return [
        Likeness(candidate, who, owned[who][value], value, tuple(places))
        for (candidate, who, value), places in sorted(seen.items())
    ]


def _measured(run: Run, candidate: str) -> list[tuple[str, str]]:
    found = []
    for record in run.records:
        if record.candidate == candidate:
            found += [(f"{record.check} {one.source}", one.output) for one in record.evidence]
            found += [(record.check, one.observed) for one in record.comparisons]
    return found


def _tells(text: str) -> bool:
    if len(text) < SHORTEST or NUMBERS.fullmatch(text):
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return True
    return False


def _whole(value: str, text: str) -> bool:
    """Whether the value stands there as a word of its own, not inside a longer one."""
    return re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", text) is not None
