"""The antivirus of `srv` out of order for a moment, whatever runs it, and back in order."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from graders.probe_client import ProbeError
from labs.deadline import Deadline

if TYPE_CHECKING:
    from testinfra.backend.base import CommandResult

    from graders.login import Login

SCANNERS = ("clamd", "c-icap")
"""Daemons that look into files, from the inside out: a proxy's filter asks the second one, which may ask the first."""
# The service of each process of that name, what would start it again, and the services that systemd stops along with it
# and would leave so.
UNITS = """
for pid in $(pidof %s); do sed -n 's|.*/\\([^/]*\\.service\\)$|\\1|p' /proc/$pid/cgroup; done | sort -u |
  while read -r unit; do
    echo "$unit"
    for other in $(systemctl show -p TriggeredBy -p RequiredBy -p BoundBy -p ConsistsOf --value "$unit"); do
      case $other in *.target) ;; *) systemctl is-active -q "$other" && echo "$other" ;; esac
    done
  done
true
"""
ALL_ACTIVE = "for unit in {units}; do systemctl is-active -q $unit || exit 1; done"
LISTENS = "ss -Hlnxtp | grep -qF '(\"%s\",'"
START_SECONDS = 90.0
Undo = Callable[[str, Callable[[], object]], None]


class Outage:
    """The services of srv that run the daemon `name`, with what starts them and what stops with them; empty when none
    does."""

    def __init__(self, login: Login, name: str) -> None:
        self._login, self.name = login, name
        found = set(login("srv").check_output(UNITS, name).split())
        self._units = sorted(found, key=lambda one: (one.endswith(".service"), one))

    def __bool__(self) -> bool:
        return bool(self._units)

    def begin(self, undo: Undo) -> None:
        """Stop them; should the check end here, `undo` starts them again. Raises ProbeError when they go on."""
        undo(f"arrêt de {self.name} sur srv", lambda: self._systemctl("start --no-block"))
        self._systemctl("stop")
        if self._login("srv").run("pidof %s", self.name).rc == 0:
            raise ProbeError(f"{self.name} could not be stopped on srv")

    def end(self) -> None:
        """Start them, and wait until all are active and the daemon listens. Raises ProbeError when it does not."""
        self._systemctl("start --no-block")
        active = ALL_ACTIVE.format(units=shlex.join(self._units))
        for _ in Deadline.after(START_SECONDS).ticks(2.0):
            if self._login("srv").run(LISTENS % self.name).rc == 0 and self._login("srv").run(active).rc == 0:
                return
        raise ProbeError(f"{self.name} does not listen on srv after it was started again")

    def _systemctl(self, verb: str) -> CommandResult:
        return self._login("srv").run(f"timeout 18 systemctl {verb} {shlex.join(self._units)}")
