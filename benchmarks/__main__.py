"""Run a benchmark by its name: `python -m benchmarks NAME [options]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PARTS = {"__init__", "__main__", "comparisons", "controller", "measure"}
NAMES = sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("*.py") if path.stem not in PARTS)


def main() -> None:
    """Dispatch to the module of that name; `documents` is `bench-documents`."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    name = asked if asked in NAMES else f"bench-{asked}"
    if name not in NAMES:
        sys.exit(f"usage: nox -s bench -- NAME [options]; NAME is one of: {', '.join(NAMES)}")
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    module.main(sys.argv[2:])


main()
