"""Passwords that a lab names and does not hold: they come from the environment."""

from __future__ import annotations

import os

from labs.errors import EnvironmentLackError


def secret(variable: str, what: str) -> str:
    """The value of an environment variable. Raises EnvironmentLackError that says what it must hold."""
    value = os.environ.get(variable, "")
    if not value:
        raise EnvironmentLackError(f"{variable} is not set; it must hold the password of {what}")
    return value
