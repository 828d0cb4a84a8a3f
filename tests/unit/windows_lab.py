"""A bench with Windows machines, and how to read what is put into programs for them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.unit.lab_data import bench_of

LAB = "annuaire-windows"
BENCH = bench_of(LAB, 0)


def data_of(program: str) -> Any:
    """What was put into a program as data."""
    match = re.search(r"FromBase64String\('([^']*)'\)", program)
    assert match
    text = base64.b64decode(match[1]).decode()
    return json.loads(text) if text.startswith("{") else text
