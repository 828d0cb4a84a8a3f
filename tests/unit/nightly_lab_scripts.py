"""Every mistake of the lab `scripts` on a machine made of this one; `nox -s tests` tries a fifth of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.layered_machine import LayeredMachine
from tests.unit.test_lab_scripts import MUTANTS, machine, tried

__all__ = ["machine"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.id)
def test_every_mistake_turns_its_checks_red_and_no_other(mutant: Any, machine: LayeredMachine) -> None:
    tried(mutant, machine)
