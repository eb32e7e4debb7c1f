"""The memory that frames on their way to disk may take: bounded, and used again."""

from __future__ import annotations

import mmap
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ome_writers.locks import Condition, new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["MemoryBudget"]

Lent = TypeVar("Lent")


class MemoryBudget:
    """Lends memory, and waits when there is none left.

    Released memory is kept and reused: fresh memory costs the kernel more than
    copying a frame into it. Our own engines use `storage.memory_pool.MemoryPool`, which is page-aligned and waits for
    nothing but memory.

    Parameters
    ----------
    most_bytes
        The most that is lent and kept. A single piece that is larger is lent when nothing else is.
    relieve
        Asked to have some given back when there is none left (without any lock held). When it answers that it can do
        nothing (False), whoever needs memory waits until some comes back by itself.
    """

    def __init__(self, most_bytes: int, relieve: Callable[[], bool]) -> None:
        self._most = most_bytes
        self._relieve = relieve
        self._lent = 0
        self._pieces: defaultdict[int, list[NDArray[np.uint8]]] = defaultdict(list)
        self._lock = new_lock()
        self._changed = Condition()
        self._returns = 0

    def acquire(self, nbytes: int) -> NDArray[np.uint8]:
        """Return `nbytes` of memory, its content undefined, as soon as there is as much."""
        return self._when_there_is(nbytes, lambda: self._lend(nbytes))

    def reserve(self, nbytes: int) -> None:
        """Count memory of a library as lent, as soon as there is as much."""
        self._when_there_is(nbytes, lambda: self._count(nbytes))

    def unreserve(self, nbytes: int) -> None:
        """Count it no longer."""
        self._returned(nbytes)

    def restore(self, lent: int) -> None:
        """Count `lent` bytes as lent: an exception has ended a call between two steps."""
        with self._lock:
            self._lent = lent
        self._returned(0)

    def prepare(self, nbytes: int, pieces: int) -> None:
        """Have up to `pieces` times `nbytes` ready, so that who takes it need not wait for the kernel."""
        with self._lock:
            for _ in range(min(pieces, (self._most - self._lent - self._kept()) // nbytes)):
                memory = np.empty(nbytes, np.uint8)
                memory[:: mmap.PAGESIZE] = 0
                self._pieces[nbytes].append(memory)

    def try_to_take(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return `nbytes` of memory, or None when there is not as much."""
        with self._lock:
            return self._lend(nbytes) if self._lent + nbytes <= self._most else None

    def release(self, memory: NDArray[np.uint8]) -> None:
        """Take memory back that was lent; nobody may look at it any more."""
        with self._lock:
            if self._lent + self._kept() <= self._most:
                self._pieces[memory.nbytes].append(memory)
        self._returned(memory.nbytes)

    def wait_while(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` has become false; it is looked at whenever memory comes back."""
        self._changed.wait_for(lambda: not condition())

    def clear(self) -> None:
        """Let go of what is kept."""
        with self._lock:
            self._pieces.clear()

    def _when_there_is(self, nbytes: int, lend: Callable[[], Lent]) -> Lent:
        while True:
            with self._lock:
                if not self._lent or self._lent + nbytes <= self._most:
                    return lend()
                seen = self._returns
            if not self._relieve():
                self._await_return(seen)

    def _await_return(self, seen: int) -> None:
        self._changed.wait_for(lambda: self._returns != seen)

    def _lend(self, nbytes: int) -> NDArray[np.uint8]:
        if self._pieces[nbytes]:
            self._lent += nbytes
            return self._pieces[nbytes].pop()
        self._count(nbytes)
        return np.empty(nbytes, np.uint8)

    def _count(self, nbytes: int) -> None:
        self._lent += nbytes
        kept = self._kept()
        while kept and self._lent + kept > self._most:
            size = next(size for size, pieces in self._pieces.items() if pieces)
            self._pieces[size].pop()
            kept -= size

    def _kept(self) -> int:
        return sum(size * len(pieces) for size, pieces in self._pieces.items())

    def _returned(self, nbytes: int) -> None:
        with self._lock:
            self._lent -= nbytes
            self._returns += 1
        self._changed.notify_all()
