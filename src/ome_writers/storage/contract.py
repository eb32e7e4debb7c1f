"""What every engine promises, and the few words it needs to keep its promise.

An engine is told, once, which arrays there will be, and then takes planes by (array, index). It knows
nothing of positions, channels or documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan

__all__ = [
    "ArrayTarget",
    "Engine",
    "EngineStats",
    "LendingEngine",
    "Options",
    "PatchingEngine",
    "TruncatingEngine",
    "WriteFailure",
]


@dataclass(frozen=True)
class ArrayTarget:
    """One array and the key under which it is stored.

    `key` is a ``/``-separated path below the root of the output: the array's node in a Zarr
    hierarchy, the file's name in OME-TIFF (several targets may share a file, then they are its
    series in order). It never leads outside the root.
    `order` are the index axes, slowest first, as nested loops over them bring the planes; None when they come in
    another order, or in any.
    """

    key: str
    plan: ArrayPlan
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Options:
    """How to write: what the user chose, for all arrays alike.

    Attributes
    ----------
    buffer_bytes
        The most memory, in bytes, that frames on their way to the disk may take.
    durable
        True: what a flush has brought to disk survives power loss (fsync), not only the death of the
        process.
    direct_io
        True: bypass the page cache where the platform and the engine can.
    memory_bytes, spill
        For the scratch engine: how much stays in memory (0: all goes to files), and whether more may go to files.
    """

    buffer_bytes: int = 256 * 2**20
    durable: bool = False
    direct_io: bool = False
    memory_bytes: int = 0
    spill: bool = True


@dataclass(frozen=True)
class EngineStats:
    """What an engine has done so far."""

    frames_written: int = 0
    bytes_written: int = 0
    queue_depth: int = 0


@dataclass(frozen=True)
class WriteFailure:
    """An error of a worker, and the numbers of the frames that it kept from the disk.

    `repairable` is True if the frames are on disk and no document shows them: `repair` makes them readable.
    """

    error: BaseException
    frames: tuple[int, ...] = ()
    repairable: bool = False


class Engine(Protocol):
    """Puts planes on disk.

    `write` is called by one thread at a time; `flush`, `read`, `stats` and `failures` may be called from any
    thread at any time between opening and `close`; `read` also after `close`.
    """

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Take frame `number` for the place `index` (storage order, no y, x) of array `array`.

        `frame` has the dtype and shape of the array's planes: (y, x), or (y, x, samples). When `write`
        returns the caller may change it, unless `owned` is True: then the engine may keep a reference
        until the frame is written, and the caller has promised not to touch it. A place may be written
        again once a `flush` has landed the first frame; the last one stays. Blocks while the memory of
        `Options.buffer_bytes` is used up.
        """
        ...

    def recover(self, number: int) -> bool:
        """Repair what an exception, such as KeyboardInterrupt, in `write` has left between two steps.

        Called by the thread that calls `write`, before the next `write`, `flush` or `close`. All other frames are kept.
        Return whether frame `number` has to count as taken; if not, its place can be written again.
        """
        ...

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Return when all that `write` took before is on disk and other readers see it.

        `shapes` are the extents that the arrays shall show from now on (only growing axes change).
        Errors do not surface here: they are kept in `failures`.
        """
        ...

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the plane at `index`, whether it is on disk yet or not; zeros when unwritten."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root, whole or not at all; works after `close` too."""
        ...

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring everything to disk, give every array its final shape, and end all threads.

        Never raises for a failed write: that is in `failures`. A second call does nothing.
        """
        ...

    @property
    def failures(self) -> Sequence[WriteFailure]:
        """Every error of a worker so far, first first."""
        ...

    def stats(self) -> EngineStats:
        """Return what has been done so far."""
        ...


@runtime_checkable
class LendingEngine(Engine, Protocol):
    """An engine that can lend the memory from which it will write."""

    def lend(self, array: int) -> NDArray[np.generic]:
        """Return a writable (y, x) plane of the engine's own memory, to be given back by `write`.

        Giving it back as ``write(..., frame=lent, owned=True)`` copies nothing; `reclaim` returns it unused.
        """
        ...

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """Take back a lent plane without writing it."""
        ...


@runtime_checkable
class PatchingEngine(Engine, Protocol):
    """An engine whose documents may be so large that a small change is made in place."""

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        """Overwrite bytes of a document; does nothing where `old` is not at `offset` (another document is there).

        Raises
        ------
        OSError
            If the document cannot be read or written.
        """
        ...


@runtime_checkable
class TruncatingEngine(Engine, Protocol):
    """An engine whose documents say of what is in its files how much counts.

    Its `close` leaves what the documents still tell of. With the documents that are `put` then, files of their own
    change over; what several documents tell of stays until `truncate`.
    """

    def truncate(self) -> None:
        """Take away what the documents that were put after `close` do not tell of; errors go to `failures`."""
        ...
