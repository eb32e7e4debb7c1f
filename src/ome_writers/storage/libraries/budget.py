"""The memory that frames on their way to disk may take: bounded, and used again."""

from __future__ import annotations

import mmap
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Budget"]

Lent = TypeVar("Lent")


class Budget:
    """Lends memory, and waits when there is none left.

    Memory that comes back is kept for the next who asks for as much: fresh memory costs the kernel more than
    copying a frame into it. `storage.pool.Pool` is the one of our own engines: page-aligned, and never waited on for
    anything but memory.

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
        self._kept = 0
        self._pieces: defaultdict[int, list[NDArray[np.uint8]]] = defaultdict(list)
        # taken by itself: Ctrl-C may come between a condition's lock and the block that is to give it back
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._returns = 0

    def take(self, nbytes: int) -> NDArray[np.uint8]:
        """Return `nbytes` of memory, its content undefined, as soon as there is as much."""
        return self._when_there_is(nbytes, lambda: self._lend(nbytes))

    def reserve(self, nbytes: int) -> None:
        """Count memory of a library as lent, as soon as there is as much."""
        self._when_there_is(nbytes, lambda: self._count(nbytes))

    def unreserve(self, nbytes: int) -> None:
        """Count it no longer."""
        with self._lock:
            self._returned(nbytes)

    def prepare(self, nbytes: int, pieces: int) -> None:
        """Have up to `pieces` times `nbytes` ready, so that who takes it need not wait for the kernel."""
        with self._lock:
            for _ in range(min(pieces, (self._most - self._lent - self._kept) // nbytes)):
                memory = np.empty(nbytes, np.uint8)
                memory[:: mmap.PAGESIZE] = 0
                self._pieces[nbytes].append(memory)
                self._kept += nbytes

    def try_to_take(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return `nbytes` of memory, or None when there is not as much."""
        with self._lock:
            return self._lend(nbytes) if self._lent + nbytes <= self._most else None

    def release(self, memory: NDArray[np.uint8]) -> None:
        """Take memory back that was lent; nobody may look at it any more."""
        with self._lock:
            if self._lent + self._kept <= self._most:
                self._pieces[memory.nbytes].append(memory)
                self._kept += memory.nbytes
            self._returned(memory.nbytes)

    def wait_while(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` has become false; it is looked at whenever memory comes back."""
        with self._lock:
            self._changed.wait_for(lambda: not condition())

    def clear(self) -> None:
        """Let go of what is kept."""
        with self._lock:
            self._pieces.clear()
            self._kept = 0

    def _when_there_is(self, nbytes: int, lend: Callable[[], Lent]) -> Lent:
        while True:
            with self._lock:
                if not self._lent or self._lent + nbytes <= self._most:
                    return lend()
                seen = self._returns
            if not self._relieve():
                with self._lock:
                    while self._returns == seen:
                        self._changed.wait()

    def _lend(self, nbytes: int) -> NDArray[np.uint8]:
        if self._pieces[nbytes]:
            self._kept -= nbytes
            self._lent += nbytes
            return self._pieces[nbytes].pop()
        self._count(nbytes)
        return np.empty(nbytes, np.uint8)

    def _count(self, nbytes: int) -> None:
        self._lent += nbytes
        while self._kept and self._lent + self._kept > self._most:
            size = next(size for size, pieces in self._pieces.items() if pieces)
            self._pieces[size].pop()
            self._kept -= size

    def _returned(self, nbytes: int) -> None:
        self._lent -= nbytes
        self._returns += 1
        self._changed.notify_all()
