"""The ring of frames between a program and its writer, in shared memory.

::

    header | records, in order of `append` | memory of frames

A record describes a frame and where its pixels are. The program writes the record, then increases `_HEAD`, the number
of bytes of all records so far: that publishes it. The writer increases `_TAIL` when the frames up to there are flushed;
then the program reuses their memory. Both numbers only grow; a record is at its number modulo the size of the area.
"""

# Longer than 300 lines: both ends of the ring share the layout.

from __future__ import annotations

import math
import mmap
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import FrameBufferError
from ome_writers.locks import new_lock
from ome_writers.routing import Address

Plane = NDArray[np.generic]

FRAME, SKIP, PADDING = 1, 2, 3
"""Kinds of records: a frame, frames to skip, and the unused end of the area of records."""
REPLACES = 1
"""Flag of a frame whose index has a frame already; the other flags are the number of its derived images."""
MAX_DERIVED = 2**15 - 1
IN_ORDER = -1
"""Offset of a frame that has an index instead."""

# kind, flags, size of the record, number of the frame, its offset in acquisition order (SKIP: number of frames), where
# the pixels are, image, length of the index (in integers), of the metadata (-1: none), and where long metadata are
_RECORD = struct.Struct("<HHIQqQIIi4xQ")
_ALIGNMENT = 8
_HEADER_BYTES = 4096
# indices of 64-bit words in the header; each process writes to cache lines of its own
_HEAD, _STARVING = 8, 9
_TAIL = 16
_STATS = slice(24, 32)
_PAGE_BYTES = mmap.PAGESIZE
_SMALL_BYTES = 64  # granularity of the memory of frames smaller than a page
_MAX_INLINE_BYTES = 2**14  # longer metadata are stored like frames
_MIN_RECORD_AREA, _MAX_RECORD_AREA = 2**18, 2**24
_POLL_INTERVAL_S = 0.0005  # while the program waits for memory
_DELAY_FROM = 0.5  # share of the memory in use from which on frames are delayed
_DELAY_BYTES_PER_S = 5e8  # rate to which they are delayed when all of the memory is in use
_DELAY_MIN_FRAMES = 16  # larger frames, of which fewer fit into the memory, are not delayed
_MIN_DELAY_S = 0.001  # shorter delays of small frames are summed up
_DEADLOCK_TIMEOUT_S = 5.0  # see `MemoryBudget`
_PREPARED_BYTES = 2**28


class Extent(NamedTuple):
    """Memory of a frame: its place, its size, and how much of that counts as in use."""

    start: int
    size: int
    nbytes: int


class Record(NamedTuple):
    """A record, as the writer reads it."""

    kind: int
    replaces: bool
    end: int  # position after the record
    number: int
    offset: int  # in acquisition order; of a SKIP, the number of frames
    image: int
    pixels_at: int
    acquired: tuple[int, ...] | None  # its acquisition index, if it was appended with one
    derived: int  # number of the derived images that it belongs to, from 1; 0: of the stream
    metadata: bytes | None


class _Pending(NamedTuple):
    """A published record that is not flushed."""

    end: int
    number: int  # negative: not a frame of the stream
    extents: tuple[Extent, ...]
    address: Any  # number of the derived images, image, index
    reached: int  # offset in acquisition order up to which frames are written or skipped


def ring_bytes(buffer_bytes: int, frame_bytes: int) -> tuple[int, int]:
    """Return the size of the shared memory, and that of its area of records."""
    records = min(_MAX_RECORD_AREA, max(_MIN_RECORD_AREA, buffer_bytes // 8))
    # always enough for two of the largest frames, one of which may be lent
    frames = max(2, -(-buffer_bytes // frame_bytes)) * extent_bytes(frame_bytes)
    return _HEADER_BYTES + records + frames + _PAGE_BYTES, records


class RingWriter:
    """The end of the program. `check` is called while it waits for memory, and raises if waiting is in vain."""

    def __init__(
        self, memory: mmap.mmap, record_area: int, max_bytes: int, check: Callable[[], None]
    ) -> None:
        self._memory = memory
        self._words = memoryview(memory)[:_HEADER_BYTES].cast("Q")
        self._area = record_area
        self._max_bytes = max_bytes
        self._check = check
        self._head = 0
        self._seen_tail = 0
        self.frames = 0  # number of frames that were published
        self.flushed_offset = 0  # in acquisition order, as of the last `reap`
        self._pending: deque[_Pending] = deque()
        self._addresses: dict[object, Extent] = {}  # of frames in the ring, by address
        self._latest: _Pending | None = None
        self.publisher: Any = None  # the frame writer that has published last
        self._lock = new_lock()
        self._begin = -(-(_HEADER_BYTES + record_area) // _PAGE_BYTES) * _PAGE_BYTES
        self._end = len(memory)
        self._next, self._next_end = self._begin, self._end  # memory that was not handed out yet
        self._free: dict[int, list[int]] = {}
        self._lent: dict[int, tuple[Extent, int]] = {}  # by id of the array: memory and thread
        self._waiting: set[int] = set()
        self.used_bytes = 0
        self._delay_s = 0.0  # of earlier frames, too short to wait for

    def prepare(self, nbytes: int) -> None:
        """Have the kernel provide the first memory, before a camera starts with a burst."""
        end = min(self._end, self._begin + min(nbytes, _PREPARED_BYTES))
        np.frombuffer(self._memory, np.uint8)[self._begin : end : _PAGE_BYTES] = 0

    @property
    def head(self) -> int:
        """Position after the last published record."""
        return self._head

    @property
    def tail(self) -> int:
        """Position up to which everything is flushed."""
        return self._words[_TAIL]

    @property
    def capacity(self) -> int:
        """Size of the memory of frames."""
        return self._end - self._begin

    @property
    def lent_bytes(self) -> int:
        return sum(extent.nbytes for extent, _ in tuple(self._lent.values()))

    def stats(self) -> list[int]:
        """Return the figures that the writer has published."""
        return self._words[_STATS].tolist()

    def unflushed_frames(self) -> list[int]:
        """Return the numbers of the published frames that are not known to be flushed."""
        tail = self.tail
        return [
            each.number for each in tuple(self._pending) if each.end > tail and each.number >= 0
        ]

    def unflushed_addresses(self) -> frozenset[Address]:
        """Return the addresses of these frames."""
        tail = self.tail
        pending = [each for each in tuple(self._pending) if each.end > tail and each.number >= 0]
        return frozenset((image, index) for _, image, index in (each.address for each in pending))

    def close(self) -> None:
        """Unmap the memory; frames that are still lent keep it. The figures stay as they are."""
        with self._lock:
            self._addresses.clear()
            words, self._words = self._words, memoryview(bytes(self._words)).cast("Q")
            words.release()
        # not in this thread: the kernel takes 60 ms or more for 256 MiB
        unmap = threading.Thread(target=self._unmap, name="ome-writers-unmap", daemon=True)
        with suppress(RuntimeError):  # the interpreter is ending, which unmaps it
            unmap.start()

    def _unmap(self) -> None:
        with suppress(BufferError):
            self._memory.close()

    # ------------------------------------------------------------------ memory

    def allocate(self, nbytes: int) -> Extent:
        """Return memory for a frame; blocks while there is none."""
        if self._words[_TAIL] != self._seen_tail:
            self.reap()
        self._delay(nbytes)
        return self._find(nbytes) or self._wait_for(nbytes, lending=False)

    def array(self, extent: Extent, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Plane:
        array: Plane = np.ndarray(shape, dtype, self._memory, extent.start)
        return array

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Plane:
        """Return a frame for the caller to fill. Blocks while the ring is full.

        Raises FrameBufferError if all memory is lent to threads that wait for more of it.
        """
        nbytes = math.prod(shape) * dtype.itemsize
        self.reap()
        self._delay(nbytes)
        thread = threading.get_ident()
        try:
            extent = self._find(nbytes, lending=True) or self._wait_for(nbytes, lending=True)
        finally:
            self._waiting.discard(thread)
        frame = self.array(extent, shape, dtype)
        self._lent[id(frame)] = (extent, thread)
        return frame

    def end_loan(self, frame: Plane) -> Extent | None:
        """Return the memory of a lent frame, which the ring uses from now on; None if the frame is not lent."""
        entry = self._lent.pop(id(frame), None) if self._lent else None
        return None if entry is None else entry[0]

    def reclaim(self, frame: Plane) -> None:
        """Take back a lent frame; do nothing if it is not lent any more."""
        extent = self.end_loan(frame)
        if extent is not None:
            self.release(extent)

    def release(self, extent: Extent) -> None:
        with self._lock:
            self._free.setdefault(extent.size, []).append(extent.start)
            self.used_bytes -= extent.nbytes

    def reap(self) -> None:
        """Take back the memory of flushed frames."""
        with self._lock:
            self._seen_tail = tail = self._words[_TAIL]
            pending = self._pending
            while pending and pending[0].end <= tail:
                flushed = pending.popleft()
                self.flushed_offset = flushed.reached
                if flushed.extents and self._addresses.get(flushed.address) is flushed.extents[0]:
                    del self._addresses[flushed.address]
                for extent in flushed.extents:
                    self.release(extent)

    def _delay(self, nbytes: int) -> None:
        """Delay a frame if half of the memory is in use: many frames wait briefly, instead of a few for long.

        The writer frees the memory of several frames at a time, and a disk may pause. It is not idle during a delay.
        """
        if self.used_bytes <= _DELAY_FROM * self._max_bytes:
            return
        share = (self.used_bytes - self.lent_bytes) / self._max_bytes - _DELAY_FROM
        if share > 0 and nbytes * _DELAY_MIN_FRAMES <= self._max_bytes:
            self._delay_s += nbytes / _DELAY_BYTES_PER_S * share / (1 - _DELAY_FROM)
            if self._delay_s >= _MIN_DELAY_S:
                delay_s, self._delay_s = self._delay_s, 0.0
                time.sleep(delay_s)

    def _find(self, nbytes: int, *, lending: bool = False) -> Extent | None:
        size = extent_bytes(nbytes)
        with self._lock:
            # beyond the limit if nothing is in use but lent frames, as `MemoryBudget` grants it
            if self.used_bytes + nbytes > self._max_bytes and self.used_bytes > (
                0 if lending else self.lent_bytes
            ):
                return None
            free = self._free.get(size)
            if free:
                start = free.pop()
            elif self._next + size <= self._next_end or self._merge(size):
                start, self._next = self._next, self._next + size
            else:
                return None
            self.used_bytes += nbytes
            return Extent(start, size, nbytes)

    def _merge(self, size: int) -> bool:
        """Join adjacent free memory; return whether there are `size` bytes from `_next` on."""
        extents = [(self._next, self._next_end)]
        extents += [(start, start + n) for n, starts in self._free.items() for start in starts]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(extents):
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], end)
            elif start < end:
                merged.append((start, end))
        if not merged:
            return False
        largest = max(merged, key=lambda extent: extent[1] - extent[0])
        self._free = {}
        for extent in merged:
            if extent is not largest:
                self._free.setdefault(extent[1] - extent[0], []).append(extent[0])
        self._next, self._next_end = largest
        return self._next + size <= self._next_end

    def _wait_for(self, nbytes: int, *, lending: bool) -> Extent:
        stuck_since: float | None = None
        thread = threading.get_ident()
        while True:
            self._words[_STARVING] = 1  # the writer flushes, and resets it
            self._check()
            self.reap()
            extent = self._find(nbytes, lending=lending)
            if extent is not None:
                return extent
            if lending:
                self._waiting.add(thread)
                borrowers = {borrower for _, borrower in tuple(self._lent.values())}
                if self.used_bytes != self.lent_bytes or not borrowers <= self._waiting:
                    stuck_since = None
                elif stuck_since is None:
                    stuck_since = time.monotonic()
                elif time.monotonic() - stuck_since > _DEADLOCK_TIMEOUT_S:
                    raise FrameBufferError(
                        f"{len(self._lent)} frame buffers are held ({self.lent_bytes} bytes), and "
                        f"buffer_bytes={self._max_bytes} has no memory for another one. Leave one of their `with` "
                        f"blocks first, or set buffer_bytes to at least {self.used_bytes + nbytes}."
                    )
            time.sleep(_POLL_INTERVAL_S)

    # ------------------------------------------------------------------ records

    def publish(
        self,
        kind: int,
        number: int,
        offset: int,
        *,
        image: int = 0,
        extent: Extent | None = None,
        address: object = None,
        index: Sequence[int] | None = None,
        metadata: bytes | None = None,
        replaces: bool = False,
        derived: int = 0,
        reached: int = 0,
    ) -> None:
        """Publish a record, with which the acquisition has `reached` an offset; blocks while the area is full.

        `number` is that of a frame; a negative one identifies the record only, of derived images.
        """
        inline, length, external = metadata or b"", -1 if metadata is None else len(metadata), None
        if length > _MAX_INLINE_BYTES:
            external, inline = self.allocate(length), b""
            self._memory[external.start : external.start + length] = metadata or b""
        coordinates = b"" if index is None else struct.pack(f"<{len(index)}q", *index)
        size = _RECORD.size + len(coordinates) + len(inline)
        size += -size % _ALIGNMENT
        begin = self._room(size)
        at = _HEADER_BYTES + begin % self._area
        _RECORD.pack_into(
            self._memory,
            at,
            kind,
            REPLACES * replaces | derived << 1,
            size,
            number if number >= 0 else 0,
            offset,
            0 if extent is None else extent.start,
            image,
            0 if index is None else len(index),
            length,
            0 if external is None else external.start,
        )
        if coordinates or inline:
            at += _RECORD.size
            self._memory[at : at + len(coordinates) + len(inline)] = coordinates + inline
        end = begin + size
        extents = tuple(each for each in (extent, external) if each is not None)
        if extent is not None:
            self._addresses[address] = extent
        self._latest = _Pending(end, number if kind == FRAME else -1, extents, address, reached)
        self._pending.append(self._latest)
        with self._lock:  # a memory barrier: the record is in memory before its number
            pass
        with self._lock:
            self._words[_HEAD] = end
        self._head = end
        if kind == FRAME and number >= 0:
            self.frames = number + 1

    def recover(self, number: int) -> bool:
        """Restore a consistent state after an exception; return whether the frame with this `number` is published."""
        with self._lock:
            self._head = head = self._words[_HEAD]
            if self._pending and self._pending[-1].end > head:
                self._pending.pop()
            used = [extent for each in self._pending for extent in each.extents]
            self._addresses = {e.address: e.extents[0] for e in self._pending if e.extents}
            used += [extent for extent, _ in self._lent.values()]
            self._free, position = {}, self._begin
            for extent in sorted(used):
                if extent.start > position:
                    self._free.setdefault(extent.start - position, []).append(position)
                position = extent.start + extent.size
            self._next, self._next_end = position, self._end
            self.used_bytes = sum(extent.nbytes for extent in used)
            latest = self._latest
            return latest is not None and latest.end <= head and latest.number == number

    def pixels(
        self, address: object, shape: tuple[int, ...], dtype: np.dtype[np.generic]
    ) -> Plane | None:
        """Return a copy of a frame in the ring; None if it is not in the ring any more."""
        with self._lock:  # no memory is reused meanwhile
            extent = self._addresses.get(address)
            return None if extent is None else self.array(extent, shape, dtype).copy()

    def _room(self, size: int) -> int:
        """Return the position of a record of `size` bytes, after padding up to the end of the area."""
        rest = self._area - self._head % self._area
        needed = size if size <= rest else rest + size
        while self._head + needed - self._words[_TAIL] > self._area:
            self._words[_STARVING] = 1
            self._check()
            time.sleep(_POLL_INTERVAL_S)
        if size <= rest:
            return self._head
        if rest >= _RECORD.size:
            at = _HEADER_BYTES + self._head % self._area
            _RECORD.pack_into(self._memory, at, PADDING, 0, rest, 0, 0, 0, 0, 0, -1, 0)
        return self._head + rest


class RingReader:
    """The end of the writer."""

    def __init__(self, memory: mmap.mmap, record_area: int) -> None:
        self._memory = memory
        self._words = memoryview(memory)[:_HEADER_BYTES].cast("Q")
        self._area = record_area
        self.position = self._words[_TAIL]  # of the next record
        self._lock = threading.Lock()
        self.bytes_read = 0  # of frames
        self.bytes_at_flush = 0  # `bytes_read` when the last flush began

    @property
    def head(self) -> int:
        return self._words[_HEAD]

    @property
    def tail(self) -> int:
        return self._words[_TAIL]

    @property
    def pending_bytes(self) -> int:
        """Bytes of the frames that no flush includes yet."""
        return self.bytes_read - self.bytes_at_flush

    def pop_starving(self) -> bool:
        """Return whether the program waits for memory."""
        if self._words[_STARVING]:
            self._words[_STARVING] = 0
            return True
        return False

    def acknowledge(self, position: int) -> None:
        """Publish that everything up to `position` is flushed."""
        with self._lock:
            if position > self._words[_TAIL]:
                self._words[_TAIL] = position

    def publish_stats(self, figures: Sequence[int]) -> None:
        for word, figure in enumerate(figures, _STATS.start):
            self._words[word] = figure

    def read(self) -> Iterator[Record]:
        """Iterate over the records that are published now; the caller then sets `position` to their `end`."""
        position, head = self.position, self._words[_HEAD]
        while position < head:
            rest = self._area - position % self._area
            if rest < _RECORD.size:
                position += rest
                continue
            at = _HEADER_BYTES + position % self._area
            kind, flags, size, number, offset, pixels_at, image, count, length, external = (
                _RECORD.unpack_from(self._memory, at)
            )
            if kind == PADDING:
                position += size
                continue
            index = metadata = None
            at += _RECORD.size
            if count:
                index = struct.unpack_from(f"<{count}q", self._memory, at)
                at += 8 * count
            if length >= 0:
                at = external or at
                metadata = self._memory[at : at + length]
            position += size
            yield Record(
                kind,
                bool(flags & REPLACES),
                position,
                number,
                offset,
                image,
                pixels_at,
                index,
                flags >> 1,
                metadata,
            )

    def pixels(self, at: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Plane:
        """Return a frame in the ring, which stays unchanged until it is acknowledged."""
        array: Plane = np.ndarray(shape, dtype, self._memory, at)
        return array


def extent_bytes(nbytes: int) -> int:
    """Return the memory that a frame takes."""
    granule = _PAGE_BYTES if nbytes >= _PAGE_BYTES else _SMALL_BYTES
    return max(granule, -(-nbytes // granule) * granule)
