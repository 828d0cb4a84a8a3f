"""Where things live: the project's own data, the cache (rebuildable) and the state (running machines)."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "labs" / "catalogue"
COMMON = CATALOGUE / "common"
"""Templates of files that several labs put on their machines."""
PLAYBOOKS = ROOT / "playbooks"
GRADERS = ROOT / "graders"
INVENTORIES = ROOT / "inventories"


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    base = Path(value) if value.startswith("/") else Path.home() / fallback
    return base / "plateau"


def cache_dir() -> Path:
    """Images and templates: may be deleted at any time while no bench runs (XDG Base Directory)."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """Virtual machines of the embedded hypervisor: the truth about what runs (XDG Base Directory)."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def centre_key() -> Path:
    """The centre's private signing key, beside its public half (XDG Base Directory)."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "centre.key"
