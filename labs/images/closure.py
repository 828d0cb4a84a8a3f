"""Runs inside the base tree, with its Python: print NAME=VERSION of all that the packages named need and it lacks."""

from __future__ import annotations

import sys

import apt  # type: ignore[import-not-found]
import apt_pkg  # type: ignore[import-not-found]


def main(names: list[str]) -> int:
    """Each package on its own, since those of the depot conflict with one another."""
    apt_pkg.config.set("APT::Install-Recommends", "false")
    cache = apt.Cache()
    wanted: set[str] = set()
    missing: list[str] = []
    for name in names:
        cache.clear()
        package = cache.get(name)
        if package is None or package.candidate is None:
            missing.append(name)
            continue
        wanted.add(f"{name}={package.candidate.version}")
        if not package.is_installed:
            package.mark_install()
        changes = [change for change in cache.get_changes() if change.marked_install or change.marked_upgrade]
        wanted.update(f"{change.name}={change.candidate.version}" for change in changes)
    if missing:
        sys.stderr.write(f"E: not in this release: {' '.join(missing)}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in sorted(wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
