"""The examples for CI prove every lab that can be proven without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labs.models.lab import lab_names, load_lab
from labs.models.loader import read_yaml
from labs.paths import ROOT

PROVABLE = [name for name in lab_names() if not load_lab(name).templates]


def of_github(jobs: Any) -> list[str]:
    return list(jobs["jobs"]["proof"]["strategy"]["matrix"]["lab"])


def of_gitlab(jobs: Any) -> list[str]:
    return [lab for one in jobs["proof"]["parallel"]["matrix"] for lab in one["LAB"]]


@pytest.mark.parametrize(("path", "labs_of"), [(".github/workflows/ci.yml", of_github), (".gitlab-ci.yml", of_gitlab)])
def test_every_lab_is_proven_each_night(path: str, labs_of: Any) -> None:
    assert labs_of(read_yaml(Path(ROOT / path))) == PROVABLE
