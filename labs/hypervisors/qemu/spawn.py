"""Start QEMU in the background; what it says when it refuses becomes one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError, HypervisorError


def spawn(arguments: list[str], folder: Path, deadline: Deadline) -> None:
    """Run QEMU in `folder` and return when its monitor listens. Raises HypervisorError with its last words."""
    for stale in folder.glob("*.sock"):
        stale.unlink()
    try:
        result = subprocess.run(
            [*arguments, "-daemonize"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(1.0, deadline.remaining),
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise EnvironmentLackError("qemu-system-x86_64 is not installed; run ./bootstrap, or plateau doctor") from None
    except subprocess.TimeoutExpired:
        raise HypervisorError(f"{folder.name}: QEMU did not come up in time") from None
    if result.returncode:
        words = result.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = words[-1].removeprefix("qemu-system-x86_64: ") if words else f"exit status {result.returncode}"
        raise HypervisorError(f"{folder.name}: QEMU did not start: {reason}")
