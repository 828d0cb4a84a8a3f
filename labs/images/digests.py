"""What an image is made from, as a digest: equal digests mean the same image, whatever mirror it came from."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel

from labs.images import boot
from labs.images.model import Base, Depot, Role

BUILDER_VERSION = 1
"""Raise it when the builder's code makes something else of the same data."""


def base_digest(base: Base, release: str) -> str:
    recipe = [boot.INIT, *boot.KERNEL_MODULES]
    return _digest("base", release, recipe, [base.model_copy(update={"finish": ()})])


def role_digest(base: Base, role: Role, release: str) -> str:
    recipe = [boot.INIT, boot.GRUB_CFG, boot.GRUB_EARLY, *boot.KERNEL_MODULES, *boot.GRUB_MODULES]
    if role.kernel is not None:
        recipe += boot.OWN_KERNEL_MODULES
    return _digest("role", release, recipe, [base, role])


def depot_digest(base: Base, depot: Depot, release: str) -> str:
    """The depot holds what the base tree's packages lack, so it depends on their list and not on its files."""
    return _digest("depot", release, base.package_names(release), [depot])


def _digest(kind: str, release: str, recipe: list[str], data: list[BaseModel]) -> str:
    content = [
        BUILDER_VERSION,
        kind,
        release,
        recipe,
        [model.model_dump(mode="json", exclude_none=True) for model in data],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
