"""The protocol that every storage engine implements, and the types that it uses.

An engine receives its arrays once, at opening, as `ome_writers.LevelSpec`, and then writes planes by address: (array,
index). The smaller resolution levels of an image follow its array of full resolution, largest first, and have a
`LevelSpec.reduction`. An engine does not know positions, channels or metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ome_writers.dataset import LevelSpec

DERIVED = -1
"""Number of a plane that is derived from a frame, such as one of a resolution level. It does not count as a frame."""


def part_of(number: int) -> int:
    """Return the number of the planes of frame `number` before the last one, which has the number of the frame.

    It is less than `DERIVED`: a negative number does not count as a frame. `frame_of` is the inverse.
    """
    return -2 - number


def frame_of(number: int) -> int:
    """Return the frame that a plane of this number belongs to; `DERIVED` for a derived plane."""
    return number if number >= DERIVED else -2 - number


class ExistingArray(NamedTuple):
    """An array that an earlier stream has written, and that an engine continues."""

    shape: tuple[int, ...]  # as readers see it now
    # which planes are on disk, along the axes without y and x; planes outside of the mask are not
    planes: NDArray[np.bool_]
    # OME-TIFF engine only: of the file of the array, the numbers of the pages with pixels, sorted, and the offsets of
    # their IFDs, shape (pages, 1 + levels), full resolution first; 0: a page does not have this level
    ifds: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Options:
    """How to write, for all arrays alike."""

    buffer_bytes: int = 256 * 2**20  # maximum memory, in bytes, for frames that are not on disk yet
    # whether flushed data must survive power loss (fsync), and not only the death of the process
    durable: bool = False
    # whether to bypass the page cache where the platform and the engine can
    direct_io: bool = False
    # whether other work keeps all processors busy: then copying a frame for a background thread does not pay off
    processors_busy: bool = False
    # scratch engine only: maximum bytes in memory (0: everything in files), and whether the rest may go to files
    memory_bytes: int = 0
    spill: bool = True
    # OME-TIFF engine only: whether the files are a set, whose files refer to planes of each other
    file_set: bool = False
    # one per array, if all of them exist; only for engines that can reopen arrays (`EngineRow.reopens`)
    existing: Sequence[ExistingArray] = ()


@dataclass(frozen=True)
class EngineStats:
    """Progress of an engine, and its use of memory."""

    frames_written: int = 0  # planes on disk whose number is not negative
    bytes_written: int = 0  # bytes of all planes on disk, before compression
    queue_depth: int = 0  # number of write tasks that wait or run
    # bytes of the written frames that `write` copied, because it could not write the caller's memory
    bytes_copied: int = 0
    # bytes of `Options.buffer_bytes` in use: buffers that contain frames, and lent ones
    bytes_buffered: int = 0
    bytes_lent: int = 0  # bytes of the buffers that callers are filling; see `LendingEngine`


@dataclass(frozen=True)
class WriteFailure:
    """An error, and the numbers (see `Engine.write`) of the planes that are not on disk because of it.

    With `repairable` the frames are on disk, but no metadata refers to them: `repair` makes them readable.
    """

    error: BaseException
    frames: tuple[int, ...] = ()
    repairable: bool = False


class Engine(Protocol):
    """Writes planes to disk.

    One thread at a time calls `write`. `flush`, `read`, `stats` and `failures` may be called from any thread between
    opening and `close`; `read` also after `close`.
    """

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Write frame `number` to `index` (storage order, without y and x) of `array`.

        The number is negative if the plane is `DERIVED`, or a `part_of` a frame that has a later plane.

        `frame` has the dtype and shape of the array's planes: (y, x), or (y, x, samples). The caller may reuse its
        memory when `write` returns, unless `owned` is True: then the engine may keep a reference until the frame is
        written. An index may be written again after a `flush` of the first frame; the last frame is kept.
        Blocks while `Options.buffer_bytes` are in use.
        """
        ...

    def recover(self, number: int) -> bool:
        """Restore a consistent state after an exception, such as KeyboardInterrupt, during `write`.

        The thread that calls `write` calls this before the next `write`, `flush` or `close`. No other frame is lost.
        Return whether frame `number` counts as written; if not, its index can be written again.
        """
        ...

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Return when all frames written so far are on disk and visible to other readers.

        `shapes` are the shapes that the arrays publish from now on (only growing axes change).
        Errors are recorded in `failures`, not raised.
        """
        ...

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the plane at `index`, from memory or disk; zeros if it has not been written."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Replace a metadata file below the root atomically; also possible after `close`."""
        ...

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write everything to disk, give every array its final shape, and end all threads.

        Errors are recorded in `failures`, not raised. A second call does nothing.
        """
        ...

    @property
    def failures(self) -> Sequence[WriteFailure]:
        """All errors so far, oldest first."""
        ...

    def stats(self) -> EngineStats:
        """Return the progress so far."""
        ...


@runtime_checkable
class LendingEngine(Engine, Protocol):
    """An engine that lends buffers which it can write without a copy."""

    def lend(self, array: int) -> NDArray[np.generic] | None:
        """Return a writable (y, x) plane in the engine's own memory; None if it does not lend planes of this array.

        The caller returns it with ``write(..., frame=lent, owned=True)``, which copies nothing, or with `reclaim`.
        """
        ...

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """Take back a lent plane without writing it."""
        ...


@runtime_checkable
class ExtensibleEngine(Engine, Protocol):
    """An engine to which arrays can be added while it writes others."""

    def add_arrays(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray] = ()
    ) -> int:
        """Create more arrays, or continue `existing` ones, and return the number of the first; the others follow it.

        They share memory and threads with the earlier arrays. No other thread may be in `write`, `flush` or `close`.
        An error is raised, and the engine is unchanged.
        """
        ...


@runtime_checkable
class PatchingEngine(Engine, Protocol):
    """An engine that can change a few bytes of a large metadata file in place."""

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        """Overwrite `old` at `offset` with `new`; do nothing if other bytes are there.

        Raises OSError if the file cannot be read or written.
        """
        ...


@runtime_checkable
class TruncatingEngine(Engine, Protocol):
    """An engine whose metadata determines which part of its files is valid.

    `close` keeps everything that the metadata still refers to. `truncate`, after the final metadata was `put`, removes
    the rest.
    """

    def truncate(self) -> None:
        """Remove data that the final metadata does not refer to; errors go to `failures`."""
        ...
