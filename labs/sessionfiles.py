"""What Plateau writes beside a session file: keys, inventory, journal, access sheets, results.

All of it is ignored by git; the journal, the inventory and the sheets can be rebuilt, the results cannot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SessionFiles:
    """Paths of one session; nothing is created until it is needed."""

    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def grader_key(self) -> Path:
        """Private SSH key of the grader, one per session."""
        return self.keys / "grader"

    def host_key(self, candidate: str, node: str) -> Path:
        """Private SSH host key of a node: made here, so that the first connection already knows it."""
        return self.keys / "hosts" / f"{candidate}.{node}"

    def public_host_key(self, candidate: str, node: str) -> Path:
        """The other half of `host_key`."""
        private = self.host_key(candidate, node)
        return private.with_name(f"{private.name}.pub")

    @property
    def known_hosts(self) -> Path:
        return self.keys / "known_hosts"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    @property
    def lock(self) -> Path:
        return self.folder / "session.lock"

    @property
    def inventory(self) -> Path:
        """Ansible inventory, usable by hand: `ansible -i <this> all -m ping`."""
        return self.folder / "hosts.yml"

    @property
    def version(self) -> Path:
        """Id of the training version that the benches were brought up for, empty for the whole lab."""
        return self.folder / "version"

    @property
    def access(self) -> Path:
        """Folder of the candidates' access sheets and subjects."""
        return self.folder / "access"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def marks(self) -> Path:
        """Folder of the people's marks, one form a candidate: written once, completed, never overwritten."""
        return self.folder / "marks"

    @property
    def contests(self) -> Path:
        """Folder of the contestations, with the evidence frozen for each."""
        return self.folder / "contests"


def ensure_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair at `path` unless it is there; return the public line."""
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return public.read_text().strip()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(public, f"{line} {comment}\n".encode(), mode=0o644)
    write_private(path, private)
    return public.read_text().strip()


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` atomically and durably; readable by its owner only unless `mode` says otherwise."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    temporary.replace(path)
