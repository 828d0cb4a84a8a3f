"""The zip that is sent to the probe: this package and a __main__."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

MAIN = "from probes.agent import main\n\nmain()\n"


def build() -> bytes:
    """The same bytes for the same sources.

    >>> build()[:2]
    b'PK'
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
        for path in sorted(Path(__file__).parent.glob("*.py")):
            if path.name != "bundle.py":
                archive.writestr(zipfile.ZipInfo(f"probes/{path.name}"), path.read_bytes())
    return buffer.getvalue()
