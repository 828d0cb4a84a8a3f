"""The QEMU Machine Protocol: commands to one QEMU process (qemu-qmp-ref(7))."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from labs.deadline import Deadline
from labs.errors import HypervisorError
from labs.hypervisors.qemu import sockets


class Qmp:
    """A connection to the monitor of one virtual machine.

    with Qmp(folder / "qmp.sock", Deadline.after(5)) as qmp:
        qmp.command("query-status")["running"]
    """

    def __init__(self, path: Path, deadline: Deadline) -> None:
        self._path = path
        self._deadline = deadline
        self.happened: set[str] = set()
        """Names of the events that were read so far."""
        try:
            self._stream = sockets.connect(path, max(0.05, deadline.remaining))
        except OSError as problem:
            raise HypervisorError(f"{path.parent.name}: its QEMU does not answer ({problem.strerror})") from None
        self._lines = self._stream.makefile("rb")
        try:
            self._read()
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._stream.close()

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Execute one command and return its answer. Raises HypervisorError with QEMU's own words."""
        message: dict[str, Any] = {"execute": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            self._stream.sendall(json.dumps(message).encode() + b"\n")
        except OSError as problem:
            raise HypervisorError(f"{self._path.parent.name}: {name}: QEMU is gone ({problem})") from None
        while True:
            answer = self._read()
            if "error" in answer:
                raise HypervisorError(f"{self._path.parent.name}: {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def run_job(self, name: str, /, **arguments: Any) -> None:
        """Start a job command and wait until it concluded. Raises HypervisorError when it failed."""
        job = f"plateau-{name}"
        self.command(name, job_id=job, **arguments)
        try:
            self._deadline.poll(lambda: self._concluded(job), f"{self._path.parent.name}: {name}", interval=0.02)
        finally:
            self.command("job-dismiss", id=job)

    def _concluded(self, job: str) -> bool | None:
        for one in self.command("query-jobs"):
            if one["id"] == job and one["status"] == "concluded":
                if "error" in one:
                    raise HypervisorError(f"{self._path.parent.name}: {one['type']}: {one['error']}")
                return True
        return None

    def _read(self) -> dict[str, Any]:
        self._stream.settimeout(max(0.05, self._deadline.remaining))
        try:
            line = self._lines.readline()
        except OSError as problem:
            raise HypervisorError(f"{self._path.parent.name}: QEMU's monitor gave no answer ({problem})") from None
        if not line:
            raise HypervisorError(f"{self._path.parent.name}: QEMU ended while it was asked")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:  # cut: it ended while it spoke
            raise HypervisorError(f"{self._path.parent.name}: QEMU ended while it answered") from None
        if "event" in answer:
            self.happened.add(str(answer["event"]))
        return answer
