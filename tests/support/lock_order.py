"""Record which locks of ome_writers are acquired while others are held."""

from __future__ import annotations

import linecache
import re
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import ome_writers
from ome_writers import locks

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ome_writers.__path__[0]
ASSIGNED = re.compile(r"(?:self\.)?(\w+)(?:: [\w\[\].]+)? =")


class _RecordedLock:
    """A lock that adds (held, acquired) to `pairs` when a thread acquires it while it holds others."""

    def __init__(self, lock: Any, name: str, pairs: set[tuple[str, str]], held: Any) -> None:
        self._lock, self._name, self._pairs, self._held = lock, name, pairs, held

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        acquired: bool = self._lock.acquire(*args, **kwargs)
        if acquired:
            names = self._held.__dict__.setdefault("names", [])
            self._pairs.update((name, self._name) for name in names if name != self._name)
            names.append(self._name)
        return acquired

    def release(self) -> None:
        names = self._held.__dict__.setdefault("names", [])
        if self._name in names:  # a plain lock may be released by another thread
            names.reverse()
            names.remove(self._name)
            names.reverse()
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


def _code(method: Any) -> Any:
    """Return the code of a method, of whatever kind; None for anything else."""
    function = getattr(method, "__func__", getattr(method, "fget", method))
    return getattr(function, "__code__", None)


@contextmanager
def recorded_lock_pairs() -> Iterator[set[tuple[str, str]]]:
    """Yield a set that receives (held lock, acquired lock) of all locks that are created inside the block."""
    pairs: set[tuple[str, str]] = set()
    held = threading.local()

    def recorded(factory: Any) -> Any:
        def create() -> Any:
            frame = sys._getframe(1)
            if frame.f_code.co_filename == locks.__file__ and frame.f_back is not None:
                frame = frame.f_back
            if not frame.f_code.co_filename.startswith(PACKAGE):
                return factory()
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            owner, attribute = frame.f_locals.get("self"), ASSIGNED.search(line)
            if owner is None or attribute is None:
                return factory()
            code = frame.f_code
            created_in = next(
                c for c in type(owner).__mro__ if _code(vars(c).get(code.co_name)) is code
            )
            name = f"{created_in.__name__}.{attribute[1]}"
            return _RecordedLock(factory(), name, pairs, held)

        return create

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "Lock", recorded(threading.Lock))
        patch.setattr(threading, "RLock", recorded(threading.RLock))
        yield pairs


def lock_table(docstring: str) -> list[str]:
    """Return the locks that a table lists, one ``Class.attribute`` at the start of each row, in order."""
    return re.findall(r"^(\w+\.\w+)  +\S", docstring, re.M)
