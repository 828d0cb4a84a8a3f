"""The report's sentences, from messages.yaml, in French or English."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from graders.report.text import number, typo

LANGUAGES = ("fr", "en")


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Every message, by language then key."""
    text = (Path(__file__).parent / "messages.yaml").read_text(encoding="utf-8")
    return cast("dict[str, dict[str, Any]]", YAML(typ="safe", pure=True).load(text))


class Messages:
    """Messages in one language. Raises ValueError for a language that the catalogue does not have."""

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"no report in {lang!r}; there are: {', '.join(LANGUAGES)}")
        self.lang = lang
        self._texts = {
            key: {form: typo(str(text), lang) for form, text in value.items()}
            if isinstance(value, dict)
            else typo(str(value), lang)
            for key, value in catalogue()[lang].items()
        }

    def __call__(self, key: str, **values: object) -> str:
        """A message with its values put in."""
        text = self._texts[key]
        assert isinstance(text, str), f"{key} is chosen by a number: use count()"
        return text.format(**values) if values else text

    def count(self, key: str, n: float, **values: object) -> str:
        """A message chosen by a number, shown as `n`."""
        forms = self._texts[key]
        assert isinstance(forms, dict), f"{key} has no plural"
        one = abs(n) < 2 if self.lang == "fr" else n == 1
        return str(forms["one" if one else "other"]).format(n=number(n, self.lang), **values)

    def pick(self, texts: dict[str, str], fallback: str) -> str:
        """A wording from data that carries its own languages."""
        return texts.get(self.lang) or texts.get("fr") or texts.get("en") or fallback
