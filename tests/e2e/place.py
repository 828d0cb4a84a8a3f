"""Where an end-to-end test works: a session, and `plateau` run on it as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs.hypervisors import open_hypervisor
from labs.hypervisors.qemu import processes
from labs.models.profile import Profile
from labs.paths import CATALOGUE

CANDIDATE = "alex"
PLATEAU = [str(Path(sys.executable).with_name("plateau"))]
HERE = Path(__file__).parent
CHILD = [sys.executable, str(HERE / "child.py"), str(HERE / "catalogue")]
KILLED = [sys.executable, str(HERE / "child.py"), str(CATALOGUE)]
SESSION = """\
name: essai
title: Essai de bout en bout
lab: {lab}
{training}seed: essai-de-bout-en-bout
candidates:
  - {{id: {candidate}, name: Alex Martin}}
"""


@dataclass(frozen=True)
class Place:
    """A session file below `folder`, whose benches live below `folder` too."""

    folder: Path
    candidate: str

    def session(self, lab: str, training: str | None = None) -> Path:
        path = self.folder / "session" / "session.yaml"
        path.parent.mkdir(exist_ok=True)
        version = f"training: {training}\n" if training else ""
        path.write_text(SESSION.format(lab=lab, training=version, candidate=self.candidate), encoding="utf-8")
        return path

    def processes(self) -> dict[str, int]:
        """How many QEMUs and switches run here."""
        lines = processes.owned(self.folder / "state").values()
        return {
            "machines": sum(line.startswith("qemu-system-") for line in lines),
            "switches": sum("qemu.switch" in line for line in lines),
            "all": len(lines),
        }

    def left(self) -> list[str]:
        """Files and processes of benches that are still there."""
        root = self.folder / "state" / "plateau" / "qemu"
        files = [str(path) for path in root.glob("*/**/*")] if root.exists() else []
        return files + list(processes.owned(self.folder / "state").values())

    def nodes(self) -> list[Any]:
        return open_hypervisor(Profile()).list_nodes()


def run(command: list[str], *arguments: object, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its progress is shown when the test fails."""
    answer = subprocess.run(
        [*command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    print(f"$ plateau {' '.join(map(str, arguments))} -> {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer


def plateau(*arguments: object, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    """`plateau` as it is installed."""
    return run(PLATEAU, *arguments, seconds=seconds)


def minimal(*arguments: object, kill_after: int = 0, delay: float = 0.0) -> subprocess.CompletedProcess[str]:
    """`plateau` with the catalogue of the tests, killed after a write of its journal."""
    return run(CHILD, kill_after, delay, *arguments)


def killed(*arguments: object, after: int) -> None:
    """`plateau` with the product's catalogue, killed after a write of its journal."""
    assert run(KILLED, after, 0, *arguments).returncode == -9


def document(answer: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    """The JSON document that a command printed, and nothing else."""
    assert answer.returncode == status, answer.stderr
    return json.loads(answer.stdout)
