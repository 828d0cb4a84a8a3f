"""One run of mmdebstrap: a tree of files goes in or is made, packages and files are added, a tar comes out."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labs.errors import PlateauError
from labs.images import host
from labs.images.model import FileEntry

STAGE_SECONDS = 1800.0
_INSTALL = "DEBIAN_FRONTEND=noninteractive INITRD=No apt-get --yes -o Dpkg::Use-Pty=0 --no-install-recommends install"
_QUIET_APT = 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n'


class BuildFailedError(PlateauError):
    """A step of a build failed; the message names the log that was kept."""


@dataclass(frozen=True)
class Log:
    """Where a build writes what its programs say; kept when it fails."""

    path: Path

    def run(self, command: Sequence[str], what: str, *, stdout: IO[bytes] | None = None, cwd: Path | None = None,
            stdin: IO[bytes] | None = None, env: dict[str, str] | None = None) -> None:  # fmt: skip
        """Run a program to its end; raises BuildFailedError, naming `what`, when it does not succeed."""
        with self.path.open("ab") as log:
            log.write(f"\n$ {shlex.join(command)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                cwd=cwd,
                env=host.environment() | (env or {}),
            )
            try:
                status = process.wait(STAGE_SECONDS)
            except subprocess.TimeoutExpired:
                raise BuildFailedError(f"{what}: not done after {STAGE_SECONDS:.0f} s; log: {self.path}") from None
            finally:
                _end(process)
        if status != 0:
            raise BuildFailedError(f"{what}: failed{self._reason()}; log: {self.path}")

    def _reason(self) -> str:
        lines = self.path.read_text(errors="replace").splitlines()
        reasons = [line.strip() for line in lines[-80:] if line.startswith(("E: ", "mke2fs:", "qemu-img:"))]
        return f" ({reasons[0].removeprefix('E: ')})" if reasons else ""


@dataclass(frozen=True)
class Stage:
    """The inputs of one mmdebstrap run. `work` is a folder of its own that every user may write in."""

    release: str
    sources: Sequence[str]
    work: Path
    log: Log
    path_filters: Sequence[str]

    def make(self, packages: Sequence[str], out: Path, what: str, hooks: Sequence[str]) -> None:
        """Make a new tree of Debian's required packages and `packages`, then run the hooks."""
        self._run(["--variant=minbase", f"--include={','.join(packages)}"], out, what, hooks)

    def extend(self, base: Path, out: Path | None, what: str, hooks: Sequence[str]) -> None:
        """Unpack the tree of `base` and run the hooks in it; no tree comes out when `out` is None."""
        arguments = ["--variant=custom", "--skip=update", f"--setup-hook=tar-in {shlex.quote(str(base))} /"]
        self._run(arguments, out, what, hooks)

    def files_hooks(self, name: str, files: Sequence[FileEntry], script: Sequence[str]) -> list[str]:
        """Hooks that put `files` into the tree, then run the lines of `script` in it, stopping at the first failure."""
        archive, shell = self.work / f"files-{name}.tar", "plateau-stage.sh"
        content = "#!/bin/sh\nset -eu\nexport DEBIAN_FRONTEND=noninteractive INITRD=No\nset -x\n"
        content += "".join(f"{line}\n" for line in script)
        archive.write_bytes(files_tar([*files, FileEntry(path=f"/{shell}", content=content, mode="0755")]))
        archive.chmod(0o644)
        return [f"tar-in {shlex.quote(str(archive))} /", f'chroot "$1" /bin/sh /{shell}', f'rm "$1/{shell}"']

    def _run(self, arguments: Sequence[str], out: Path | None, what: str, hooks: Sequence[str]) -> None:
        options = self.work / "apt.conf"
        options.write_text(_QUIET_APT + host.apt_acquire_options())
        options.chmod(0o644)
        # Its own cleaning of apt would clean this machine's apt, were its configuration gone from the tree's /tmp.
        skip = "--skip=output/dev,cleanup/apt,cleanup/reproducible,check/qemu"
        hooks = [*hooks, 'rm -f "$1"/var/cache/apt/archives/*.deb']
        command = ["mmdebstrap", f"--mode={host.mode()}", "--format=tar", skip, f"--aptopt={options}"]
        command += [f"--dpkgopt={option}" for option in ("force-unsafe-io", "force-confold", *self.path_filters)]
        command += [*arguments, *(f"--customize-hook={hook}" for hook in hooks)]
        env = {"TMPDIR": str(self.work), "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"}
        if out is None:
            command[2] = "--format=null"
            self.log.run([*command, self.release, "-", *self.sources], what, env=env)
            return
        with out.open("wb") as tree:
            self.log.run([*command, self.release, "-", *self.sources], what, stdout=tree, env=env)


def install_lines(packages: Sequence[str]) -> list[str]:
    """Script lines that install `packages` in the tree."""
    return [f"{_INSTALL} {shlex.join(packages)}"] if packages else []


def files_tar(files: Sequence[FileEntry]) -> bytes:
    """A tar of `files`, owned by root, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        seen: set[str] = set()
        for file in files:
            for parent in list(Path(file.path.lstrip("/")).parents)[-2::-1]:
                if str(parent) not in seen:
                    seen.add(str(parent))
                    folder = tarfile.TarInfo(str(parent))
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(folder)
            data = file.content.encode()
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode = len(data), int(file.mode, 8)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
