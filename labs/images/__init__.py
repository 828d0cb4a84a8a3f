"""Role images of the embedded hypervisor: Debian disks built here from data, cached by content."""

from labs.images.boot import DEPOT_LABEL, KERNEL_CMDLINE
from labs.images.build import build
from labs.images.model import DEFAULT_RELEASE, RELEASES, can_build, role_names
from labs.images.store import RoleImage, find, find_base, find_depot, list_images

__all__ = [
    "DEFAULT_RELEASE",
    "DEPOT_LABEL",
    "KERNEL_CMDLINE",
    "RELEASES",
    "RoleImage",
    "build",
    "can_build",
    "find",
    "find_base",
    "find_depot",
    "list_images",
    "role_names",
]
