"""What the committed proofs say of a lab: `docs/validity/<lab>.json`, written by `plateau prove --write`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from labs.paths import ROOT

if TYPE_CHECKING:
    from labs.models.lab import Lab

FOLDER = ROOT / "docs" / "validity"


def proven_version(lab: str) -> str | None:
    """The version of a lab that its proof is of; None when there is none."""
    try:
        return str(json.loads((FOLDER / f"{lab}.json").read_text(encoding="utf-8"))["lab_version"])
    except (OSError, ValueError, KeyError):
        return None


def unproven(lab: Lab) -> str | None:
    """One line for who uses a lab that is younger than its proof; None when it is what was proven."""
    proven = proven_version(lab.name)
    if proven == lab.version:
        return None
    of_what = f"proven as {proven}" if proven else "not proven"
    return f"{lab.name} {lab.version}: {of_what}; what changed since is in docs/labs/{lab.name}.md and CHANGELOG.md"
