"""Engines whose files, once complete, may be removed while they write others, because a mirror has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from ome_writers.storage.contract import Engine


class EvictableFiles(Protocol):
    """The chunk files and shards of an engine; keys are relative to the root. Thread-safe."""

    def is_finished(self, key: str) -> bool:
        """Return whether an existing file has all of its frames. Each of them may still be written again."""
        ...

    def stored_index(self, key: str) -> bytes:
        """Return the index of a shard as it is stored; empty for a chunk file."""
        ...

    def remove(self, key: str, remove: Callable[[], None]) -> bool:
        """Call `remove`, which removes a finished file, unless it is in use; return whether that was done."""
        ...


@runtime_checkable
class EvictingEngine(Engine, Protocol):
    """An engine that reads removed files from the mirror, and copies them back before it writes to them."""

    def start_eviction(self, wait_for_space: Callable[[], None]) -> EvictableFiles:
        """Return the files. `wait_for_space` is called before each write in the background, which waits meanwhile."""
        ...
