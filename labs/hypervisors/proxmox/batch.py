"""Changes of the whole cluster that several threads ask for at once, carried out together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from labs.errors import PlateauError

T = TypeVar("T")


@dataclass
class _Wish(Generic[T]):
    item: T
    done: threading.Event = field(default_factory=threading.Event)
    problem: PlateauError | None = None


class Batch(Generic[T]):
    """`work` gets everything that was asked for since it began last; who asks returns when it was done."""

    def __init__(self, work: Callable[[list[T]], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._wishes: list[_Wish[T]] = []
        self._busy = False

    def submit(self, item: T) -> None:
        """Have `item` done. Raises the PlateauError that its batch ended with."""
        wish = _Wish(item)
        with self._lock:
            self._wishes.append(wish)
            leads, self._busy = not self._busy, True
        if leads:
            self._carry_out()
        wish.done.wait()
        if wish.problem is not None:
            raise wish.problem

    def _carry_out(self) -> None:
        while True:
            with self._lock:
                wishes, self._wishes = self._wishes, []
                if not wishes:
                    self._busy = False
                    return
            try:
                self._work([wish.item for wish in wishes])
            except PlateauError as problem:
                for wish in wishes:
                    wish.problem = problem
            finally:
                for wish in wishes:
                    wish.done.set()
