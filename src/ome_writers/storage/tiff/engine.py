"""The OME-TIFF engine: IFDs are written first, then planes in any order by background threads."""

# Longer than 300 lines: all methods of the engine contract; files, pages and blocks are in modules of their own.
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.file_sync import sync, sync_folder
from ome_writers.storage.contract import WriteFailure
from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.positional_io import patch_at
from ome_writers.storage.store import LocalStore
from ome_writers.storage.tiff.file import TiffFile
from ome_writers.storage.tiff.geometry import Geometry
from ome_writers.storage.tiff.ifd_encoder import IfdEncoder
from ome_writers.storage.tiff.page_blocks import PageBlock
from ome_writers.storage.write_buffer import WriteBuffer

if TYPE_CHECKING:
    from ome_writers.dataset import LevelSpec
    from ome_writers.storage.contract import ExistingArray, Options
    from ome_writers.storage.tiff.geometry import Series
    from ome_writers.storage.tiff.page_store import PageStore

_MAX_BLOCK_BYTES = 8 * 2**20  # waking a thread takes as long as writing a dozen small frames
# Smaller frames are copied even if the caller hands them over: their memory, which is in the CPU cache, is then free
# for the next frame.
_MIN_REFERENCED_BYTES = 2**20
_READ_GRACE_S = 0.1  # for readers to read a page that they have found
_TRUNCATE_TIMEOUT_S = 1.0  # for other processes to close a file that `truncate` cuts
# A buffer that was used moments ago is still in the CPU cache and costs half as much as new memory. Blocks wait for one
# while the disk returns it within this time (or at this rate, if that takes longer).
_MAX_WARM_BLOCKS = 2
_MAX_BUFFER_WAIT_S = 0.004
_MIN_DISK_BYTES_PER_S = 1e9


class _Run(NamedTuple):
    """Frames on adjacent pages of a file, from `page` on."""

    file: TiffFile
    page: int
    frames: list[int]

    def after(self, pages: int) -> _Run:
        """Return the part after the first `pages` pages of the file."""
        skipped = max(0, pages - self.page)
        return _Run(self.file, self.page + skipped, self.frames[skipped:])


class _Pages(NamedTuple):
    """The pages of a file at one resolution level."""

    file: TiffFile
    store: PageStore


def _kind(array: LevelSpec) -> tuple[object, ...]:
    """Return what the IFDs of an array depend on. Images with the same axes share the tuple of them."""
    return (array.storage, id(array.dimensions))


class TiffEngine:
    """Writes BigTIFF files, resolution levels as SubIFDs; see `storage.contract.Engine`.

    Adjacent uncompressed frames are written together, from one buffer or from the callers' memory; compressed ones are
    appended one by one.
    """

    def __init__(self, root: Path, targets: Sequence[LevelSpec], options: Options) -> None:
        self._root = root
        self._durable = options.durable
        self._options = options
        self._store = LocalStore(root, durable=options.durable)
        self._handles = FileHandles(durable=options.durable)
        self._files: list[TiffFile] = []
        self._arrays: dict[str, list[int]] = {}  # those of full resolution, by key of their file
        self._file_numbers: dict[str, int] = {}
        self._single_files: set[TiffFile] = set()  # whose OME-XML does not refer to other files
        self._pages: list[_Pages] = []  # by group of the write buffer
        self._series: list[tuple[int, Series]] = []  # by array: its group, and its pages
        self._open(targets, options.existing)
        self._buffer: WriteBuffer[PageBlock] = WriteBuffer(
            len(self._pages), options.buffer_bytes, "ome-writers-tiff"
        )
        self._background = self._buffer.background
        self.failures = self._background.failures
        self.stats = self._buffer.stats
        self._disk_is_fast = True
        self._flush_lock = threading.Lock()
        self._unpublished: list[_Run] = []  # lost if the current flush fails
        self._closed = False

    def add_arrays(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray] = ()
    ) -> int:
        """See `storage.contract.ExtensibleEngine`; the arrays are in other files than the earlier ones."""
        with self._flush_lock:
            groups, first = len(self._pages), len(self._series)
            self._open(targets, existing)
            self._buffer.add_groups(len(self._pages) - groups)
            return first

    def _open(self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray]) -> None:
        """Add the files of these arrays, or continue `existing` ones."""
        options, before = self._options, len(self._series)
        by_file: dict[str, list[int]] = {}  # the arrays of full resolution
        levels: dict[int, list[int]] = {}  # by array of full resolution
        full = 0
        for array, target in enumerate(targets):
            if target.reduction is not None:
                levels[full].append(array)
            else:
                full = array
                by_file.setdefault(target.key, []).append(array)
                levels[full] = []
        located: dict[int, tuple[int, Series]] = {}
        encoders: dict[tuple[object, ...], IfdEncoder] = {}
        for key, arrays in by_file.items():
            whole = [targets[array] for array in arrays]
            reduced = [[targets[level] for level in levels[array]] for array in arrays]
            kind = tuple(_kind(level) for each in (whole, *reduced) for level in each)
            if kind not in encoders:
                # tifffile maps contiguous pages of other files of a set onto the file that it opened
                contiguous = not options.file_set
                encoders[kind] = IfdEncoder(
                    Geometry.of(whole, reduced, contiguous=contiguous, durable=options.durable)
                )
            file = TiffFile(self._root / key, encoders[kind], self._handles)
            for k, store in enumerate(file.stores):
                for series in store.geometry.series:
                    array = arrays[series.number]
                    array = levels[array][k - 1] if k else array
                    located[array] = (len(self._pages), series)
                self._pages.append(_Pages(file, store))
            if existing:
                grown = [(targets[a].growing, existing[a].shape) for a in arrays]
                rows = max(1 if axis is None else shape[axis] for axis, shape in grown)
                file.reopen(rows, *(existing[arrays[0]].ifds or ()))
            self._file_numbers[key] = len(self._files)
            self._arrays[key] = [before + array for array in arrays]
            self._files.append(file)
        if len(by_file) == 1:
            self._single_files.add(self._files[-1])
        self._series += (located[array] for array in range(len(targets)))
        per_group = options.buffer_bytes // (4 * len(self._pages))
        self._block_bytes = min(_MAX_BLOCK_BYTES, per_group or 1)

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        group, series = self._series[array]
        page = series.page(index)
        buffer = self._buffer
        if page in buffer.addresses[group]:  # an earlier frame of this page must be written first
            buffer.write_all()
        by_reference = (
            owned
            and frame.nbytes >= _MIN_REFERENCED_BYTES
            and frame.flags.c_contiguous
            and series.packed is None
        )
        if by_reference:
            buffer.budget.reserve(frame.nbytes)
        with buffer.lock:
            block = buffer.open.pop((group, page), None)
            if block is not None and block.by_reference != by_reference:
                buffer.submit(block)
                block = None
            if block is not None:
                buffer.addresses[group].add(page)
                if block.add(number, frame):
                    buffer.submit(block)
                else:
                    buffer.open[group, page + 1] = block
                return
        file = self._pages[group].file
        if not file.has_page(page):
            try:
                file.allocate_page(page)
            except OSError as error:  # reported like that of a background thread
                self._background.failures.append(WriteFailure(error, (number,)))
                if by_reference:
                    buffer.budget.unreserve(frame.nbytes)
                return
        block = self._new_block(group, page, series, frame.nbytes, by_reference)
        with buffer.lock:
            buffer.add(block)
            buffer.addresses[group].add(page)
            full = block.add(number, frame)
            del buffer.open[group, page]
            if full:
                buffer.submit(block)
            else:
                buffer.open[group, page + 1] = block

    def recover(self, number: int) -> bool:
        self._buffer.recover()
        for pages in self._buffer.addresses:
            pages.clear()
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            self._drain()
            errors = len(self.failures)
            self._publish(shapes)
            self._collect_error(self._handles.sync_all)
            if len(self.failures) == errors:
                runs = (run.after(run.file.chained_pages) for run in self._unpublished)
                self._unpublished = [run for run in runs if run.frames]

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        group, series = self._series[array]
        page = series.page(index)
        return self._buffer.read(
            partial(self._buffer.plane, group, page),
            partial(self._read_file, self._pages[group], series, page),
            lambda: self._buffer.planes_written,
        )

    def put(self, key: str, content: bytes) -> None:
        if key in self._file_numbers:
            self._files[self._file_numbers[key]].write_description(content)
        else:
            self._store.put(key, content)

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        if key in self._file_numbers:
            self._files[self._file_numbers[key]].patch_description(offset, old, new)
        else:
            with (self._root / key).open("r+b", buffering=0) as file:
                patch_at(file.fileno(), offset, old, new)
                if self._durable:
                    sync(file.fileno())

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            if self._closed:
                return
            self._closed = True
            self._buffer.submit_open(last=True)
            for file in self._files:  # while the last frames are being written
                self._collect_error(file.publish_completed)
            self._drain()
            self._publish(shapes)
            for file, arrays in zip(self._files, self._arrays.values(), strict=True):
                final = [shapes[array] for array in arrays]
                single_file = file in self._single_files
                self._collect_error(partial(file.finish, final, single_file=single_file))
            self._collect_error(self._handles.sync_all)
            if self._durable:
                self._collect_error(partial(sync_folder, self._root))
            self._background.close()
            self._handles.close()
            self._buffer.budget.clear()

    def truncate(self) -> None:
        with self._flush_lock:
            if any(file.truncate_affects_readers for file in self._files):
                time.sleep(_READ_GRACE_S)
            deadline = time.monotonic() + _TRUNCATE_TIMEOUT_S
            for file in self._files:
                self._collect_error(partial(file.truncate, deadline))

    def _read_file(self, pages: _Pages, series: Series, page: int) -> NDArray[np.generic]:
        kind = series.kind
        out = np.zeros(kind.shape, kind.dtype)
        if not pages.file.has_page(page):
            return out
        flat, start = out.reshape(-1).view(np.uint8), 0
        strips = pages.store.read_strips(page)
        if series.tiles is not None:
            series.tiles.join(map(kind.decode, strips, series.strip_bytes), out)
            return out
        for strip, nbytes in zip(strips, series.strip_bytes, strict=True):
            raw = kind.decode(strip, nbytes)
            flat[start : start + len(raw)] = np.frombuffer(raw, np.uint8)
            start += nbytes
        return out

    def _new_block(
        self, group: int, page: int, series: Series, nbytes: int, by_reference: bool
    ) -> PageBlock:
        """Return an empty block for references or with a buffer; blocks while the memory budget is used up."""
        capacity, stride = 1, nbytes
        store = self._pages[group].store
        if not series.compressed:
            stride = series.stride
            if stride < self._block_bytes:
                adjacent = store.geometry.adjacent_pages(page)
                capacity = min(self._block_bytes // stride, adjacent)
        block = PageBlock(group, page, series, capacity, store, by_reference=by_reference)
        if not by_reference:
            self._await_warm_buffer(capacity * stride)
            block.use_buffer(self._buffer.budget.acquire(capacity * stride))
        return block

    def _await_warm_buffer(self, nbytes: int) -> None:
        """Give a fast disk a moment to return a buffer."""
        if self._background.depth <= _MAX_WARM_BLOCKS:
            self._disk_is_fast = True
        elif self._disk_is_fast:
            written = self._buffer.planes_written
            self._disk_is_fast = self._buffer.budget.wait_while(
                lambda: self._buffer.planes_written == written,
                max(_MAX_BUFFER_WAIT_S, nbytes / _MIN_DISK_BYTES_PER_S),
            )

    def _drain(self) -> None:
        """Wait until all frames are on disk, and note that they are not published yet."""
        self._buffer.write_all()
        for block, frames in self._buffer.pop_stored():
            self._unpublished.append(_Run(self._pages[block.group].file, block.page, frames))

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Make all frames on disk visible: first their IFDs, then the chains of growing files."""
        for file, arrays in zip(self._files, self._arrays.values(), strict=True):
            self._collect_error(file.ensure_created)
            self._collect_error(file.publish_completed)
            if file.geometry.grows:
                axes = ((shapes[array], self._series[array][1].growing) for array in arrays)
                rows = max(shape[axis] for shape, axis in axes if axis is not None)
                self._collect_error(partial(file.extend_chain, rows))

    def _collect_error(self, step: Callable[[], object]) -> None:
        """Call `step`; an error is a failure of all frames that are not published."""
        try:
            step()
        except OSError as error:
            frames = tuple(number for run in self._unpublished for number in run.frames)
            self._background.failures.append(WriteFailure(error, frames))
