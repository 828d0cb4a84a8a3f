"""When each check is measured: as the candidate left the bench, or again after a reboot."""

from __future__ import annotations

import importlib

from labs.paths import GRADERS


def phases_of_checks() -> dict[str, str]:
    """`live` or `reboot` for every check under graders/, by its id."""
    from graders.check import spec_of

    found = {}
    for path in sorted(GRADERS.glob("cp*/check_*.py")):
        module = importlib.import_module(f"graders.{path.parent.name}.{path.stem}")
        for spec in filter(None, map(spec_of, vars(module).values())):
            found[spec.id] = str(spec.phase)
    return found
