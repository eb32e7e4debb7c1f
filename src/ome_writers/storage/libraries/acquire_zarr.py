"""The engine on acquire-zarr: the only module that imports it.

The library takes planes one after the other, writes shards when they are full, and cannot be asked to write sooner. It
writes documents of its own over ours, those of arrays now and then and all of them when it is closed: so ours are put
again at each flush and behind it. Arrays without shards get shards of one chunk, as the library knows no other.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.storage.background import available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.files import atomic_write, sync_tree
from ome_writers.storage.libraries.file_descriptors import refuse_few_descriptors
from ome_writers.storage.libraries.openmp import threads_that_sleep
from ome_writers.storage.libraries.readback_cache import ReadbackCache
from ome_writers.storage.libraries.sequential import SequentialArray
from ome_writers.storage.zarr.array_metadata import BLOSC, ZSTD_LEVEL, ArrayMetadataWriter

with threads_that_sleep():
    import acquire_zarr as az

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.storage.contract import ArrayTarget, Options

__all__ = ["AcquireEngine", "open_engine"]

_PATIENCE = 10.0  # seconds that a reader waits for what the library has taken
_LOOK = 0.002  # seconds between two looks

_CODECS = {
    "blosc-zstd": az.CompressionCodec.BLOSC_ZSTD,
    "blosc-lz4": az.CompressionCodec.BLOSC_LZ4,
}


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> AcquireEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    refuse_few_descriptors([target.plan for target in targets])
    return AcquireEngine(root, targets, options)


class AcquireEngine:
    """Hands planes to one stream of the library; see `storage.contract.Engine`.

    Notes
    -----
    The library's memory is its own affair: about two rows of chunks an array. `Options.buffer_bytes` bounds the
    planes that are kept for views until their row of shards is finished; the oldest are let go first.
    """

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._durable = options.durable
        self._arrays = [SequentialArray(root, target) for target in targets]
        self._documents: dict[str, bytes] = {}
        self._kept = ReadbackCache(options.buffer_bytes)
        self._kept.prepare(self._arrays[0].plan.frame_bytes, self._arrays[0].most_kept)
        self._closing = threading.Lock()
        self._frames_written = 0
        self._bytes_written = 0
        self._closed = False
        self._broken = False  # whether the library has raised an error
        self.failures: list[WriteFailure] = []
        self._array_metadata = ArrayMetadataWriter(
            root, [(array.key, array.plan) for array in self._arrays], durable=options.durable
        )
        self._array_metadata.write([target.plan.shape for target in targets])
        # to have a key costs the library a document of the group above, a row of chunks
        alone = len(self._arrays) == 1
        self._keys = [None if alone else array.key for array in self._arrays]
        self._stream = az.ZarrStream(
            az.StreamSettings(
                arrays=[
                    _array_settings(array, key)
                    for array, key in zip(self._arrays, self._keys, strict=True)
                ],
                store_path=str(root / self._arrays[0].key if alone else root),
                version=az.ZarrVersion.V3,
                overwrite=False,
                max_threads=available_cpus(),
            )
        )

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Hand one plane over; planes that were skipped are filled with zeros."""
        one = self._arrays[array]
        place = one.place(index)
        gap = place - len(one.numbers)
        key = self._keys[array]
        self._array_metadata.add_frame(number, array, index)
        try:
            if gap < 0:
                raise ValueError(f"acquire-zarr takes planes in order only; {index} was passed.")
            if gap:
                skip: Callable[[Any], Any] = partial(self._stream.skip, key=key)  # type: ignore[call-arg]  # its types are older than it
                one.numbers.extend(_after(skip, gap * one.plan.frame_bytes, repeat(-1, gap)))
            append: Callable[[Any], Any] = partial(self._stream.append, key=key)
            one.numbers.extend(_after(append, np.ascontiguousarray(frame), (number,)))
        except Exception as error:
            self.failures.append(WriteFailure(error, (number,)))
            self._broken = True
            return
        row, finished = place // one.row_planes, (place + 1) % one.row_planes == 0
        if finished:
            self._kept.let_go(array)
        else:
            self._kept.keep(array, row, index, frame)
        self._frames_written += 1
        self._bytes_written += frame.nbytes

    def recover(self, number: int) -> bool:
        """Return whether the library has taken frame `number`: it cannot be given another in its place."""
        self._kept.recover()
        return any(len(array.numbers) and array.numbers[-1] == number for array in self._arrays)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Show the shapes. The library writes a shard when it is full, and not before."""
        with self._closing:
            if not self._closed:
                self._array_metadata.invalidate()
                self._try_to_show(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from a shard that is complete; zeros in between.

        Of a plane that the library brings to disk by itself, this waits for the shard, at most `_PATIENCE`.
        """
        one = self._arrays[array]
        kept = self._kept.plane(array, index)
        if kept is not None:
            return kept.view(one.plan.dtype).reshape(one.plan.frame_shape)
        if one.is_finished(index):
            self._await(one, index)
        return one.reader.plane(index)

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        if not self._closed:
            self._documents[key] = content
        atomic_write(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Have the library write the rest, and put our documents over its own."""
        with self._closing:
            if self._closed:
                return
            try:
                self._stream.close()
            except Exception as error:
                self.failures.append(WriteFailure(error))
                self._broken = True
            self._find_losses()
            self._kept.clear()
            self._array_metadata.invalidate()
            self._try_to_show(shapes)
            try:
                for key, content in self._documents.items():
                    atomic_write(self._root / key, content, durable=self._durable)
                if self._durable:
                    for array in self._arrays:
                        sync_tree(self._root / array.key)
            except OSError as error:
                self.failures.append(WriteFailure(error))
            self._closed = True
            self._documents.clear()

    def stats(self) -> EngineStats:
        """Return what was handed to the library so far."""
        return EngineStats(self._frames_written, self._bytes_written, 0)

    def _await(self, array: SequentialArray, index: tuple[int, ...]) -> None:
        """Wait until the library has brought to disk what it has taken whole."""
        patience = time.monotonic() + _PATIENCE
        shard = array.reader.shard(index)
        while not (array.reader.is_whole(shard) or self.failures or self._closed):
            if time.monotonic() > patience:
                break
            time.sleep(_LOOK)

    def _find_losses(self) -> None:
        """Name the planes that the library took and did not bring to disk: it does not always raise an error."""
        for array in self._arrays:
            planes = [(number, array.index(place)) for place, number in enumerate(array.numbers)]
            lost = array.reader.lost(planes, strict=self._broken)
            array.reader.remove_torn({array.reader.shard(index) for _, index in planes})
            if lost:
                error = OSError(f"acquire-zarr left shards of {array.key!r} unfinished")
                self.failures.append(WriteFailure(error, tuple(lost)))

    def _try_to_show(self, shapes: Sequence[tuple[int, ...]]) -> None:
        try:
            self._array_metadata.write(shapes)
        except OSError as error:
            hidden = self._array_metadata.unpublished_frames(shapes)
            self.failures.append(WriteFailure(error, hidden, repairable=bool(hidden)))


def _after(call: Callable[[Any], Any], argument: Any, numbers: Iterable[int]) -> Iterator[int]:
    """Yield `numbers` after `call(argument)`, which returns None: C code, which KeyboardInterrupt cannot interrupt."""
    called: Iterator[int] = filter(call, (argument,))
    return chain(called, numbers)


def _array_settings(array: SequentialArray, key: str | None) -> az.ArraySettings:
    plan = array.plan
    shards = plan.shards
    assert shards is not None
    axes = (*array.order, len(plan.shape) - 2, len(plan.shape) - 1)
    kinds = {
        "time": az.DimensionType.TIME,
        "channel": az.DimensionType.CHANNEL,
        "space": az.DimensionType.SPACE,
    }
    settings = az.ArraySettings(
        output_key=key,
        data_type=np.dtype(plan.dtype.name),  # it knows no dtype that names its byte order
        compression=_compression(plan),
        dimensions=[
            az.Dimension(
                name=plan.dimensions[axis].name,
                kind=kinds.get(plan.dimensions[axis].type or "", az.DimensionType.OTHER),
                array_size_px=0 if axis == plan.growing else plan.shape[axis],
                chunk_size_px=plan.chunks[axis],
                shard_size_chunks=shards[axis] // plan.chunks[axis],
            )
            for axis in axes
        ],
    )
    if list(axes) != sorted(axes):
        settings.storage_dimension_order = [dimension.name for dimension in plan.dimensions]
    return settings


def _compression(plan: ArrayPlan) -> az.CompressionSettings | None:
    if plan.compression in BLOSC:
        return az.CompressionSettings(
            compressor=az.Compressor.BLOSC1,
            codec=_CODECS[plan.compression],
            level=BLOSC[plan.compression][1],
            shuffle=1,
        )
    if plan.compression == "zstd":
        return az.CompressionSettings(
            compressor=az.Compressor.ZSTD,  # type: ignore[attr-defined]  # its types are older than it
            codec=az.CompressionCodec.ZSTD,  # type: ignore[attr-defined]  # likewise
            level=ZSTD_LEVEL,
        )
    return None
