"""A bootable disk from a tree of files: partition, ext4 and GRUB written into a sparse file, no loop device."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from labs.images import host
from labs.images.boot import GRUB_EARLY, GRUB_MODULES, ROOT_LABEL
from labs.images.stage import Log

VIRTUAL_MB = 8192
_START_MB = 1
_SECTORS_PER_MB = 2048
_FEATURES = "^metadata_csum_seed,^orphan_file"  # GRUB 2.06 and 2.12 do not read file systems that have them

_SCRIPT = """\
set -eu
umask 022
mkdir root
tar -x --numeric-owner --xattrs --xattrs-include='*' -C root -f -
mkdir -p root/dev root/proc root/sys root/run
truncate -s {size}M disk.raw
echo '{start_sector},,83,*' | sfdisk -q --label dos disk.raw
mke2fs -q -F -t ext4 -d root -L {label} -O {features} -b 4096 -i 32768 -m 1 -e remount-ro -J size=32 \
  -E offset={offset},lazy_itable_init=0,assume_storage_prezeroed=1 disk.raw {blocks}
dd if={grub}/boot.img of=disk.raw bs=440 count=1 conv=notrunc status=none
dd if=core.img of=disk.raw bs=512 seek=1 conv=notrunc status=none
rm -rf root
"""


def build(tree: Path, work: Path, out: Path, log: Log, what: str) -> None:
    """Write the qcow2 `out` from the tar `tree`; `work` is a folder that every user may write in."""
    _grub_core(work, log, what)
    script = _SCRIPT.format(
        size=VIRTUAL_MB,
        start_sector=_START_MB * _SECTORS_PER_MB,
        label=ROOT_LABEL,
        features=_FEATURES,
        offset=_START_MB << 20,
        blocks=(VIRTUAL_MB - _START_MB) * 256,  # of 4 KiB
        grub=shlex.quote(str(host.GRUB_DIR)),
    )
    with tree.open("rb") as archive:
        log.run(host.as_root("sh", "-c", script), what, stdin=archive, cwd=work)
    raw = work / "disk.raw"
    log.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", "-m", "4", str(raw), str(out)], what)
    subprocess.run(host.as_root("rm", "-f", str(raw)), env=host.environment(), check=False)


def _grub_core(work: Path, log: Log, what: str) -> None:
    early, core = work / "grub-early.cfg", work / "core.img"
    early.write_text(GRUB_EARLY)
    log.run(
        ["grub-mkimage", "-O", "i386-pc", "-d", str(host.GRUB_DIR), "-p", "/boot/grub", "-c", str(early),
         "-o", str(core), *GRUB_MODULES],
        what,
    )  # fmt: skip
    core.chmod(0o644)
