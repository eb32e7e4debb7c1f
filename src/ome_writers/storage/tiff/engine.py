"""The engine of OME-TIFF: structure first, then planes in any order from background threads."""

# Longer than 300 lines: the contract's calls with their documentation; files, blocks and pages lie in other modules.
from __future__ import annotations

import os
import threading
import time
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.locks import Condition, new_lock
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.files import atomic_write, sync_folder
from ome_writers.storage.memory_pool import MemoryPool
from ome_writers.storage.positional_io import patch_at
from ome_writers.storage.tiff.codec import Codec
from ome_writers.storage.tiff.file import TiffFile
from ome_writers.storage.tiff.geometry import Geometry
from ome_writers.storage.tiff.ifd_encoder import IfdEncoder
from ome_writers.storage.tiff.page_blocks import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.tiff.geometry import Series
    from ome_writers.storage.tiff.ifd import PageKind

__all__ = ["TiffEngine", "open_engine"]

_LOOKS = 4  # of a reader, before it has the writer wait
# handed over at once: to wake a thread takes as long as to write a dozen small frames
_BLOCK_BYTES = 8 * 2**20
_WARM_BLOCKS = 2  # under way: memory used again soon is in the cache, and costs half of fresh
_FETCH = 0.1  # seconds that a reader is given from finding a page to having read it
_READING = 1.0  # seconds that `close` waits for other processes to close a file that it will cut
# seconds, and bytes a second, that a disk may take for a block; behind a slower one all get fresh memory
_PATIENCE = 0.004
_QUICK = 1e9


class _Run(NamedTuple):
    """Frames on the pages of a file from `page` on."""

    file: int
    page: int
    frames: list[int]

    def behind(self, pages: int) -> _Run:
        """Return what lies behind the first `pages` of the file."""
        within = max(0, pages - self.page)
        return _Run(self.file, self.page + within, self.frames[within:])


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> TiffEngine:
    """Return the engine for the files of `targets`; each comes into being with its description or its first frame."""
    return TiffEngine(root, targets, options)


class TiffEngine:
    """Writes BigTIFF files; see `storage.contract.Engine`.

    Uncompressed frames that lie side by side are written at once, compressed ones appended each by itself.
    """

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._durable = options.durable
        self._handles = FileHandles(durable=options.durable)
        self._codecs: dict[str, Codec] = {}
        self._blanks: dict[tuple[object, ...], list[bytes]] = {}
        self._members: dict[str, list[int]] = {}
        for number, target in enumerate(targets):
            self._members.setdefault(target.key, []).append(number)
        self._files: list[TiffFile] = []
        self._places: list[tuple[int, Series]] = [None] * len(targets)  # type: ignore[list-item]  # filled below
        structures: dict[tuple[int, ...], IfdEncoder] = {}
        for key, numbers in self._members.items():
            plans = [targets[n].plan for n in numbers]
            alike = tuple(map(id, plans))
            if alike not in structures:
                # readers that take a page of another file for a piece of this one read wrong pixels in silence
                parted = len(self._members) > 1
                geometry = Geometry(plans, parted=parted, durable=options.durable)
                blanks = [self._blank(s.kind) if s.compressed else None for s in geometry.series]
                structures[alike] = IfdEncoder(geometry, blanks, _software())
            file = TiffFile(root / key, structures[alike], self._handles)
            for n, series in zip(numbers, file.geometry.series, strict=True):
                self._places[n] = (len(self._files), series)
            self._files.append(file)
        self._numbers = {key: i for i, key in enumerate(self._members)}
        self._pool = MemoryPool(options.buffer_bytes, self._relieve)
        self._block_bytes = min(_BLOCK_BYTES, options.buffer_bytes // (4 * len(self._files)) or 1)
        self._patient = True
        self._block_written = Condition()
        self._lock = new_lock()
        self._flushing = threading.Lock()
        self._open: dict[tuple[int, int], Block] = {}  # by file and next page, oldest first
        self._live: list[dict[int, Block]] = [{} for _ in self._files]  # frames are in memory
        self._under_way: list[set[int]] = [set() for _ in self._files]  # their pages
        self._frames_written = 0
        self._bytes_written = 0
        self._counting = threading.Lock()
        self._stored: list[_Run] = []  # since the last flush began
        self._hidden: list[_Run] = []  # of frames that are lost when what is under way fails
        self._closed = False
        self._background = Background(available_cpus(), name="ome-writers-tiff")

    @property
    def failures(self) -> Sequence[WriteFailure]:
        """Every error of a worker so far."""
        return self._background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Take one plane; see `storage.contract.Engine.write`."""
        file, series = self._places[array]
        page = series.page(index)
        if page in self._under_way[file]:  # the earlier frame must not land behind this one
            self._write_all()
        with self._lock:
            block = self._open.pop((file, page), None)
            if block is not None:
                self._under_way[file].add(page)
                if block.add(number, frame):
                    self._submit(block)
                else:
                    self._open[file, page + 1] = block
                return
        if not self._files[file].has(page):
            try:
                self._files[file].extend_to(page)
            except OSError as error:  # kept, like that of a worker
                self._background.failures.append(WriteFailure(error, (number,)))
                return
        self._under_way[file].add(page)
        if owned and frame.flags.c_contiguous and frame.nbytes >= self._block_bytes:
            self._pool.reserve(frame.nbytes)
            block = Block(file, page, series, 1)
            block.hand_over(number, frame)
            with self._lock:
                self._live[file][id(block)] = block
                self._submit(block)
            return
        block = self._new_block(file, page, series, frame.nbytes)
        with self._lock:
            self._live[file][id(block)] = block
            if block.add(number, frame):
                self._submit(block)
            else:
                self._open[file, page + 1] = block

    def recover(self, number: int) -> bool:
        """Repair what an exception in `write` has left between two steps; see `storage.contract.Engine.recover`."""
        with self._lock:
            self._open.clear()
            for live in self._live:
                for block in list(live.values()):
                    if block.count:
                        self._submit(block)
                    else:
                        del live[id(block)]
            self._background.barrier()
            for pages in self._under_way:
                pages.clear()
            self._pool.set_used(0)
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring all that was taken to disk and show it; see `storage.contract.Engine.flush`."""
        with self._flushing:
            self._land()
            errors = len(self.failures)
            self._show(shapes)
            self._keep_error(self._handles.sync_all)
            if len(self.failures) == errors:
                behind = (run.behind(self._files[run.file].chained) for run in self._hidden)
                self._hidden = [run for run in behind if run.frames]

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from disk."""
        file, series = self._places[array]
        page = series.page(index)
        for _ in range(_LOOKS):
            landed = self._frames_written
            plane = self._in_memory(file, page)
            if plane is not None:
                return plane
            stored = self._on_disk(file, series, page)
            plane = self._in_memory(file, page)
            if plane is not None:
                return plane
            if landed == self._frames_written:
                return stored  # no frame has come and landed meanwhile: none was half on disk
        with self._lock:  # no frame can come now
            plane = self._in_memory(file, page)
            return self._on_disk(file, series, page) if plane is None else plane

    def put(self, key: str, content: bytes) -> None:
        """Replace a document: the description of a TIFF file, or a file of its own."""
        if key in self._numbers:
            self._files[self._numbers[key]].describe(content)
        else:
            atomic_write(self._root / key, content, durable=self._durable)

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        """Overwrite bytes of a document in place; see `storage.contract.PatchingEngine.patch`."""
        if key in self._numbers:
            self._files[self._numbers[key]].patch_description(offset, old, new)
        else:
            with (self._root / key).open("r+b", buffering=0) as file:
                patch_at(file.fileno(), offset, old, new)
                if self._durable:
                    os.fsync(file.fileno())

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring everything to disk in its final form; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            self._hand_over()
            for file in self._files:  # while the last frames are on their way
                self._keep_error(file.show_landed)
            self._land()
            self._show(shapes)
            alone = len(self._files) == 1
            for file, numbers in zip(self._files, self._members.values(), strict=True):
                kept = [shapes[n] for n in numbers]
                self._keep_error(partial(file.finish, kept, alone=alone))
            self._keep_error(self._handles.sync_all)
            if self._durable:
                self._keep_error(partial(sync_folder, self._root))
            self._background.close()
            self._handles.close()
            self._pool.clear()

    def truncate(self) -> None:
        """Take away what no document tells of any more; see `storage.contract.TruncatingEngine.truncate`."""
        with self._flushing:
            if any(file.unsettled for file in self._files):
                time.sleep(_FETCH)
            patience = time.monotonic() + _READING
            for file in self._files:
                self._keep_error(partial(file.settle, patience))

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._frames_written, self._bytes_written, self._background.depth)

    # ------------------------------------------------------------------ inside

    def _in_memory(self, file: int, page: int) -> NDArray[np.generic] | None:
        for block in reversed(list(self._live[file].values())):
            plane = block.plane(page)
            if plane is not None:
                return plane
        return None

    def _on_disk(self, file: int, series: Series, page: int) -> NDArray[np.generic]:
        kind = series.kind
        out = np.zeros(kind.shape, kind.dtype)
        if not self._files[file].has(page):
            return out
        flat, at = out.reshape(-1).view(np.uint8), 0
        stored = self._files[file].read_strips(page)
        for strip, nbytes in zip(stored, series.strip_bytes, strict=True):
            raw = self._codec(kind).decode(strip, nbytes) if series.compressed else strip
            flat[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
            at += nbytes
        return out

    def _new_block(self, file: int, page: int, series: Series, nbytes: int) -> Block:
        """Return an empty block with memory, waiting for memory as long as it takes."""
        room, stride = 1, nbytes
        if not series.compressed:
            stride = series.stride
            if stride < self._block_bytes:
                room = min(self._block_bytes // stride, self._files[file].geometry.run(page))
        block = Block(file, page, series, room)
        self._await_warm_memory(room * stride)
        block.give_memory(self._pool.acquire(room * stride))
        return block

    def _await_warm_memory(self, nbytes: int) -> None:
        """Give the disk a moment to return a buffer, while it is as fast as memory."""
        if self._background.depth <= _WARM_BLOCKS:
            self._patient = True
        elif self._patient:
            written = self._frames_written
            self._patient = self._block_written.wait_for(
                lambda: self._frames_written != written, max(_PATIENCE, nbytes / _QUICK)
            )

    def _submit(self, block: Block) -> None:
        series = self._files[block.file].geometry.series_of(block.page)
        serial_key = None if series.compressed else block.file
        self._background.submit(lambda: self._store(block, series), block.frames, serial_key)

    def _store(self, block: Block, series: Series) -> None:
        """Write a block (in the background)."""
        with block.storing:
            if block.stored:
                return  # it was handed over twice, see `recover`
            block.stored = True
            try:
                self._write_block(block, series)
            finally:
                self._live[block.file].pop(id(block), None)
                self._under_way[block.file].difference_update(
                    range(block.page, block.page + block.count)
                )
                block.free(self._pool)
                self._block_written.notify_all()

    def _write_block(self, block: Block, series: Series) -> None:
        file = self._files[block.file]
        if series.compressed:
            codec = self._codec(series.kind)
            file.write_stored(block.page, [codec.encode(strip) for strip in block.strips()])
        else:
            file.write_planes(block.page, block.buffers(), block.count)
        with self._counting:
            self._frames_written += block.count
            self._bytes_written += block.count * sum(series.strip_bytes)
            self._stored.append(_Run(block.file, block.page, block.frames))

    def _land(self) -> None:
        """Return when all that was taken is on disk, and is known to be."""
        self._write_all()
        with self._counting:
            self._hidden += self._stored
            self._stored.clear()

    def _write_all(self) -> None:
        """Return when all that was taken is on disk."""
        self._hand_over()
        self._background.barrier()

    def _hand_over(self) -> None:
        """Put all that was taken on its way."""
        with self._lock:
            for key in list(self._open):
                self._submit(self._open.pop(key))

    def _relieve(self) -> None:
        """Put the oldest open block on its way when nothing else would give memory back."""
        if self._background.depth:
            return
        with self._lock:
            key = next(iter(self._open), None)
            if key is not None:
                self._submit(self._open.pop(key))

    def _show(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Have readers find what has landed: the directories of its pages, then the chains of growing files."""
        for file, numbers in zip(self._files, self._members.values(), strict=True):
            self._keep_error(file.ensure)
            self._keep_error(file.show_landed)
            if file.geometry.grows:
                axes = ((shapes[n], self._places[n][1].growing) for n in numbers)
                rows = max(shape[axis] for shape, axis in axes if axis is not None)
                self._keep_error(partial(file.show, rows))

    def _keep_error(self, step: Callable[[], object]) -> None:
        try:
            step()
        except OSError as error:
            frames = tuple(number for run in self._hidden for number in run.frames)
            self._background.failures.append(WriteFailure(error, frames))

    def _codec(self, kind: PageKind) -> Codec:
        if kind.compression not in self._codecs:
            self._codecs[kind.compression] = Codec(kind.compression)
        return self._codecs[kind.compression]

    def _blank(self, kind: PageKind) -> list[bytes]:
        """Return the stored strips of a plane of zeros."""
        sizes = [(bottom - top) * kind.row_bytes for top, bottom in kind.strips]
        key = (kind.compression, *sizes)
        if key not in self._blanks:
            codec, made = self._codec(kind), {}
            for size in set(sizes):
                made[size] = codec.encode(np.zeros(size, np.uint8).data)
            self._blanks[key] = [made[size] for size in sizes]
        return self._blanks[key]


@cache
def _software() -> bytes:
    """Return the Software tag; to look the version up takes milliseconds."""
    return f"ome-writers {version('ome-writers')}".encode() + b"\0"
