"""Plateau turns a session file into running benches of real virtual machines."""

__version__ = "0.1.0"
