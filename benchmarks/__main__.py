"""Run a benchmark by its name: `python -m benchmarks NAME [options]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    """Dispatch to the module of that name."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: nox -s bench -- NAME [options]; NAME is one of: {', '.join(NAMES)}")
    module = importlib.import_module(f"benchmarks.{sys.argv[1].replace('-', '_')}")
    module.main(sys.argv[2:])


main()
