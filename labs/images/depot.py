"""The package depot: what a candidate may install, with every dependency the base tree lacks, on a disk of its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from labs.images import host
from labs.images.boot import DEPOT_LABEL
from labs.images.model import DATA, FileEntry
from labs.images.stage import Log, Stage

_FOLDER = "/plateau-depot"

_CLOSURE = "/plateau-closure.py"


def build(stage: Stage, base: Path, packages: Sequence[str], folder: Path, log: Log) -> int:
    """Write `folder`/depot.img and return how many packages it holds."""
    what = "depot: packages"
    program = FileEntry(path=_CLOSURE, content=(DATA / "closure.py").read_text(encoding="utf-8"))
    script = [
        f"mkdir {_FOLDER}",
        f"python3 {_CLOSURE} {shlex.join(packages)} > /plateau-closure",
        f"cd {_FOLDER}",
        "apt-get -qq download $(cat /plateau-closure)",
    ]
    debs = folder / "debs"
    debs.mkdir()
    hooks = [*stage.files_hooks("depot", [program], script), f"sync-out {_FOLDER} {shlex.quote(str(debs))}"]
    stage.extend(base, None, what, hooks)
    count = len(list(debs.glob("*.deb")))
    _index(debs, log)
    _pack(debs, folder / "depot.img", log)
    return count


def _index(debs: Path, log: Log) -> None:
    what = "depot: index"
    for name, command in (("Packages", "packages"), ("Release", "release")):
        part = debs / f".{name}"
        with part.open("wb") as out:
            log.run(["apt-ftparchive", command, "."], what, stdout=out, cwd=debs)
        part.rename(debs / name)


def _pack(debs: Path, image: Path, log: Log) -> None:
    debs.chmod(0o755)
    size = sum((file.stat().st_size + 4095) // 4096 * 4096 for file in debs.iterdir())
    blocks = int(size * 1.01) // 4096 + 2048
    log.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(debs), "-L", DEPOT_LABEL, "-m", "0", "-b", "4096", "-N", "4096",
         "-O", "^has_journal,^metadata_csum_seed,^orphan_file,^resize_inode",
         "-E", "root_owner=0:0,lazy_itable_init=0", str(image), str(blocks)],
        "depot: disk", env={"PATH": host.environment()["PATH"]},
    )  # fmt: skip
