"""VMIDs: one allocator for the own range. `nextid` reserves nothing: a clone that finds its number taken moves on."""

from __future__ import annotations

import threading

from labs.errors import EnvironmentLackError
from labs.hypervisors.proxmox.cluster import Snapshot
from labs.models.proxmox import Range


class Allocator:
    """Numbers given to the threads of this process; those of others are seen, or refused by the cluster."""

    def __init__(self, numbers: Range) -> None:
        self._numbers = numbers
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self, snapshot: Snapshot) -> int:
        """The lowest free number, from now on taken. Raises EnvironmentLackError when there is none."""
        return self._choose(snapshot, range(self._numbers.first, self._numbers.last + 1))

    def take_last(self, snapshot: Snapshot) -> int:
        """The highest free number: templates are numbered from the end."""
        return self._choose(snapshot, range(self._numbers.last, self._numbers.first - 1, -1))

    def give_back(self, number: int) -> None:
        """A machine of that number is gone."""
        with self._lock:
            self._taken.discard(number)

    def free(self, snapshot: Snapshot) -> int:
        """How many numbers are free, as far as the token can see."""
        return len(self._numbers) - sum(guest.vmid in self._numbers for guest in snapshot.guests)

    def _choose(self, snapshot: Snapshot, numbers: range) -> int:
        used = {guest.vmid for guest in snapshot.guests}
        with self._lock:
            for number in numbers:
                if number not in used and number not in self._taken:
                    self._taken.add(number)
                    return number
        raise EnvironmentLackError(
            f"no VMID of {self._numbers.first}-{self._numbers.last} is free; widen vmids of the profile"
        )
