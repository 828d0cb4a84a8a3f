"""Disk images of machines, by qemu-img(1)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from labs.errors import HypervisorError


def create_overlay(disk: Path, backing: Path) -> None:
    """A copy-on-write disk over `backing`. Raises HypervisorError with qemu-img's words."""
    _run(disk, "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", "qcow2", str(disk))


def snapshots(disk: Path) -> list[str]:
    """Names of the snapshots in the disk of a stopped machine. Raises HypervisorError with qemu-img's words."""
    found = json.loads(_run(disk, "info", "--output=json", "-f", "qcow2", str(disk)))
    return [str(snapshot["name"]) for snapshot in found.get("snapshots", [])]


def _run(disk: Path, *arguments: str) -> str:
    result = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        words = result.stderr.strip().splitlines() or ["no message"]
        raise HypervisorError(f"{disk.parent.name}: qemu-img: {words[-1]}")
    return result.stdout
