"""The engine on acquire-zarr. No other module imports the library.

The library accepts planes in order, writes a shard when it is full, and cannot flush. It overwrites our array metadata
now and then, and all metadata when it is closed, so this engine writes ours again at each flush and after close. Arrays
without shards get shards of one chunk, because the library always writes shards.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import LevelSpec
from ome_writers.toolkit import (
    DERIVED,
    ArrayMetadataWriter,
    EngineStats,
    LocalStore,
    Options,
    WriteFailure,
    available_cpus,
    part_of,
    sync_tree,
    zarr_codecs,
)
from ome_writers_engines.file_descriptors import refuse_few_descriptors
from ome_writers_engines.openmp import passive_openmp_threads
from ome_writers_engines.readback_cache import ReadbackCache
from ome_writers_engines.sequential import SequentialArray

with passive_openmp_threads():
    import acquire_zarr as az


_READ_TIMEOUT_S = 10.0  # for the library to write a shard that it has all planes of
_POLL_INTERVAL_S = 0.002

_SHUFFLES = {None: 0, "shuffle": 1, "bitshuffle": 2}
_COMPRESSORS: dict[str, tuple[Any, Any]] = {
    "blosc-zstd": (az.Compressor.BLOSC1, az.CompressionCodec.BLOSC_ZSTD),
    "blosc-lz4": (az.Compressor.BLOSC1, az.CompressionCodec.BLOSC_LZ4),
    "blosc-zstd-bitshuffle": (az.Compressor.BLOSC1, az.CompressionCodec.BLOSC_ZSTD),
    "blosc-lz4-bitshuffle": (az.Compressor.BLOSC1, az.CompressionCodec.BLOSC_LZ4),
    "zstd": (az.Compressor.ZSTD, az.CompressionCodec.ZSTD),  # type: ignore[attr-defined]  # its types are older than it
}


class AcquireEngine:
    """Gives planes to one stream of the library; see `storage.contract.Engine`.

    Notes
    -----
    The library allocates about two rows of chunks per array. `Options.buffer_bytes` bounds the planes that are cached
    for `read` until their row of shards is complete; the oldest are dropped first.
    """

    def __init__(self, root: Path, targets: Sequence[LevelSpec], options: Options) -> None:
        refuse_few_descriptors(targets)
        self._root = root
        self._durable = options.durable
        self._arrays = [SequentialArray(root, target) for target in targets]
        self._metadata: dict[str, bytes] = {}  # by key, to be written again after close
        self._cache = ReadbackCache(options.buffer_bytes)
        self._cache.prepare(self._arrays[0].level.frame_bytes, self._arrays[0].max_unwritten)
        self._close_lock = threading.Lock()
        self._frames_written = 0
        self._bytes_written = 0
        self._closed = False
        self._library_failed = False
        self.failures: list[WriteFailure] = []
        self._store = LocalStore(root, durable=options.durable)
        self._array_metadata = ArrayMetadataWriter(
            self._store.put, [array.level for array in self._arrays]
        )
        self._array_metadata.write([target.shape for target in targets])
        # an array with a key costs the library group metadata above it for each row of chunks
        single = len(self._arrays) == 1
        self._keys = [None if single else array.key for array in self._arrays]
        self._stream = az.ZarrStream(
            az.StreamSettings(
                arrays=[
                    _array_settings(array, key)
                    for array, key in zip(self._arrays, self._keys, strict=True)
                ],
                store_path=_store_path(root / self._arrays[0].key if single else root),
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
        """Append one plane, and zeros for the planes before it that were skipped."""
        target = self._arrays[array]
        ordinal = target.ordinal(index)
        skipped = ordinal - len(target.frames)
        key = self._keys[array]
        self._array_metadata.add_frame(number, array, index)
        try:
            if skipped < 0:
                raise ValueError(
                    f"acquire-zarr accepts planes in order only: index {index} of array {target.key!r} is not after "
                    f"{target.index(len(target.frames) - 1)}. Use another backend for other orders."
                )
            if skipped:
                skip: Callable[[Any], Any] = partial(self._stream.skip, key=key)  # type: ignore[call-arg]  # its types are older than it
                nbytes = skipped * target.level.frame_bytes
                target.frames.extend(_after(skip, nbytes, repeat(DERIVED, skipped)))
            append: Callable[[Any], Any] = partial(self._stream.append, key=key)
            target.frames.extend(_after(append, np.ascontiguousarray(frame), (number,)))
        except Exception as error:
            self.failures.append(WriteFailure(error, (number,)))
            self._library_failed = True
            return
        if (ordinal + 1) % target.row_planes == 0:
            self._cache.drop(array)
        else:
            self._cache.add(array, ordinal // target.row_planes, index, frame)
        self._frames_written += number >= 0
        self._bytes_written += frame.nbytes

    def recover(self, number: int) -> bool:
        """Return whether the library has frame `number`: its plane cannot be written again then."""
        self._cache.recover()
        numbers = number, part_of(number)
        return any(len(array.frames) and array.frames[-1] in numbers for array in self._arrays)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the array metadata; the library cannot flush incomplete shards."""
        with self._close_lock:
            if not self._closed:
                self._array_metadata.invalidate()
                self._write_array_metadata(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from the cache or a complete shard; otherwise zeros.

        Waits up to 10 s for the library to write a shard that it has all planes of.
        """
        target = self._arrays[array]
        cached = self._cache.plane(array, index)
        if cached is not None:
            return cached.view(target.level.numpy_dtype).reshape(target.level.frame_shape)
        if target.is_row_complete(index):
            self._await_shard(target, index)
        return target.reader.plane(index)

    def put(self, key: str, content: bytes) -> None:
        if not self._closed:
            self._metadata[key] = content
        self._store.put(key, content)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._close_lock:
            if self._closed:
                return
            try:
                self._stream.close()
            except Exception as error:
                self.failures.append(WriteFailure(error))
                self._library_failed = True
            self._report_lost_frames()
            self._cache.clear()
            self._array_metadata.invalidate()
            self._write_array_metadata(shapes)
            try:
                for key, content in self._metadata.items():
                    self._store.put(key, content)
                if self._durable:
                    for array in self._arrays:
                        sync_tree(self._root / array.key)
            except OSError as error:
                self.failures.append(WriteFailure(error))
            self._closed = True
            self._metadata.clear()

    def stats(self) -> EngineStats:
        """Return the frames and bytes that were given to the library; it has no queue depth."""
        written, buffered = self._bytes_written, self._cache.used_bytes
        return EngineStats(
            self._frames_written, written, bytes_copied=written, bytes_buffered=buffered
        )

    def _await_shard(self, array: SequentialArray, index: tuple[int, ...]) -> None:
        deadline = time.monotonic() + _READ_TIMEOUT_S
        shard = array.reader.shard(index)
        while not (array.reader.is_complete(shard) or self.failures or self._closed):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_INTERVAL_S)

    def _report_lost_frames(self) -> None:
        """Find frames that the library accepted but did not write: it does not always raise an error."""
        for array in self._arrays:
            planes = [(number, array.index(ordinal)) for ordinal, number in enumerate(array.frames)]
            lost = array.reader.lost_frames(planes, strict=self._library_failed)
            array.reader.remove_torn({array.reader.shard(index) for _, index in planes})
            if lost:
                error = OSError(f"array {array.key!r}: acquire-zarr left incomplete shards")
                self.failures.append(WriteFailure(error, tuple(lost)))

    def _write_array_metadata(self, shapes: Sequence[tuple[int, ...]]) -> None:
        try:
            self._array_metadata.write(shapes)
        except OSError as error:
            frames = self._array_metadata.unpublished_frames(shapes)
            self.failures.append(WriteFailure(error, frames, repairable=bool(frames)))


def _after(call: Callable[[Any], Any], argument: Any, numbers: Iterable[int]) -> Iterator[int]:
    """Yield `numbers` after `call(argument)`, which returns None, in C code that KeyboardInterrupt cannot interrupt."""
    called: Iterator[int] = filter(call, (argument,))
    return chain(called, numbers)


def _store_path(path: Path) -> Any:
    """Return a path in the encoding of the functions with which the library opens files: ANSI on Windows."""
    return str(path).encode("mbcs") if sys.platform == "win32" else str(path)


def _array_settings(array: SequentialArray, key: str | None) -> az.ArraySettings:
    level = array.level
    shards = level.shards
    assert shards is not None
    axes = (*array.order, len(level.shape) - 2, len(level.shape) - 1)
    kinds = {
        "time": az.DimensionType.TIME,
        "channel": az.DimensionType.CHANNEL,
        "space": az.DimensionType.SPACE,
    }
    settings = az.ArraySettings(
        output_key=key,
        data_type=np.dtype(level.dtype),  # without byte order, which the library rejects
        compression=_compression(level),
        dimensions=[
            az.Dimension(
                name=level.dimensions[axis].name,
                kind=kinds.get(level.dimensions[axis].type or "", az.DimensionType.OTHER),
                array_size_px=0 if axis == level.growing else level.shape[axis],
                chunk_size_px=level.chunks[axis],
                shard_size_chunks=shards[axis] // level.chunks[axis],
            )
            for axis in axes
        ],
    )
    if list(axes) != sorted(axes):
        settings.storage_dimension_order = [dimension.name for dimension in level.dimensions]
    return settings


def _compression(level: LevelSpec) -> az.CompressionSettings | None:
    if level.compression == "none":
        return None
    compressor, codec = _COMPRESSORS[level.compression]
    (stored,) = zarr_codecs(level.compression)
    configuration = stored.configuration(level.numpy_dtype.itemsize)
    return az.CompressionSettings(
        compressor=compressor,
        codec=codec,
        level=configuration["clevel" if stored.name == "blosc" else "level"],
        shuffle=_SHUFFLES[configuration.get("shuffle")],
    )
